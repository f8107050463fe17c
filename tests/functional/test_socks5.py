"""A socks5 listener: the clients that pass, and the answer to each request that does not."""

import socket
import struct

import pytest

import hellos
import jvm
from client_programs import command
from gate import ROOT, free_port, ini
from hellos import hello
from names import BlackHole, NameServer
from verdicts import only_refusal

SUCCEEDED, FAILURE, DENIED, HOST, REFUSED, COMMAND, ADDRESS = 0, 1, 2, 4, 5, 7, 8
METHODS = b"\5\1\0"
CHOSEN = b"\5\0"


@pytest.fixture
def make_socks(make_gate, pki, ca_folder):
    """make_socks(upstream={..}, proxy={..}, **listen options) -> Gate"""
    def make(*, upstream=None, proxy=None, **listen):
        port = free_port()
        gate = make_gate(ini({
            "proxy": proxy or {},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, **(upstream or {})},
            "audit": {"file": "audit.jsonl"},
            "listen socks": {"type": "socks5", "address": f"127.0.0.1:{port}", **listen},
        }))
        gate.port, gate.ca_path = port, ca_folder / "ca.pem"
        return gate

    return make


def request(host, port, command=1, kind=None):
    """RFC 1928 section 4; host is a name, or an address that is sent as one."""
    for number, family in ((1, socket.AF_INET), (4, socket.AF_INET6)):
        try:
            body = socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return bytes([5, command, 0, kind or number]) + body + struct.pack(">H", port)
    name = host.encode("latin-1")
    return bytes([5, command, 0, kind or 3, len(name)]) + name + struct.pack(">H", port)


def reply(code):
    return bytes([5, code, 0, 1]) + bytes(6)


def ask(gate, raw, source=None):
    with hellos.connect(gate.port, source=source) as sock:
        sock.sendall(raw)
        return hellos.read_all(sock)


# ---- who gets through -----------------------------------------------------------------------

def curl(gate, url, *how):
    return command("curl", "-sS", "--cacert", gate.ca_path, *how, url)


@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_curl(make_socks, origin, option, host):
    gate = make_socks()
    done = curl(gate, f"https://{host}:{origin.port}/hello.txt", option, f"127.0.0.1:{gate.port}")
    assert done.stdout == origin.body, done.stderr
    opened = gate.wait_record(action="connection-opened")["destination"]
    assert opened["port"] == origin.port
    assert opened["ip"] in ("127.0.0.1", "::1")
    if host == "localhost" and option == "--socks5-hostname":
        assert opened["domain"] == "localhost"


def test_java(make_socks, origin, tmp_path):
    """URLConnection goes by the system properties for SOCKS and names the host; HttpClient, which
    comes next in this program, ignores them."""
    with NameServer(tmp_path, {"app.example.test": {"A": ["127.0.0.1"]}},
                    free_port("127.0.0.53")) as dns:
        gate = make_socks(upstream={"resolver": dns.address})
        done = command(*jvm.argv("Direct", f"https://app.example.test:{origin.port}/hello.txt",
                             gate.ca_path, options=["-DsocksProxyHost=127.0.0.1",
                                                    f"-DsocksProxyPort={gate.port}"]))
    assert b"URLConnection 200" in done.stdout, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert opened["destination"]["domain"] == "app.example.test"


@pytest.mark.parametrize("step", [1, 2, 1000], ids=["byte by byte", "two bytes", "at once"])
def test_messages_in_pieces(make_socks, origin, step):
    gate = make_socks()
    raw = METHODS + request("localhost", origin.port) + hello()
    with hellos.connect(gate.port) as sock:
        for at in range(0, len(raw), step):
            sock.sendall(raw[at:at + step])
        answer = b""
        while len(answer) < len(CHOSEN + reply(0)) + 5:
            answer += sock.recv(4096)
    assert answer.startswith(CHOSEN + reply(SUCCEEDED) + b"\x16\3\3")


# ---- who does not ---------------------------------------------------------------------------

