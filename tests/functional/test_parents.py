"""Upstreams behind a parent proxy: through real ones, and never around them."""

import base64
import contextlib
import os
import shutil
import struct

import pytest

import hellos
import proxies
import wire
from client_programs import command
from gate import StartError, ca_init, free_port, ini
from names import ELSEWHERE, World
from upstreams import Peer, Process
from verdicts import assert_refusal, only_refusal

LOGIN = "suite:gate way"


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def make_child(make_gate, pki, ca_folder):
    """make_child(url, kind=.., SECTION={..}) -> Gate behind that parent"""
    def make(url, *, kind="forward", parent=None, upstream=None, proxy=None, listen=None,
             options=None):
        port = free_port()
        gate = make_gate(ini({
            "proxy": proxy or {},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, "parent": "office", **(upstream or {})},
            "parent office": {"url": url, **(parent or {})},
            "audit": {"file": "audit.jsonl"},
            "listen child": {"type": kind, "address": f"127.0.0.1:{port}",
                             **(listen or {})},
        }), **(options or {}))
        gate.port, gate.ca_path = port, ca_folder / "ca.pem"
        return gate

    return make


def curl(gate, port, *more, name="localhost"):
    return command("curl", "-sS", "--proxy", f"http://127.0.0.1:{gate.port}", "--cacert",
                   gate.ca_path, *more, f"https://{name}:{port}/hello.txt")


def refused(gate, code, port=443):
    """The refusal of one CONNECT, and its record."""
    answer = hellos.ask(gate.port, hellos.connect_request(f"app.example.test:{port}"))
    record = only_refusal(gate, code)
    assert_refusal(record, code)
    assert record["suitegate"]["parent"] == "office"
    assert record["destination"] == {"domain": "app.example.test", "port": port}
    assert answer.status == 502
    return record


# ---- real parents ---------------------------------------------------------------------------

@contextlib.contextmanager
def tinyproxy(folder, login=None):
    port = free_port()
    user, _, password = (login or "").partition(":")
    with proxies.tinyproxy(folder, port, f"BasicAuth {user} {password}" if login else "") as it:
        it.url = f"http://127.0.0.1:{port}"
        yield it


@contextlib.contextmanager
def squid(folder, login=None, denied=None, tls=None):
    port = free_port()
    helper = folder / "login.sh"
    helper.write_text(f"""#!/bin/sh
while read -r user password; do
  if [ "$user:$password" = "{(login or '').replace(' ', '%20')}" ]; then echo OK; else echo ERR; fi
done
""")
    helper.chmod(0o755)
    authenticate = f"""
auth_param basic program {helper}
auth_param basic realm office
acl known proxy_auth REQUIRED
""" if login else ""
    with proxies.squid(folder, port, f"""
{authenticate}
{f"acl bad dstdomain {denied}" if denied else ""}
{"http_access deny bad" if denied else ""}
http_access allow {"known" if login else "all"}
""", tls=tls) as it:
        it.url = f"{'https' if tls else 'http'}://localhost:{port}"
        yield it


@contextlib.contextmanager
def dante(folder, login=None):
    port = free_port()
    (folder / "danted.conf").write_text(f"""
logoutput: {folder}/log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.5/32 command: connect }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
""")
    with Process(["danted", "-f", folder / "danted.conf"], port, folder / "out") as it:
        it.url = f"socks5://127.0.0.1:{port}"
        yield it


REAL = {"tinyproxy": tinyproxy, "squid": squid, "dante": dante}


@pytest.mark.parametrize("parent", REAL)
def test_through_a_real_one(make_child, origin, tmp_path, parent):
    if parent == "dante" and os.geteuid() != 0:
        pytest.skip("danted has to be started by root")
    with REAL[parent](tmp_path) as it:
        gate = make_child(it.url)
        for _ in range(3):
            done = curl(gate, origin.port)
            assert done.stdout == origin.body, done.stderr
        opened = gate.wait_record(action="connection-opened")
        assert opened["destination"] == {"domain": "localhost", "port": origin.port}
        assert opened["suitegate"]["parent"] == "office"
        done = curl(gate, origin.port, name="127.0.0.1")
        assert done.stdout == origin.body, done.stderr


