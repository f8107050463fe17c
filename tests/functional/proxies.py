"""Real proxies, as judges, parents and senders. Each function starts one on 127.0.0.1:port."""

import os
import shutil

from upstreams import Process


def haproxy(folder, port, lines, *, mode="http", timeout="20s", settings=""):
    """lines: the frontends and backends; settings: the global section."""
    (folder / "haproxy.cfg").write_text(f"""
{settings}
defaults
mode {mode}
timeout connect {timeout}
timeout client {timeout}
timeout server {timeout}
{lines}
""")
    return Process(["haproxy", "-db", "-f", folder / "haproxy.cfg"], port, folder / "haproxy.log")


def squid(folder, port, lines, *, tls=None):
    """lines: who may do what. tls: the PEM file of its own certificate and key."""
    listen = f"https_port 127.0.0.1:{port} tls-cert={tls} options=NO_TLSv1_3" if tls else \
        f"http_port 127.0.0.1:{port}"
    (folder / "squid.conf").write_text(f"""
{listen}
{lines}
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/pid
workers 1
shutdown_lifetime 1 seconds
""")
    if os.geteuid() == 0:  # it runs as another user
        shutil.chown(folder, "proxy")
        for one in (folder, folder.parent, folder.parent.parent):
            one.chmod(one.stat().st_mode | 0o055)
    return Process(["squid", "-N", "-f", folder / "squid.conf"], port, folder / "squid.log")


def tinyproxy(folder, port, lines=""):
    (folder / "tinyproxy.conf").write_text(f"""
Port {port}
Listen 127.0.0.1
Timeout 20
LogFile "{folder}/log"
MaxClients 50
Allow 127.0.0.1
{lines}
""")
    return Process(["tinyproxy", "-d", "-c", folder / "tinyproxy.conf"], port,
                   folder / "tinyproxy.log")
