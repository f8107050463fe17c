"""What the proxy adds to the time from a new connection to the first byte of its answer, for each
kind of client in its normal use: with its own session resumption and its own use of Nagle's
algorithm.

A client makes its connections one after the other, in turn to the upstream directly and through a
proxy; the first ones of a process do not count. The clients that resume (all
except `openssl s_client` and gnutls-cli) do one full handshake."""

import contextlib
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import time

import meter
from peers import PEERS

CLIENTS = pathlib.Path(__file__).with_name("clients")
CONNECTIONS, WARM = 60, 20
REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def lines(argv, **environment):
    done = subprocess.run(argv, capture_output=True, text=True, check=True,
                          env={**os.environ, "no_proxy": "*", **environment})
    return [float(line) for line in done.stdout.split()]


def python(site, port, count):
    context = ssl.create_default_context(cafile=str(site.pki.trust))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, took = None, []
    for _ in range(count):
        before = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), 30) as plain, \
                context.wrap_socket(plain, server_hostname="localhost", session=session) as s:
            s.sendall(REQUEST)
            s.recv(1)
            took.append(1000 * (time.perf_counter() - before))
            session = s.session
            while s.recv(65536):
                pass
    return took


def curl(site, port, count):
    """Its time from connect to the answer's first byte, without the name lookup."""
    found = lines(["curl", "-sS", "--cacert", site.pki.trust, "--tls-max", "1.2", "-H",
                   "Connection: close", "-w", "%{time_namelookup} %{time_starttransfer}\\n",
                   *["-o", "/dev/null", f"https://localhost:{port}/small"] * count])
    return [1000 * (end - start) for start, end in zip(found[::2], found[1::2])]


def node(site, port, count):
    return lines(["node", CLIENTS / "first_answer.js", f"https://localhost:{port}/small",
                  str(count)], NODE_EXTRA_CA_CERTS=str(site.pki.trust))


def java(site, port, count):
    """A virtual machine is slow until it has compiled its code: it gets more tries."""
    store = site.home / "trust.p12"
    if not store.exists():
        subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "root", "-file",
                        site.pki.trust, "-keystore", store, "-storepass", "changeit"], check=True,
                       capture_output=True)
    return lines(["java", "-Djdk.tls.client.protocols=TLSv1.2",
                  f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit",
                  CLIENTS / "FirstAnswer.java", f"https://localhost:{port}/small",
                  str(5 * count)])[4 * count:]


def by_process(argv):
    """A client with one process per connection, its start included."""
    before = time.perf_counter()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        p.stdin.write(REQUEST)
        p.stdin.flush()
        seen = b""
        while b"HTTP/1.1 200" not in seen:
            more = os.read(p.stdout.fileno(), 65536)
            assert more, seen
            seen += more
        took = 1000 * (time.perf_counter() - before)
        p.kill()
    return took


def openssl(site, port, count):
    return [by_process(["openssl", "s_client", "-quiet", "-tls1_2", "-CAfile", site.pki.trust,
                        "-servername", "localhost", "-connect", f"127.0.0.1:{port}"]) for _ in range(count)]


def gnutls(site, port, count):
    return [by_process(["gnutls-cli", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                        "--x509cafile", site.pki.trust, "-p", str(port), "localhost"]) for _ in range(count)]


def first_answer(site, rounds=5, names=("suitegate", "nginx", "haproxy")):
    """{client: {proxy or "direct": median of the medians of each round, in milliseconds}}"""
    found = {}
    with contextlib.ExitStack() as stack:
        places = {"direct": site.upstream}
        for name in names:
            _, starter = PEERS[name]
            pid, places[name] = stack.enter_context(starter(site))
            meter.pin(pid, {0})
        for client in (python, curl, openssl, gnutls, node, java):
            each = {place: [] for place in places}
            for _ in range(rounds):
                for place, port in places.items():
                    took = client(site, port, CONNECTIONS + WARM)[-CONNECTIONS:]
                    each[place].append(statistics.median(took))
            medians = {place: statistics.median(values) for place, values in each.items()}
            found[client.__name__] = medians
            print(f"  {client.__name__}: direct {medians['direct']:.2f} ms, " + ", ".join(
                f"{name} {medians[name] - medians['direct']:+.2f} ms" for name in names))
    return found