@pytest.mark.parametrize("parent", ["tinyproxy", "squid"])
def test_with_a_login(make_child, origin, tmp_path, parent):
    login = "suite:gateway" if parent == "tinyproxy" else LOGIN
    with REAL[parent](tmp_path, login=login) as it:
        gate = make_child(it.url, parent={"credentials": private(tmp_path / "login", login)})
        done = curl(gate, origin.port)
        assert done.stdout == origin.body, done.stderr


@pytest.mark.parametrize("parent", ["tinyproxy", "squid"])
@pytest.mark.parametrize("login", [None, "suite:wrong"])
def test_without_the_right_login(make_child, tmp_path, parent, login):
    with REAL[parent](tmp_path, login="suite:gateway") as it:
        credentials = {"credentials": private(tmp_path / "login", login)} if login else {}
        gate = make_child(it.url, parent=credentials)
        record = refused(gate, "parent_authentication_required")
    assert ("and does not accept the one it gets" in record["message"]) == (login is not None)
    if (parent, login) != ("tinyproxy", "suite:wrong"):  # answers 401, without schemes
        assert "its schemes are Basic" in record["message"]
    assert "wrong" not in str(gate.records())


def test_what_it_forbids(make_child, tmp_path):
    with squid(tmp_path, denied=".example.test") as it:
        record = refused(make_child(it.url), "parent_refused")
    assert "answered 403 Forbidden" in record["message"]


