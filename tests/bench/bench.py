#!/usr/bin/env python3
"""Figures beside a peer: bench.py [connections] [MiB]   (defaults 3000, 512)

nginx as a TLS-to-TLS stream proxy and suitegate's fixed listener in front of the same nginx,
each on one core, in turn, three rounds: processor time a connection (both legs, handshakes
with and without resumption upstream), a GiB relayed, and memory an idle tunnel; medians, and
the ratio suitegate / nginx. SUITEGATE names the binary. Asserts nothing."""

import contextlib
import os
import pathlib
import re
import ssl
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

from gate import Gate, ca_init, free_port  # noqa: E402
from pki import Pki  # noqa: E402
from upstreams import Process, nginx  # noqa: E402

CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
MIB = int(sys.argv[2]) if len(sys.argv) > 2 else 512
ROUNDS, IDLE, TICKS = 3, 200, os.sysconf("SC_CLK_TCK")
SUITES = ":".join(f"ECDHE-{k}-{s}" for s in ("AES128-GCM-SHA256", "AES256-GCM-SHA384",
                                             "AES128-SHA256", "AES256-SHA384")
                  for k in ("ECDSA", "RSA"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid):
    return int(re.search(r"Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text())[1])


def pin(pid):
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {0})


def connections(port, count):
    out = subprocess.run(["hey", "-n", str(count), "-c", "32", "-disable-keepalive", "-cpus", "1",
                          f"https://127.0.0.1:{port}/small"], capture_output=True, text=True).stdout
    found = re.search(r"\[200\]\s+(\d+)", out)
    return int(found[1]) if found else 0


def bulk(port, suite):
    subprocess.run(["curl", "-sSk", "--tls-max", "1.2", "--ciphers", suite, "-o", "/dev/null",
                    f"https://127.0.0.1:{port}/big"], check=True)


def idle_tunnels(port, count):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tunnels = []
    for _ in range(count):
        s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
        s.sendall(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(65536)
        tunnels.append(s)
    return tunnels


def measure(pid, port):
    pin(pid)
    connections(port, 64)
    row, before = {}, cpu_seconds(pid)
    done = connections(port, CONNECTIONS)
    row["cpu ms a connection"] = (cpu_seconds(pid) - before) * 1000 / max(done, 1)
    for name, suite in (("GCM", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                        ("CBC", "ECDHE-ECDSA-AES128-SHA256")):
        before = cpu_seconds(pid)
        bulk(port, suite)
        row[f"cpu s a GiB, {name}"] = (cpu_seconds(pid) - before) * 1024 / MIB
    before = memory_kib(pid)
    tunnels = idle_tunnels(port, IDLE)
    time.sleep(0.5)
    row["KiB an idle tunnel"] = (memory_kib(pid) - before) / IDLE
    for s in tunnels:
        s.close()
    return row


def stream_proxy(home, pki, upstream, reuse):
    port = free_port()
    folder = home / f"stream-{port}"
    folder.mkdir()
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""
load_module {module}; daemon off; master_process off; {user} pid {folder}/pid;
error_log {folder}/error.log; events {{ worker_connections 4096; }}
stream {{ server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2; ssl_ciphers {SUITES};
 ssl_certificate {pki.ec.chain}; ssl_certificate_key {pki.ec.key}; proxy_pass 127.0.0.1:{upstream};
 proxy_ssl on; proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers {SUITES}; proxy_ssl_verify on;
 proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_trusted_certificate {pki.trust};
 proxy_ssl_session_reuse {"on" if reuse else "off"}; }} }}""")
    return Process(["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"], port,
                   folder / "output.log")


@contextlib.contextmanager
def our_proxy(home, pki, upstream, reuse):
    port = free_port()
    folder = home / f"gate-{port}"
    folder.mkdir()
    gate = Gate(folder, f"""
[proxy]
workers = 1
[upstream]
trust = {pki.trust}
resume = {"yes" if reuse else "no"}
[audit]
file = audit.jsonl
[listen bench]
type = fixed
address = 127.0.0.1:{port}
upstream = 127.0.0.1:{upstream}
upstream_name = localhost
certificate = {pki.ec.chain}
key = {pki.ec.key}
""")
    try:
        yield gate.pid, port
    finally:
        gate.stop()


def main():
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        (home / "pki").mkdir()
        pki = Pki(home / "pki")
        files = home / "www"
        files.mkdir()
        (files / "small").write_text("x" * 1024)
        with open(files / "big", "wb") as big:
            big.truncate(MIB << 20)
        session = "ssl_session_cache shared:s:10m; keepalive_timeout 300;"
        with nginx(home, pki.ec, ciphers=SUITES, files=files, extra=session) as upstream:
            for _ in range(ROUNDS):
                for reuse in (True, False):
                    mode = "resuming" if reuse else "not resuming"
                    with stream_proxy(home, pki, upstream.port, reuse) as peer:
                        rows.setdefault((mode, "nginx"), []).append(
                            measure(peer.process.pid, peer.port))
                    with our_proxy(home, pki, upstream.port, reuse) as (pid, port):
                        rows.setdefault((mode, "suitegate"), []).append(measure(pid, port))
    for mode in ("resuming", "not resuming"):
        print(f"upstream sessions {mode}")
        for name in rows[mode, "nginx"][0]:
            ours, theirs = (statistics.median(r[name] for r in rows[mode, who])
                            for who in ("suitegate", "nginx"))
            print(f"  {name:22} suitegate {ours:8.3f}   nginx {theirs:8.3f}   "
                  f"ratio {ours / theirs if theirs else float('nan'):.2f}")


if __name__ == "__main__":
    main()
