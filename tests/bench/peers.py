"""The compared proxies, from Debian's packages or from this tree, all before one upstream. Every
entry of PEERS starts one on a free port, as a context manager that gives (pid, port). A proxy
keeps its defaults except: TLS 1.2 and the eight suites on both legs, the upstream verified, one
thread, no log of requests (ours always writes its records)."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from gate import Gate, free_port
from load import SUITES
from pki import openssl
from upstreams import Process

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Site:
    """The settings for every peer: a folder, the certificates, the upstream's port and the port
    that a CONNECT names."""

    def __init__(self, home, pki, upstream, connect=None, ca_key="rsa:2048"):
        self.home, self.pki, self.upstream = pathlib.Path(home), pki, upstream
        self.connect = connect or upstream
        self.ca = self.home / "intercept.pem"
        self.ca_key = self.home / "intercept.key"
        self.leaf_key = self.home / "leaf.key"
        key = (ca_key, ) if ":" in ca_key else (ca_key, "-pkeyopt", "ec_paramgen_curve:P-256")
        openssl("req", "-x509", "-newkey", *key, "-nodes", "-subj", "/CN=Interception",
                "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-out", self.ca, "-keyout", self.ca_key)
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.leaf_key)

    def folder(self, name):
        port = free_port()
        folder = self.home / f"{name}-{port}"
        folder.mkdir()
        return folder, port


class Family(Process):
    """A server with children: all of them end with it."""

    popen = {"start_new_session": True}

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def served(argv, port, folder):
    with Family(argv, port, folder / "output.log") as p:
        yield p.process.pid, port


def ways(site, port, also):
    """(port, upstream) of every listener; also: one more listener."""
    return [(port, site.upstream)] + ([also] if also else [])


def nginx_stream(site, resume, also=None, limits=False):
    folder, port = site.folder("nginx")
    user = "user root;" if os.geteuid() == 0 else ""
    zone = "limit_conn_zone $binary_remote_addr zone=source:10m;" if limits else ""
    limit = "limit_conn source 4000;" if limits else ""
    servers = "".join(f"""
server {{ {limit} listen 127.0.0.1:{at} ssl; ssl_protocols TLSv1.2; ssl_ciphers {SUITES};
 ssl_certificate {site.pki.ec.chain}; ssl_certificate_key {site.pki.ec.key};
 proxy_pass 127.0.0.1:{to}; proxy_ssl on; proxy_ssl_protocols TLSv1.2;
 proxy_ssl_ciphers {SUITES}; proxy_ssl_verify on; proxy_ssl_name localhost;
 proxy_ssl_server_name on; proxy_ssl_trusted_certificate {site.pki.trust};
 proxy_ssl_session_reuse {"on" if resume else "off"}; }}""" for at, to in ways(site, port, also))
    (folder / "nginx.conf").write_text(f"""
load_module {STREAM_MODULE}; daemon off; worker_processes 1; {user} pid {folder}/pid;
error_log {folder}/error.log; events {{ worker_connections {16_000 if limits else 50_000}; }}
stream {{ {zone} {servers} }}""")
    return served(["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"], port, folder)


def haproxy(site, resume, also=None, limits=False):
    folder, port = site.folder("haproxy")
    both = folder / "both.pem"
    both.write_text(site.pki.ec.chain.read_text() + site.pki.ec.key.read_text())
    table = """
 stick-table type ip size 100k expire 30s store conn_cur,conn_rate(5s)
 tcp-request connection track-sc0 src
 tcp-request connection reject if { sc0_conn_cur gt 4000 }
 tcp-request connection reject if { sc0_conn_rate gt 1000 }""" if limits else ""
    listeners = "".join(f"""
listen f{at}{table}
 bind 127.0.0.1:{at} ssl crt {both} ssl-max-ver TLSv1.2
 server u 127.0.0.1:{to} ssl verify required ca-file {site.pki.trust} \
ssl-max-ver TLSv1.2 sni str(localhost) {"" if resume else "no-ssl-reuse"}
""" for at, to in ways(site, port, also))
    (folder / "haproxy.cfg").write_text(f"""global
 nbthread 1
 ssl-default-bind-ciphers {SUITES}
 ssl-default-server-ciphers {SUITES}