NOT_SOCKS = {
    "SOCKS 4": (b"\4\1\0\x50\x7f\0\0\1\0", b"", "SOCKS 4"),
    "HTTP": (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n", b"", "not SOCKS 5"),
    "TLS": (hello(), b"", "not SOCKS 5"),
    "a login": (b"\5\1\2", b"\5\xff", "log in"),
    "no method": (b"\5\0", b"\5\xff", "log in"),
}


@pytest.mark.parametrize("what", NOT_SOCKS)
def test_what_is_no_socks_5(make_socks, what):
    raw, answer, words = NOT_SOCKS[what]
    gate = make_socks()
    assert ask(gate, raw) == answer
    assert words in only_refusal(gate, "client_bad_request")["message"]


BAD = {
    "bind": (request("localhost", 1, command=2), COMMAND),
    "udp": (request("localhost", 1, command=3), COMMAND),
    "kind 2": (request("127.0.0.1", 1, kind=2), ADDRESS),
    "port 0": (request("localhost", 0), FAILURE),
    "a name with a slash": (request("a/b", 1), FAILURE),
    "a name with a NUL": (request("a\0b", 1), FAILURE),
    "a name with a port": (request("a:80", 1), FAILURE),
    "version 4": (b"\4" + request("localhost", 1)[1:], FAILURE),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_gets_its_reply(make_socks, what):
    raw, code = BAD[what]
    gate = make_socks()
    assert ask(gate, METHODS + raw) == CHOSEN + reply(code)
    record = only_refusal(gate, "client_bad_request")
    assert record["suitegate"]["identity"] == ("localhost" if code == COMMAND else "")


def test_a_destination_that_is_not_allowed(make_socks, origin):
    gate = make_socks(allow_upstreams="*.example.test")
    assert ask(gate, METHODS + request("localhost", origin.port)) == CHOSEN + reply(DENIED)
    assert only_refusal(gate, "destination_denied")["destination"]["domain"] == "localhost"


def test_a_client_of_another_address(make_socks):
    gate = make_socks(allow_clients="127.0.0.9")
    assert ask(gate, METHODS) in (b"\5\xff", b"")
    only_refusal(gate, "client_denied")


def test_a_port_where_nobody_listens(make_socks):
    gate = make_socks()
    raw = METHODS + request("127.0.0.1", free_port())
    assert ask(gate, raw) == CHOSEN + reply(REFUSED)
    only_refusal(gate, "upstream_unreachable")


def test_a_port_that_does_not_answer(make_socks):
    gate = make_socks(proxy={"connect_timeout": "1s"})
    port = free_port()
    with BlackHole("127.0.0.1", port):
        assert ask(gate, METHODS + request("127.0.0.1", port)) == CHOSEN + reply(HOST)
    only_refusal(gate, "upstream_timeout")


@pytest.mark.parametrize("name, code", [("missing.test", "upstream_name_not_found"),
                                        ("broken.test", "upstream_name_lookup_failed")])
def test_a_name_that_leads_nowhere(make_socks, tmp_path, name, code):
    with NameServer(tmp_path, {"broken.test": "SERVFAIL"}, free_port("127.0.0.53")) as dns:
        gate = make_socks(upstream={"resolver": dns.address})
        assert ask(gate, METHODS + request(name, 1)) == CHOSEN + reply(HOST)
        assert only_refusal(gate, code)["destination"]["domain"] == name


def test_a_loop(make_socks):
    gate = make_socks()
    assert ask(gate, METHODS + request("127.0.0.1", gate.port)) == CHOSEN + reply(FAILURE)
    only_refusal(gate, "proxy_loop")


def test_a_weak_client_gets_its_alert_after_the_reply(make_socks, origin):
    gate = make_socks()
    with hellos.connect(gate.port) as sock:
        sock.sendall(METHODS + request("localhost", origin.port))
        answer = b""
        while len(answer) < len(CHOSEN + reply(0)):
            answer += sock.recv(64)
        sock.sendall(hello(suites=(0x002F,)))
        assert hellos.read_all(sock) == hellos.alert_bytes(40)
    record = only_refusal(gate, "client_no_approved_suite")
    assert record["destination"]["domain"] == "localhost"


def test_another_name_in_the_hello(make_socks, origin):
    gate = make_socks()
    raw = METHODS + request("localhost", origin.port)
    with hellos.connect(gate.port) as sock:
        sock.sendall(raw + hello(name="other.example"))
        assert hellos.read_all(sock).endswith(hellos.alert_bytes(112))
    only_refusal(gate, "client_server_name_mismatch")


def test_a_client_that_leaves_or_stalls_in_between(make_gate, pki, ca_folder):
    port = free_port()
    gate = make_gate(ini({
        "proxy": {"hello_timeout": "1s"},
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": {"trust": pki.trust}, "audit": {"file": "audit.jsonl"},
        "listen socks": {"type": "socks5", "address": f"127.0.0.1:{port}"}}))
    gate.port = port
    with hellos.connect(port) as sock:
        sock.sendall(METHODS + b"\5\1")
        sock.shutdown(socket.SHUT_WR)
        assert hellos.read_all(sock).startswith(CHOSEN)
    gate.wait_record(code="client_bad_request")
    with hellos.connect(port) as sock:
        sock.sendall(METHODS)
        assert hellos.read_all(sock) == CHOSEN
    gate.wait_record(code="client_hello_timeout")


def python_client(gate, port, body, login=None):
    """PySocks, as requests and urllib3 use it."""
    user, _, password = (login or "").partition(":")
    code = f"""
import socks, ssl
s = socks.socksocket()
s.set_proxy(socks.SOCKS5, "127.0.0.1", {gate.port}, rdns=True, username={user or None!r},
            password={password or None!r})
s.connect(("localhost", {port}))
t = ssl.create_default_context(cafile={str(gate.ca_path)!r}).wrap_socket(s, server_hostname="localhost")
t.sendall(b"GET /hello.txt HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
while data := t.recv(4096): print(data.decode())
"""
    done = command("/usr/bin/python3", "-c", code)
    assert body in done.stdout, done.stderr


def test_python(make_socks, origin):
    python_client(make_socks(), origin.port, origin.body.strip())


def test_netcat_as_a_proxy_command(make_socks, echoing):
    """As ssh and others use it; what it carries is judged as everywhere."""
    gate = make_socks()
    done = command("nc.openbsd", "-N", "-X", "5", "-x", f"127.0.0.1:{gate.port}", "localhost",
                   echoing.port, stdin=hello(suites=(0x002F,)))
    assert done.stdout == hellos.alert_bytes(40)
    assert gate.wait_record(code="client_no_approved_suite")["destination"]["domain"] == "localhost"


# ---- with a login ---------------------------------------------------------------------------

@pytest.fixture
def make_private(make_socks, tmp_path):
    """A listener with the logins ada:one two and bob:x:y."""
    def make():
        path = tmp_path / "logins"
        path.write_text("# who\nada:one two\nbob:x:y\n")
        path.chmod(0o600)
        return make_socks(credentials=path)
    return make


def log_in(user, password):
    return b"\1" + bytes([len(user)]) + user + bytes([len(password)]) + password


@pytest.mark.parametrize("login", ["ada:one two", "bob:x:y"])
def test_curl_logs_in(make_private, origin, login):
    gate = make_private()
    done = curl(gate, f"https://localhost:{origin.port}/hello.txt", "--socks5-hostname",
                f"127.0.0.1:{gate.port}", "--proxy-user", login)
    assert done.stdout == origin.body, done.stderr


@pytest.mark.parametrize("login", [None, "ada:one", "bob:x", "eve:one two", "ada:"])
def test_curl_with_a_wrong_login(make_private, origin, login):
    gate = make_private()
    how = ["--proxy-user", login] if login else []
    done = curl(gate, f"https://localhost:{origin.port}/hello.txt", "--socks5-hostname",
                f"127.0.0.1:{gate.port}", *how)
    assert done.returncode != 0 and done.stdout == b""
    record = only_refusal(gate, "client_login_failed")
    assert "one two" not in str(record)


WRONG = {
    "none offered": (b"\5\1\0", b"\5\xff", "client_login_failed"),
    "password": (b"\5\2\0\2" + log_in(b"ada", b"one"), b"\5\2\1\1", "client_login_failed"),
    "empty user": (b"\5\1\2" + log_in(b"", b"one two"), b"\5\2\1\1", "client_login_failed"),
    "NUL": (b"\5\1\2" + log_in(b"ada\0", b"one two"), b"\5\2\1\1", "client_login_failed"),
    "longest": (b"\5\1\2" + log_in(b"a" * 255, b"b" * 255), b"\5\2\1\1", "client_login_failed"),
    "another version": (b"\5\1\2\5\1\0\1", b"\5\2\1\1", "client_bad_request"),
    "no login at all": (b"\5\1\2" + request("localhost", 443), b"\5\2\1\1", "client_bad_request"),
}


@pytest.mark.parametrize("how", WRONG)
def test_nobody_gets_past_the_login(make_private, how):
    gate = make_private()
    raw, answer, code = WRONG[how]
    assert ask(gate, raw + request("localhost", 443)) == answer
    assert "destination" not in only_refusal(gate, code)


def test_python_logs_in(make_private, origin):
    python_client(make_private(), origin.port, origin.body.strip(), "bob:x:y")
