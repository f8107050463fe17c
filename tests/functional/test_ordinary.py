"""The log of ordinary traffic: real clients and servers, and no fault of anyone."""

import collections
import functools
import http.client
import http.server
import os
import pathlib
import socket
import ssl
import subprocess
import threading

import pytest
import requests

import jvm
import wire
from gate import free_port
from pki import openssl
from scene import at, scene  # noqa: F401 (fixture)
from upstreams import Process, https_apache, nginx, s_server

# The gate does the same for each of these programs, and other tests run all of it under sanitizers.
pytestmark = pytest.mark.once

CLIENTS = pathlib.Path(__file__).parent / "clients"
ROUNDS = 2  # of each client in front of each server
JAVAS_CONNECTIONS = 2  # of one run of Direct


def node_server(folder, leaf):
    port = free_port()
    return Process(["node", CLIENTS / "page.js", port, leaf.chain, leaf.key], port,
                   folder / f"node-{port}.log")


def java_server(folder, leaf):
    port, store = free_port(), folder / "page.p12"
    openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", store,
            "-passout", "pass:changeit")
    return Process(jvm.argv("Page", port, store), port, folder / f"java-{port}.log")


class PythonServer:
    """http.server with ssl, which ends connections without close_notify."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"page\n")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 64

        def handle_error(self, *_):
            pass

    def __init__(self, leaf):
        self._server = self.Server(("127.0.0.1", free_port()), self.Handler)
        self._server.socket = wire.server_context(leaf).wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


SERVERS = {
    "nginx": lambda folder, leaf: nginx(folder, leaf, files=folder),
    "apache": https_apache,
    "openssl s_server": s_server,
    "node": node_server,
    "java": java_server,
    "python": lambda _folder, leaf: PythonServer(leaf),
}


def run(*argv, ca=None, stdin=None):
    """A client program; its exit status does not matter."""
    return subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, check=False,
                          timeout=50, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(ca)})


def curl(port, ca, *options):
    url = f"https://localhost:{port}/page"
    done = run("curl", "-sS", "--noproxy", "*", "--max-time", 30, "--cacert", ca, url, *options)
    assert done.returncode == 0, done.stderr


def python_client(port, ca, leave="close"):
    """One request; leave: how the client goes after its answer."""
    context = wire.client_context(ca)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=50)
    connection.request("GET", "/page")
    assert connection.getresponse().read()
    if leave == "reset" and connection.sock:  # some servers have closed by now
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if leave == "unwrap" and connection.sock:
        try:
            connection.sock.unwrap()
        except (ssl.SSLError, OSError):
            pass  # the server ended without close_notify
    connection.close()


def two_of_one_session(port, ca):
    with requests.Session() as session:
        for _ in range(2):
            session.get(f"https://localhost:{port}/page", verify=str(ca), timeout=50)


# Each makes at least one connection to a port with a certificate of the CA.
KINDS = {
    "curl": curl,
    "curl, two requests": lambda port, ca: curl(port, ca, f"https://localhost:{port}/page"),
    "curl, Connection: close": lambda port, ca: curl(port, ca, "-H", "Connection: close"),
    "wget": lambda port, ca: run("wget", "-q", "--no-proxy", "-O", "-", f"--ca-certificate={ca}",
                                 f"https://localhost:{port}/page"),
    "openssl s_client": lambda port, ca: run(
        "openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{port}",
        "-servername", "localhost", stdin=b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "python": python_client,
    "python, reset": functools.partial(python_client, leave="reset"),
    "python, unwrap": functools.partial(python_client, leave="unwrap"),
    "requests": two_of_one_session,
    "node": lambda port, ca: run("node", CLIENTS / "direct.js", "https",
                                 f"https://localhost:{port}/page", ca=ca),
    "java": lambda port, ca: run(*jvm.argv("Direct", f"https://localhost:{port}/page", ca)),
}

# Really truncated: asked to close, these servers end first, and without close_notify.
TRUNCATING = {
    ("java", "curl, Connection: close"),
    ("python", "curl, Connection: close"),
}


def tally(s, port, ca, kinds=tuple(KINDS), rounds=ROUNDS):
    """{kind: codes of its closed connections, with their number}"""
    said = {}
    for kind in kinds:
        before = len(s.gate.matching(action="connection-closed"))
        opened = len(s.gate.matching(action="connection-opened"))
        for _ in range(1 if kind == "java" else rounds):
            KINDS[kind](port, ca)
        made = JAVAS_CONNECTIONS if kind == "java" else rounds
        s.gate.wait_record(action="connection-closed", count=opened + made)
        closed = s.gate.matching(action="connection-closed")[before:]
        said[kind] = collections.Counter(at(r, "event.code") for r in closed)
    return said


@pytest.mark.alarm(240)
@pytest.mark.parametrize("server", SERVERS)
def test_ordinary_connections_have_no_code(scene, pki, tmp_path, server):
    (tmp_path / "page").write_bytes(b"page\n")
    tmp_path.chmod(0o755)
    leaf = pki.rsa
    with SERVERS[server](tmp_path, leaf) as upstream:
        s = scene(upstream.port)
        said = tally(s, s.fixed, pki.trust)
    table = "\n".join(f"{server} | {kind} | {dict(codes)}" for kind, codes in said.items())
    print(table)
    wrong = {kind: codes for kind, codes in said.items()
             if not set(codes) <= {None, *(["upstream_truncated"] if (server, kind) in TRUNCATING
                                           else [])}}
    assert not wrong, table
    assert sum(codes.total() for codes in said.values()) >= ROUNDS * (len(KINDS) - 1)