def test_what_dante_forbids(make_child, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("danted has to be started by root")
    with dante(tmp_path) as it:
        gate = make_child(it.url)
        assert hellos.ask(gate.port, hellos.connect_request("127.0.0.5:443")).status == 502
        assert "not allowed" in only_refusal(gate, "parent_refused")["message"]


def test_our_own_socks_listener_as_parent(make_child, make_gate, origin, pki, tmp_path):
    """RFC 1929 on both sides; the inner gate sees the outer one's TLS as that of a client."""
    port, folder = free_port(), tmp_path / "outer"
    folder.mkdir()
    logins = private(tmp_path / "logins", f"other:x\n{LOGIN}\n")
    make_gate(ini({
        "ca": {"certificate": make_ca(tmp_path), "key": tmp_path / "own.key"},
        "upstream": {"trust": pki.trust}, "audit": {"file": "audit.jsonl"},
        "listen socks": {"type": "socks5", "address": f"127.0.0.1:{port}", "credentials": logins},
    }), folder=folder)
    trust = pki.bundle("both", pki.trust, tmp_path / "own.pem")
    gate = make_child(f"socks5://127.0.0.1:{port}", upstream={"trust": trust},
                      parent={"credentials": private(tmp_path / "login", LOGIN)})
    done = curl(gate, origin.port)
    assert done.stdout == origin.body, done.stderr


def make_ca(folder):
    """A CA of its own for the second gate."""
    made = ca_init(folder / "second")
    shutil.copy(made, folder / "own.pem")
    shutil.copy(made.with_suffix(".key"), folder / "own.key")
    return folder / "own.pem"


# ---- over TLS -------------------------------------------------------------------------------

def tls_front(folder, pki, leaf, options=""):
    """HAProxy that ends TLS in front of tinyproxy."""
    port = free_port()
    pem = pki.bundle(f"parent-{leaf.name}", leaf.chain, leaf.key)

    @contextlib.contextmanager
    def both():
        with tinyproxy(folder) as inner:
            with proxies.haproxy(folder, port, f"""
frontend front
bind 127.0.0.1:{port} ssl crt {pem} {options}
default_backend back
backend back
server inner 127.0.0.1:{inner.port}
""", mode="tcp", timeout="60s"):
                yield f"https://localhost:{port}"
    return both()


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_a_parent_over_tls(make_child, origin, pki, tmp_path, key):
    with tls_front(tmp_path, pki, getattr(pki, key), "no-tlsv13") as url:
        gate = make_child(url)
        for _ in range(2):
            done = curl(gate, origin.port)
            assert done.stdout == origin.body, done.stderr
        blob = command("curl", "-sS", "--proxy", f"http://127.0.0.1:{gate.port}", "--cacert",
                       gate.ca_path, f"https://localhost:{origin.port}/blob")
        assert blob.stdout == origin.blob


def test_bytes_both_ways_over_tls(make_child, echoing, pki, tmp_path):
    """More than all queues hold."""
    with tls_front(tmp_path, pki, pki.ec, "no-tlsv13") as url:
        gate = make_child(url)
        sock, answer = wire.connect(gate.port, f"localhost:{echoing.port}")
        assert answer.status == 200
        tls = wire.Tls(sock, wire.client_context(gate.ca_path), name="localhost")
        tls.handshake()
        block = os.urandom(1 << 16)
        for _ in range(32):
            tls.send(block)
            assert tls.recv_exactly(len(block)) == block
        tls.close()
    closed = gate.wait_record(action="connection-closed")
    assert closed["event"]["outcome"] == "success"
    assert closed["source"]["bytes"] == closed["destination"]["bytes"] == 32 << 16


def test_a_parent_that_speaks_tls_13_alone_or_weak_suites(make_child, pki, tmp_path):
    for number, (options, why) in enumerate(
            [("ssl-min-ver TLSv1.3", "upstream_protocol_refused"),
             ("no-tlsv13 ciphers AES128-SHA", "upstream_no_approved_suite")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        with tls_front(folder, pki, pki.rsa, options) as url:
            gate = make_child(url, options={"folder": folder})
            record = refused(gate, "parent_tls_failed")
            assert why in record["message"]


@pytest.mark.parametrize("leaf, why", [("expired", "upstream_certificate_expired"),
                                       ("wrong_name", "upstream_certificate_name_mismatch"),
                                       ("unknown_ca", "upstream_certificate_untrusted")])
def test_a_parent_with_a_bad_certificate(make_child, pki, tmp_path, leaf, why):
    with tls_front(tmp_path, pki, getattr(pki, leaf), "no-tlsv13") as url:
        record = refused(make_child(url), "parent_tls_failed")
    assert why in record["message"]
    assert record["suitegate"]["blame"] == "operator"


def test_a_parent_that_does_not_speak_tls(make_child):
    with scripted(b"HTTP/1.0 400 Bad Request\r\n\r\n", read=None) as parent:
        gate = make_child(f"https://127.0.0.1:{parent.port}")
        assert "upstream_not_tls" in refused(gate, "parent_tls_failed")["message"]


# ---- scripted parents -----------------------------------------------------------------------

def scripted(*answers, read=b"\r\n\r\n"):
    """A parent that gives each answer after it has read something; .seen has what it read."""
    seen = []

    def script(sock, _number):
        for answer in answers:
            seen.append(hellos.read_until(sock, read) if read else sock.recv(4096))
            sock.sendall(answer)
        hellos.read_all(sock)

    peer = Peer(script)
    peer.seen = seen
    return peer


HTTP = {
    "403": (b"HTTP/1.1 403 Not here\r\n\r\n", "parent_refused", "answered 403 Not here"),
    "503 with a body": (b"HTTP/1.0 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", "parent_refused",
                        "answered 503 Busy"),
    "302": (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", "parent_refused", "302"),
    "101": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n"
            b"Proxy-Authenticate: Negotiate\r\n\r\n", "parent_authentication_required",
            "its schemes are NTLM, Negotiate"),
    "nonsense": (b"SSH-2.0-x\r\n", "parent_refused", "cannot be read"),
    "TLS": (b"\x15\x03\x01\0\2\2\x46", "parent_refused", "cannot be read"),
    "nothing": (b"", "parent_refused", "closed the connection without an answer"),
    "half": (b"HTTP/1.1 200 OK\r\n", "parent_refused", "closed the connection"),
    "endless": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9000, "parent_refused", "cannot be read"),
    "control characters": (b"HTTP/1.1 403 \x1b[2J\x07{\"a\":\"b\r\n\r\n", "parent_refused",
                           "answered 403 [2J{"),
}


@pytest.mark.parametrize("how", HTTP)
def test_answers_to_connect(make_child, how):
    answer, code, message = HTTP[how]
    seen = []

    def script(sock, _number):
        seen.append(hellos.read_until(sock, b"\r\n\r\n"))
        sock.sendall(answer)

    with Peer(script) as parent:
        gate = make_child(f"http://127.0.0.1:{parent.port}")
        assert message in refused(gate, code)["message"]
    assert seen[0].startswith(b"CONNECT app.example.test:443 HTTP/1.1\r\nHost: app.example.test:443\r\n")
    assert b"Authorization" not in seen[0]


def test_the_login_is_basic(make_child, tmp_path):
    with scripted(b"HTTP/1.1 403 x\r\n\r\n") as parent:
        gate = make_child(f"http://127.0.0.1:{parent.port}",
                          parent={"credentials": private(tmp_path / "login", LOGIN)})
        refused(gate, "parent_refused")
        expected = base64.b64encode(LOGIN.encode())
        assert b"\r\nProxy-Authorization: Basic " + expected + b"\r\n" in parent.seen[0]
    assert expected.decode() not in str(gate.records())


def test_bytes_behind_the_answer_are_judged_as_tls(make_child):
    """A parent cannot put bytes in front of the upstream's."""
    with scripted(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n") as parent:
        gate = make_child(f"http://127.0.0.1:{parent.port}")
        with hellos.open_tunnel(gate.port, "app.example.test:443") as sock:
            sock.sendall(hellos.hello(name="app.example.test"))
            hellos.read_all(sock)
        assert only_refusal(gate, "upstream_not_tls")["suitegate"]["parent"] == "office"


SOCKS = {
    "no method": ([b"\5\xff"], "parent_authentication_required", "wants a login"),
    "unknown method": ([b"\5\x03"], "parent_refused", "cannot be read"),
    "login not offered": ([b"\5\2"], "parent_refused", "cannot be read"),
    "refused": ([b"\5\0", b"\5\5\0\1" + bytes(6)], "parent_refused", "5 (connection refused)"),
    "rules": ([b"\5\0", b"\5\2"], "parent_refused", "2 (not allowed by its rules)"),
    "unknown": ([b"\5\0", b"\5\x63\0\1" + bytes(6)], "parent_refused", "99 (unknown)"),
    "SOCKS 4": ([b"\0\x5b"], "parent_refused", "cannot be read"),
    "HTTP": ([b"HTTP/1.0 400 x\r\n\r\n"], "parent_refused", "cannot be read"),
    "address": ([b"\5\0", b"\5\0\0\2" + bytes(6)], "parent_refused", "cannot be read"),
}


@pytest.mark.parametrize("how", SOCKS)
def test_answers_of_socks(make_child, how):
    answers, code, message = SOCKS[how]
    with scripted(*answers, read=None) as parent:
        gate = make_child(f"socks5://127.0.0.1:{parent.port}")
        assert message in refused(gate, code)["message"]
    assert parent.seen[0] == b"\5\1\0"
    if len(answers) > 1:
        assert parent.seen[1] == b"\5\1\0\3\x10app.example.test" + struct.pack(">H", 443)


@pytest.mark.parametrize("answers, message", [([b"\5\2", b"\1\1"], "does not accept the login"),
                                              ([b"\5\xff"], "neither a login")])
def test_a_login_that_socks_does_not_take(make_child, tmp_path, answers, message):
    with scripted(*answers, read=None) as parent:
        gate = make_child(f"socks5://127.0.0.1:{parent.port}",
                          parent={"credentials": private(tmp_path / "login", LOGIN)})
        assert message in refused(gate, "parent_authentication_required")["message"]
    assert parent.seen[0] == b"\5\2\0\2"


# ---- never around it ------------------------------------------------------------------------

def test_a_dead_parent_is_no_reason_to_go_directly(make_child, echoing):
    gate = make_child(f"http://127.0.0.1:{free_port()}")
    assert hellos.ask(gate.port, hellos.connect_request(f"localhost:{echoing.port}")).status == 502
    record = only_refusal(gate, "parent_unreachable")
    assert "refused the connection" in record["message"]
    assert echoing.count == 0


def test_a_parent_without_an_answer(make_child):
    with Peer(lambda sock, _number: hellos.read_all(sock)) as parent:
        gate = make_child(f"http://127.0.0.1:{parent.port}", proxy={"connect_timeout": "300ms"})
        assert "within connect_timeout" in refused(gate, "parent_unreachable")["message"]


def test_a_parent_whose_name_does_not_exist(make_child):
    gate = make_child("http://parent.invalid:3128")
    assert "name that does not exist" in refused(gate, "parent_unreachable")["message"]


def test_its_own_listener_is_no_parent(make_child):
    port = free_port()
    gate = make_child(f"http://127.0.0.1:{port}", listen={"address": f"127.0.0.1:{port}"})
    gate.port = port
    assert hellos.ask(port, hellos.connect_request("app.example.test:443")).status == 502
    assert only_refusal(gate, "proxy_loop")


def test_its_own_listener_is_no_target_behind_a_parent(make_child, tmp_path):
    with tinyproxy(tmp_path) as it:
        gate = make_child(it.url)
        assert hellos.ask(gate.port, hellos.connect_request(f"127.0.0.1:{gate.port}")).status == 502
        assert only_refusal(gate, "proxy_loop")


def test_a_circle_through_a_parent_ends(make_child, tmp_path):
    """The name leads back to the gate at the parent only: the gate knows its own hello again."""
    with tinyproxy(tmp_path) as it:
        port = free_port()
        gate = make_child(it.url, kind="sni", listen={
            "address": f"127.0.0.1:{port}", "allow_upstreams": "*", "upstream_port": port})
        command("curl", "-sSk", "--connect-to", f"::127.0.0.1:{port}", f"https://localhost:{port}/")
        assert gate.wait_record(code="proxy_loop")
        gate.settle()
    refused = [r["event"]["code"] for r in gate.matching(action="connection-refused")]
    assert len(refused) < 16 and refused.count("proxy_loop") == 1


def test_a_chain_of_two_listeners_is_no_circle(make_child, origin, pki, ca_folder, tmp_path):
    """A client of the forward listener, for a host that a balancer leads to the fixed one."""
    fixed = free_port()
    trust = pki.bundle("chained", pki.trust, ca_folder / "ca.pem")
    with tinyproxy(tmp_path) as it:
        gate = make_child(it.url, upstream={"trust": trust}, listen={
            "parent": f"direct\n[listen front]\ntype = fixed\naddress = 127.0.0.1:{fixed}\n"
                      f"upstream = localhost:{origin.port}\nparent = direct"})
        gate.write_config(gate.config.replace("parent = direct", "parent = office", 1))
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        done = command("curl", "-sS", "--proxy", f"http://127.0.0.1:{gate.port}", "--cacert",
                       gate.ca_path, f"https://localhost:{fixed}/hello.txt")
        assert done.stdout == origin.body, done.stderr
        gate.settle()
    assert len(gate.matching(action="connection-opened")) == 2


@pytest.mark.parametrize("pattern", ["localhost", "*:{port}", "*"])
def test_no_proxy(make_child, origin, pattern):
    gate = make_child(f"http://127.0.0.1:{free_port()}",
                      parent={"no_proxy": ["10.0.0.0/8", pattern.format(port=origin.port)]})
    assert curl(gate, origin.port).stdout == origin.body
    assert "parent" not in gate.wait_record(action="connection-opened")["suitegate"]


def test_a_listener_has_its_own_way(make_child, origin):
    gate = make_child(f"http://127.0.0.1:{free_port()}")
    gate.write_config(gate.config.replace("type = forward", "type = forward\nparent = direct"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert curl(gate, origin.port).stdout == origin.body


@pytest.mark.parametrize("kind", ["fixed", "sni", "socks5"])
def test_every_type_goes_through_it(make_child, origin, tmp_path, kind):
    extra = {"fixed": {"upstream": f"localhost:{origin.port}"},
             "sni": {"allow_upstreams": "*", "upstream_port": origin.port}}.get(kind, {})
    with tinyproxy(tmp_path) as it:
        gate = make_child(it.url, kind=kind, listen=extra)
        how = ["--socks5-hostname", f"127.0.0.1:{gate.port}"] if kind == "socks5" else \
            ["--connect-to", f"::127.0.0.1:{gate.port}"]
        done = command("curl", "-sS", "--cacert", gate.ca_path, *how,
                       f"https://localhost:{origin.port}/hello.txt")
        assert done.stdout == origin.body, done.stderr
        assert gate.wait_record(action="connection-opened")["suitegate"]["parent"] == "office"


# ---- what clients may not reach through it ----------------------------------------------------

TARGETS = {"0x7f000001:443": 400, "127.0.0.0x1:443": 400, "ip6-localhost:443": 403,
           "localhost.localdomain:443": 403, "[::ffff:0:127.0.0.1]:443": 403,
           "[64:ff9b:1::7f00:1]:443": 403, "127.0.0.1:443": 403, "[::1]:443": 403, "169.254.169.254:80": 403, "localhost:443": 403,
           "a.localhost:443": 403, "[::ffff:127.0.0.1]:443": 403, "0.0.0.0:443": 403,
           "203.0.113.7:443": 502, "app.example.test:443": 502}


@pytest.mark.parametrize("allowed", [None, ["127.0.0.0/8", "localhost", "*"]])
def test_the_parents_own_addresses(pki, ca_folder, tmp_path, make_gate, allowed):
    with World(tmp_path, {}) as world:
        gate = make_gate(ini({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, "parent": "office"},
            "parent office": {"url": "http://127.0.0.1:9"}, "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"{ELSEWHERE}:8080",
                               "allow_upstreams": allowed, "allow_clients": f"{ELSEWHERE}/32"}}),
            wrapper=world.enter)
        for target, status in TARGETS.items():
            if allowed and target in ("127.0.0.1:443", "localhost:443", "[::ffff:127.0.0.1]:443"):
                status = 502
            code = (f"import socket; s = socket.create_connection(('{ELSEWHERE}', 8080), "
                    f"source_address=('{ELSEWHERE}', 0)); "
                    f"s.sendall(b'CONNECT {target} HTTP/1.0\\r\\n\\r\\n'); print(s.recv(99))")
            done = command(*world.enter, "python3", "-c", code)
            assert str(status).encode() in done.stdout, (target, done.stdout, done.stderr)


# ---- configuration --------------------------------------------------------------------------

FAULTS = {
    "open file": ("suite:gate", 0o640, "login"),
    "no colon": ("suite", 0o600, "not user:password"),
    "two": ("a:b\nc:d\n", 0o600, "more than one login"),
    "empty": ("", 0o600, "no line user:password"),
}


@pytest.mark.parametrize("how", FAULTS)
def test_faults_of_the_credentials(make_child, tmp_path, how):
    text, mode, message = FAULTS[how]
    path = private(tmp_path / "login", text)
    path.chmod(mode)
    with pytest.raises(StartError) as failed:
        make_child("http://127.0.0.1:3128", parent={"credentials": path})
    assert message in str(failed.value)


@pytest.mark.parametrize("url", ["http://proxy", "proxy:3128", "ftp://proxy:1", "http://u:p@proxy:1",
                                 "http://proxy:0", "socks4://proxy:1", "http://proxy:1/x"])
def test_what_is_no_url(make_child, url):
    with pytest.raises(StartError, match="url: must be http://HOST:PORT"):
        make_child(url)


def test_a_password_in_a_url_is_not_repeated(make_child):
    with pytest.raises(StartError) as failed:
        make_child("http://user:S3CRET@proxy:3128")
    assert "S3CRET" not in str(failed.value).split("suitegate.ini:", 1)[1]
    gate = make_child("http://proxy:3128", options={})
    gate.write_config(gate.config.replace("http://proxy", "http://user:S3CRET@proxy"))
    assert gate.reload()["event"]["action"] == "configuration-rejected"
    assert "S3CRET" not in str(gate.records()) + gate.stderr


def test_a_pipe_is_no_credentials_file(make_child, tmp_path):
    os.mkfifo(tmp_path / "login", 0o600)
    with pytest.raises(StartError, match="login: Operation not supported"):
        make_child("http://proxy:3128", parent={"credentials": tmp_path / "login"})


def test_names_of_parents(make_child):
    with pytest.raises(StartError, match="there is no such section: other"):
        make_child("http://proxy:1", upstream={"parent": "other"})
    with pytest.raises(StartError, match="parent: there is no such section"):
        make_child("http://proxy:1", listen={"parent": "who"})