defaults
 mode tcp
 timeout connect 5s
 timeout client 300s
 timeout server 300s
 maxconn 8000
{listeners}""")
    return served(["haproxy", "-db", "-f", folder / "haproxy.cfg"], port, folder)


def sslsplit(site):
    folder, port = site.folder("sslsplit")
    user = ["-u", "root"] if os.geteuid() == 0 else []
    return served(["sslsplit", "-P", "-k", site.ca_key, "-c", site.ca, "-K", site.leaf_key, "-s",
                   SUITES, "-r", "tls12", *user, "ssl", "127.0.0.1", port, "127.0.0.1",
                   site.upstream], port, folder)


def squid(site):
    folder, port = site.folder("squid")
    database = folder / "certificates"
    helper = "/usr/lib/squid/security_file_certgen"
    subprocess.run([helper, "-c", "-s", database, "-M", "16MB"], check=True, capture_output=True)
    if os.geteuid() == 0:
        os.chmod(site.home, 0o755)
        for path in (folder, database, *database.rglob("*")):
            shutil.chown(path, "proxy")
    (folder / "squid.conf").write_text(f"""
http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on \
dynamic_cert_mem_cache_size=16MB tls-cert={site.ca} tls-key={site.ca_key} cipher={SUITES} \
options=NO_TLSv1_3
sslcrtd_program {helper} -s {database} -M 16MB
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
tls_outgoing_options cafile={site.pki.trust} cipher={SUITES} options=NO_TLSv1_3
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/pid
workers 1
shutdown_lifetime 1 seconds
""")
    return served(["squid", "-N", "-f", folder / "squid.conf"], port, folder)


def mitmproxy(site):
    folder, port = site.folder("mitmproxy")
    both = folder / "mitmproxy-ca.pem"
    both.write_text(site.ca.read_text() + site.ca_key.read_text())
    options = (f"confdir={folder}", f"ssl_verify_upstream_trusted_ca={site.pki.trust}",
               "tls_version_client_max=TLS1_2", "tls_version_server_max=TLS1_2",
               "stream_large_bodies=1m", "flow_detail=0")
    return served(["mitmdump", "-q", "--listen-host", "127.0.0.1", "-p", port,
                   *(word for option in options for word in ("--set", option))], port, folder)


@contextlib.contextmanager
def suitegate(site, binary=None, listen="fixed", resume=True, workers=1, leaf=None, wrapper=(),
              also=None, limits=False):
    folder, port = site.folder("suitegate")
    proxy = "" if limits else """max_connections = 60000
max_connections_per_source = 0
max_handshakes_per_source = 0"""
    leaf = leaf or site.pki.ec
    if listen == "fixed":
        listeners = "".join(f"""[listen bench{at}]
address = 127.0.0.1:{at}
type = fixed
upstream = 127.0.0.1:{to}
upstream_name = localhost
certificate = {leaf.chain}
key = {leaf.key}
""" for at, to in ways(site, port, also))
        ca = ""
    else:
        listeners = f"[listen bench]\naddress = 127.0.0.1:{port}\ntype = forward\n"
        ca = f"[ca]\ncertificate = {site.ca}\nkey = {site.ca_key}\n"
    gate = Gate(folder, f"""
[proxy]
workers = {workers}
{proxy}
{ca}
[upstream]
trust = {site.pki.trust}
resume = {"yes" if resume else "no"}
[audit]
file = audit.jsonl
{listeners}""", binary=binary, wrapper=wrapper)
    try:
        yield gate.pid, port
    finally:
        gate.stop()


# name: (mode, how to start it); those without -noresume resume if that is their default
PEERS = {
    "suitegate": ("fixed", suitegate),
    "nginx": ("fixed", lambda s, **o: nginx_stream(s, True, **o)),
    "haproxy": ("fixed", lambda s, **o: haproxy(s, True, **o)),
    "suitegate-noresume": ("fixed", lambda s, **o: suitegate(s, resume=False, **o)),
    "nginx-noresume": ("fixed", lambda s: nginx_stream(s, False)),
    "haproxy-noresume": ("fixed", lambda s: haproxy(s, False)),
    "suitegate-connect": ("connect", lambda s, **o: suitegate(s, listen="forward", **o)),
    "sslsplit": ("fixed", sslsplit),
    "squid": ("connect", squid),
    "mitmproxy": ("connect", mitmproxy),
}
