"""Windows Authentication through a fixed listener: NTLM with channel binding (Extended Protection, as
Exchange demands it) passes only if the listener presents the server's own certificate; NTLM without
it and Basic always pass. The server and the client are MIT's GSS-API with gss-ntlmssp."""

import base64
import hashlib
import http.client
import http.server
import os
import ssl
import threading

import gssapi
import gssapi.raw
import pytest

from gate import PATIENCE, free_port, ini

NTLM = gssapi.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")
USER, PASSWORD = "alice", "secret"


def binding(certificate):
    """tls-server-end-point (RFC 5929 section 4) of a certificate signed with SHA-256."""
    return gssapi.raw.ChannelBindings(
        application_data=b"tls-server-end-point:" + hashlib.sha256(certificate).digest())


def server_context(name_binding):
    return gssapi.SecurityContext(usage="accept", channel_bindings=name_binding)


class Handler(http.server.BaseHTTPRequestHandler):
    """One login per connection, as IIS does it."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.login = server_context(self.server.binding)

    def answer(self, status, challenge=None):
        self.send_response(status)
        if challenge is not None:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            good = base64.b64decode(token) == f"{USER}:{PASSWORD}".encode()
            return self.answer(200 if good else 401)
        if scheme != "NTLM":
            return self.answer(401, "NTLM")
        try:
            reply = self.login.step(base64.b64decode(token))
        except gssapi.exceptions.GSSError:
            return self.answer(403)
        if self.login.complete:
            return self.answer(200)
        return self.answer(401, "NTLM " + base64.b64encode(reply).decode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(pki, tmp_path_factory):
    """The port of an HTTPS server whose logins are bound to its certificate."""
    users = tmp_path_factory.mktemp("ntlm") / "users"
    users.write_text(f"DOM:{USER}:{PASSWORD}\n")
    os.environ["NTLM_USER_FILE"] = str(users)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.rsa.chain, pki.rsa.key)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    httpd.daemon_threads = True
    httpd.binding = binding(pki.rsa.der)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    httpd.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd.port
    httpd.shutdown()
    thread.join()
    httpd.server_close()
    del os.environ["NTLM_USER_FILE"]


@pytest.fixture
def gate(server, pki, ca_folder, make_gate):
    """Two fixed listeners for the server: .minted and .own are their ports."""
    minted, own = free_port(), free_port()
    common = {"type": "fixed", "upstream": f"localhost:{server}"}
    running = make_gate(ini({
        "proxy": {"workers": 1},
        "upstream": {"trust": pki.trust},
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "audit": {"file": "audit.jsonl"},
        "listen minted": {**common, "address": f"127.0.0.1:{minted}"},
        "listen own": {**common, "address": f"127.0.0.1:{own}",
                       "certificate": pki.rsa.chain, "key": pki.rsa.key},
    }))
    running.minted, running.own = minted, own
    return running


def connect(port, pki, ca_folder):
    context = ssl.create_default_context(cafile=pki.trust)
    context.load_verify_locations(ca_folder / "ca.pem")
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=PATIENCE)
    connection.connect()
    return connection


def ask(connection, authorization):
    connection.request("GET", "/", headers={"Authorization": authorization})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("WWW-Authenticate", "")


def log_in(connection, bound):
    """The status after an NTLM login, which is bound to the certificate that the client sees."""
    seen = connection.sock.getpeercert(binary_form=True)
    name = gssapi.Name(f"{USER}@DOM", gssapi.NameType.user)
    credentials = gssapi.raw.acquire_cred_with_password(
        name, PASSWORD.encode(), usage="initiate", mechs=[NTLM]).creds
    login = gssapi.SecurityContext(
        name=gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(credentials), usage="initiate", mech=NTLM,
        channel_bindings=binding(seen) if bound else None)
    challenge = None
    for _ in range(2):
        token = login.step(challenge)
        status, answer = ask(connection, "NTLM " + base64.b64encode(token).decode())
        challenge = base64.b64decode(answer.partition(" ")[2])
    return status


def through(gate, listener, pki, ca_folder, bound):
    connection = connect(getattr(gate, listener), pki, ca_folder)
    status = log_in(connection, bound)
    connection.close()
    record = gate.wait_record(lambda r: r["suitegate"].get("listener") == listener,
                              action="connection-closed")
    return status, record["suitegate"]["channel_binding"]


def test_directly(server, pki, ca_folder):
    connection = connect(server, pki, ca_folder)
    assert log_in(connection, bound=True) == 200
    connection.close()


def test_a_bound_login_needs_the_servers_own_certificate(gate, pki, ca_folder):
    assert through(gate, "own", pki, ca_folder, bound=True) == (200, "same")
    assert through(gate, "minted", pki, ca_folder, bound=True) == (403, "differs")
    said = gate.wait_record(action="channel-binding-differs")
    assert said["suitegate"]["listener"] == "minted"


@pytest.mark.parametrize("listener", ["minted", "own"])
def test_a_login_that_is_not_bound_passes(gate, pki, ca_folder, listener):
    assert through(gate, listener, pki, ca_folder, bound=False)[0] == 200


@pytest.mark.parametrize("listener", ["minted", "own"])
def test_basic_passes(gate, pki, ca_folder, listener):
    connection = connect(getattr(gate, listener), pki, ca_folder)
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert ask(connection, f"Basic {login}")[0] == 200
    connection.close()
