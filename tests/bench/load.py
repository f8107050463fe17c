"""Load for a proxy: connections (hey), bulk (curl) and idle tunnels. Clients never resume.

A target is where the proxy listens and how it is used: "fixed" is TLS to the port,
"connect" is a CONNECT to the upstream through it."""

import json
import pathlib
import re
import socket
import ssl
import subprocess

from upstreams import nginx

SUITES = ":".join(f"ECDHE-{k}-{s}" for s in ("AES128-GCM-SHA256", "AES256-GCM-SHA384",
                                             "AES128-SHA256", "AES256-SHA384")
                  for k in ("ECDSA", "RSA"))
GCM, CBC = "ECDHE-{}-AES128-GCM-SHA256", "ECDHE-{}-AES128-SHA256"


BIG_MIB = 1024


def upstream(home, *leaves, https=False):
    """The nginx behind all proxies: /small is 1 KiB, /big is BIG_MIB. https: on port 443 as
    well."""
    files = pathlib.Path(home) / "www"
    if not files.exists():
        files.mkdir()
        (files / "small").write_text("x" * 1024)
        with open(files / "big", "wb") as big:
            big.truncate(BIG_MIB << 20)
    return nginx(home, *leaves, ciphers=SUITES, files=files, connections=60000,
                 extra=f"{'listen 127.0.0.1:443 ssl;' if https else ''}"
                       "ssl_session_cache shared:s:20m; keepalive_timeout 1000; "
                       "keepalive_requests 1000000;")


class Target:
    def __init__(self, port, mode, upstream, key="ECDSA"):
        self.port, self.mode, self.upstream, self.key = port, mode, upstream, key

    def url(self, path):
        port = self.port if self.mode == "fixed" else self.upstream
        return f"https://localhost{'' if port == 443 else f':{port}'}{path}"

    def proxy(self, option):
        return [] if self.mode == "fixed" else [option, f"http://127.0.0.1:{self.port}"]


def hey(target, count, clients, *options):
    # It takes the Host header as the server name, with the port if there is one; Squid takes it as
    # the destination.
    return ["hey", "-n", str(count), "-c", str(clients), "-disable-keepalive", "-cpus", "1", "-t",
            "30", *(["-host", "localhost"] if ":" in target.url("")[6:] else []), *options,
            *target.proxy("-x"), target.url("/small")]


def connections(target, count, clients=32, rate=None):
    """-> (number of successes, connections per second, {percentile: milliseconds})"""
    paced = ["-q", f"{rate / clients:g}"] if rate else []
    out = subprocess.run(hey(target, count, clients, *paced), capture_output=True, text=True,
                         check=False).stdout
    done = re.search(r"\[200\]\s+(\d+)", out)
    speed = re.search(r"Requests/sec:\s+([\d.]+)", out)
    spread = {p: float(ms) * 1000 for p, ms in re.findall(r"(\d\d)% in ([\d.]+) secs", out)}
    return int(done[1]) if done else 0, float(speed[1]) if speed else 0.0, spread


def bulk(target, mib, suite):
    """Fetches that much on one connection. -> received bytes"""
    done = subprocess.run(
        ["curl", "-sSk", "--tls-max", "1.2", "--ciphers", suite.format(target.key), "-o",
         "/dev/null", "-r", f"0-{(mib << 20) - 1}", "-w", "%{json}", *target.proxy("-x"),
         target.url("/big")], capture_output=True, text=True, check=True).stdout
    return int(json.loads(done)["size_download"])


def tunnel(target, context, name="localhost", address=None, session=None):
    """A TLS session to name, resumed if a session is given, after one answered request. CONNECT
    goes to the address if one is given."""
    s = socket.create_connection(("127.0.0.1", target.port), 30)
    if target.mode == "connect":
        place = f"{address or name}:{target.upstream}"
        s.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = s.recv(4096)
            assert more, answer
            answer += more
    s = context.wrap_socket(s, server_hostname=name, session=session)
    s.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert s.recv(65536).startswith(b"HTTP/1.1 200")
    return s


def client_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def idle_tunnels(target, count):
    """Tunnels that have answered one request and are then silent; the caller closes them."""
    context = client_context()
    return [tunnel(target, context) for _ in range(count)]
