"""mode = observe: TLS passes unchanged, and the log says what enforcing would have done. The judge is
a second gate that enforces."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import ssl
import threading
import time

import pytest

import hellos
import wire
from client_programs import command
from gate import free_port, ini, run

from upstreams import Peer, gnutls_serv, s_server
from verdicts import VERDICTS



@pytest.fixture
def make_pair(make_gate, pki, ca_folder, tmp_path):
    """make_pair(kind, upstream port, **listen options) -> an observing and an enforcing gate"""
    def one(kind, mode, port, upstream, options, listen):
        needs = {"fixed": {"upstream": f"127.0.0.1:{port}", "upstream_name": "localhost"},
                 "sni": {"allow_upstreams": "*", "upstream_port": port}}.get(kind, {})
        folder = tmp_path / mode
        folder.mkdir()
        own = free_port()
        gate = make_gate(ini({
            "proxy": options or {},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, **(upstream or {})},
            "audit": {"file": "audit.jsonl"},
            "listen it": {"type": kind, "address": f"127.0.0.1:{own}", "mode": mode, **needs,
                          **listen},
        }), folder=folder)
        gate.port, gate.kind, gate.target = own, kind, port
        gate.ca_path = pki.root.cert if mode == "observe" else ca_folder / "ca.pem"
        return gate

    def make(kind, port, *, upstream=None, proxy=None, **listen):
        return tuple(one(kind, mode, port, upstream, proxy, listen)
                     for mode in ("observe", "enforce"))

    return make


def observed(gate, count=1):
    record = gate.wait_record(action="connection-observed", count=count)
    assert record["suitegate"]["mode"] == "observe"
    return record


def outlook(record):
    would = record["suitegate"]["would_refuse"]
    return would.get("code", would["outcome"])


def curl(gate, *more, path="/hello.txt"):
    how = {"forward": ["--proxy", f"http://127.0.0.1:{gate.port}"],
           "socks5": ["--socks5-hostname", f"127.0.0.1:{gate.port}"]}.get(
               gate.kind, ["--connect-to", f"::127.0.0.1:{gate.port}"])
    return command("curl", "-sS", "--cacert", gate.ca_path, *how, *more,
                   f"https://localhost:{gate.target}{path}")


# ---- what passes ----------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["forward", "fixed", "sni", "socks5"])
def test_the_bytes_are_the_upstreams_own(make_pair, origin, kind):
    """The client sees the origin's certificate; TLS 1.3 is not seen through."""
    gate, _ = make_pair(kind, origin.port)
    done = curl(gate, path="/blob")
    assert done.stdout == origin.blob, done.stderr
    record = observed(gate)
    assert outlook(record) == "unknown"
    assert record["suitegate"]["would_refuse"]["command"].startswith("suitegate check ")
    assert record["tls"]["version"] == "1.3"
    closed = gate.wait_record(action="connection-closed")
    assert closed["destination"]["bytes"] > len(origin.blob)
    assert closed["suitegate"]["mode"] == "observe"
    assert not gate.matching(action="connection-opened")


@pytest.mark.parametrize("kind", ["forward", "fixed", "sni", "socks5"])
def test_a_session_within_the_policy_would_pass(make_pair, origin, kind):
    gate, enforcing = make_pair(kind, origin.port)
    for one in (gate, enforcing):
        assert curl(one, "--tls-max", "1.2").stdout == origin.body
    record = observed(gate)
    assert outlook(record) == "pass"
    assert record["suitegate"]["upstream"]["tls"]["server"]["subject"]
    assert "established" not in record["tls"]
    assert enforcing.wait_record(action="connection-opened")["suitegate"]["mode"] == "enforce"


def test_every_byte_of_both_sides(make_pair, pki):
    """Also what follows in the same segment, and a half-closed end."""
    got, block = [], os.urandom(1 << 20)

    def script(sock, _number):
        sock.sendall(block)
        got.append(hellos.read_all(sock))
        sock.sendall(b"the end")

    with Peer(script) as peer:
        gate, _ = make_pair("fixed", peer.port)
        with hellos.connect(gate.port) as sock:
            assert sock.recv(1, socket.MSG_PEEK)  # the server speaks first
            sock.sendall(hellos.hello() + block)
            sock.shutdown(socket.SHUT_WR)
            assert hellos.read_all(sock) == block + b"the end"
        record = gate.wait_record(action="connection-closed")
        assert record["source"]["bytes"] == len(hellos.hello() + block)
        assert record["destination"]["bytes"] == len(block) + 7
    assert [len(data) for data in got] == [len(hellos.hello() + block)]


# ---- what enforcing would have refused, judged by an enforcing gate ---------------------------

UPSTREAMS = {
    "good": lambda folder, pki: s_server(folder, pki.ec, "-tls1_2"),
    "rsa": lambda folder, pki: s_server(folder, pki.rsa, "-tls1_2"),
    "expired": lambda folder, pki: s_server(folder, pki.expired, "-tls1_2"),
    "not yet": lambda folder, pki: s_server(folder, pki.not_yet_valid, "-tls1_2"),
    "name": lambda folder, pki: s_server(folder, pki.wrong_name, "-tls1_2"),
    "stranger": lambda folder, pki: s_server(folder, pki.unknown_ca, "-tls1_2"),
    "old": lambda folder, pki: s_server(folder, pki.rsa, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "gnutls": lambda folder, pki: gnutls_serv(folder, pki.rsa, "NORMAL:-VERS-ALL:+VERS-TLS1.2"),
}
CERTIFICATE = {"expired": "upstream_certificate_expired",
               "not yet": "upstream_certificate_not_yet_valid",
               "name": "upstream_certificate_name_mismatch",
               "stranger": "upstream_certificate_untrusted"}
# With clients that trust anything, as those of a legacy host may.
CLIENTS = {
    "good": ("-tls1_2", "-cipher", "ECDHE+AESGCM"),
    "old": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "dhe": ("-tls1_2", "-cipher", "kDHE:kRSA:@SECLEVEL=0"),
    "sha1": ("-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "RSA+SHA1:ECDSA+SHA1"),
    "x448": ("-tls1_2", "-cipher", "ECDHE+AESGCM", "-groups", "X448"),
    "tls13": ("-tls1_3",),
}


def attempt(gate, options):
    return command("openssl", "s_client", "-connect", f"127.0.0.1:{gate.port}", "-servername",
                   "localhost", "-ign_eof", *options,
                   stdin=b"GET / HTTP/1.0\r\n\r\n", timeout=60)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_enforcing_agrees(make_pair, pki, tmp_path, upstream):
    """For every client in turn: what was said of it comes true, if it was known."""
    with UPSTREAMS[upstream](tmp_path, pki) as server:
        gate, enforcing = make_pair("fixed", server.port)
        for client in CLIENTS.values():
            attempt(gate, client)
            attempt(enforcing, client)
    gate.settle()
    enforcing.settle()
    said = [outlook(r) for r in gate.matching(action="connection-observed")]
    became = [r["event"].get("code", "pass") for r in enforcing.records()
              if r["event"]["action"] in ("connection-opened", "connection-refused")]
    assert len(said) == len(became) == len(CLIENTS)
    different = [(s, b) for s, b in zip(said, became) if s not in (b, "unknown")]
    assert not different
    if upstream != "gnutls":  # which asks for a client certificate
        assert said[0] != "unknown"
    for record in gate.matching(action="connection-observed"):
        would = record["suitegate"]["would_refuse"]
        if would["outcome"] == "refuse":
            verdict = VERDICTS[would["code"]]
            assert (would["leg"], would["blame"]) == (verdict.leg, verdict.blame)


HELLOS = {
    "no suite": hellos.hello(suites=(0x002F,)),
    "SSL 2.0": hellos.sslv2_hello(),
    "not TLS": b"SSH-2.0-OpenSSH\r\n" + bytes(99),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no group": hellos.hello(groups=(0x001E,)),
    "huge": hellos.records(hellos.handshake(1, bytes(100000))),
    "malformed": hellos.records(hellos.handshake(1, b"\3\3" + bytes(10))),
    "another name": hellos.hello(name="other.test"),
    "half": hellos.hello()[:50],
}


@pytest.mark.parametrize("how", HELLOS)
def test_the_client_leg_as_when_enforcing(make_pair, echoing, how):
    gate, enforcing = make_pair("forward", echoing.port)
    for one in (gate, enforcing):
        with hellos.open_tunnel(one.port, f"localhost:{echoing.port}") as sock:
            sock.sendall(HELLOS[how])
            sock.shutdown(socket.SHUT_WR)
            hellos.read_all(sock)
    code = enforcing.wait_record(action="connection-refused")["event"]["code"]
    assert outlook(observed(gate)) == code


def scripted(answer):
    def script(sock, _number):
        sock.recv(16384)
        sock.sendall(answer)
    return Peer(script)


ANSWERS = {
    "not TLS": (b"220 mail.test ESMTP\r\n", "upstream_not_tls"),
    "protocol version": (wire.alert(70), "upstream_protocol_refused"),
    "handshake failure": (wire.alert(40), "unknown"),  # the client offers two of the eight
    "internal error": (wire.alert(80), "unknown"),
    "nothing": (b"", "unknown"),
    "nonsense": (wire.record(22, b"\2\0\0\4abcd"), "upstream_handshake_failed"),
    "without RFC 5746": (wire.server_hello(extensions=b""), "upstream_no_secure_renegotiation"),
    "another suite": (wire.server_hello(suite=0x009C)
                      + wire.record(22, wire.handshake_message(14, b"")), "unknown"),
    "an old version": (wire.server_hello(version=0x0302), "upstream_protocol_too_old"),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_answers_of_the_upstream(make_pair, how):
    answer, code = ANSWERS[how]
    with scripted(answer) as server:
        gate, _ = make_pair("fixed", server.port)
        with hellos.connect(gate.port) as sock:
            sock.sendall(hellos.hello(suites=(0xC02B, 0xC02F, 0x009C)))
            assert hellos.read_all(sock) == answer
    assert outlook(observed(gate)) == code


FULL = hellos.hello()  # what the gate itself would offer
HELLO = wire.server_hello()
DONE = wire.record(22, wire.handshake_message(14, b""))


def key_exchange(signature, point=b"\x09" + bytes(31)):
    """With X25519's base point, or another one, and ecdsa_secp256r1_sha256."""
    body = b"\3\0\x1d\x20" + point + b"\4\3" + hellos.vector(2, signature)
    return wire.record(22, wire.handshake_message(12, body))


KEY = key_exchange(bytes.fromhex("3006020101020101"))


def chain(pki, copies=0):
    chained = pathlib.Path(pki.ec.chain).read_text()
    ders = [ssl.PEM_cert_to_DER_cert(pem.strip() + "\n-----END CERTIFICATE-----")
            for pem in chained.split("-----END CERTIFICATE-----")[:-1]]
    return wire.certificate_message(*ders, *[ders[-1]] * copies)


# What a server that answers the whole offer does wrong; and the same judged by an enforcing gate.
WRONG = {
    "handshake failure": lambda pki: wire.alert(40),
    "internal error": lambda pki: wire.alert(80),
    "closes after the certificate": lambda pki: HELLO + chain(pki),
    "no key exchange": lambda pki: HELLO + chain(pki) + DONE,
    "an alert after the certificate": lambda pki: HELLO + chain(pki) + wire.alert(40),
    "a wrong signature": lambda pki: HELLO + chain(pki) + KEY + DONE,
    "a point of no key": lambda pki: HELLO + chain(pki) + key_exchange(
        bytes.fromhex("3006020101020101"), bytes(32)) + DONE,
    "a malformed signature": lambda pki: HELLO + chain(pki) + key_exchange(b"ab") + DONE,
    "downgrade marker": lambda pki: wire.server_hello(random=bytes(24) + b"DOWNGRD\0"),
    "an extension that nobody offered": lambda pki: wire.server_hello(
        extensions=hellos.extension(0xFF01, b"\0") + hellos.extension(0x1234, b"")),
    "40 certificates": lambda pki: HELLO + chain(pki, 40) + KEY + DONE,
    "without RFC 5746": lambda pki: wire.server_hello(extensions=b""),
    "an old version": lambda pki: wire.server_hello(version=0x0302),
    "not TLS": lambda pki: b"220 mail.test ESMTP\r\n",
    "nothing": lambda pki: b"",
}


@pytest.mark.parametrize("how", WRONG)
def test_what_a_server_does_wrong_as_when_enforcing(make_pair, pki, how):
    with scripted(WRONG[how](pki)) as server:
        gate, enforcing = make_pair("fixed", server.port)
        with hellos.connect(gate.port) as sock:
            sock.sendall(FULL)
            hellos.read_all(sock)
        with hellos.connect(enforcing.port) as sock:
            sock.sendall(FULL)
            code = enforcing.wait_record(action="connection-refused")["event"]["code"]
    assert VERDICTS[code].leg == "upstream"
    assert outlook(observed(gate)) == code


@pytest.mark.parametrize("scheme", [f"{kind}+SHA{bits}" for kind in ("RSA", "RSA-PSS", "ECDSA")
                                    for bits in (256, 384, 512)])
def test_every_signature_scheme(make_pair, pki, tmp_path, scheme):
    with s_server(tmp_path, pki.ec if scheme[0] == "E" else pki.rsa, "-tls1_2") as server:
        gate, _ = make_pair("fixed", server.port)
        attempt(gate, (*CLIENTS["good"], "-sigalgs", scheme))
    assert outlook(observed(gate)) == "pass"


@pytest.mark.parametrize("parts, server", [
    ({"suites": (0xC02B, 0xC02C)}, ("-tls1_2", "rsa")),
    ({"groups": (0x001D,)}, ("-tls1_2", "-groups", "P-256", "ec")),
    ({"name": "other.test"}, ("-tls1_2", "ec")),
    ({"name": None}, ("-tls1_2", "ec"))], ids=["suites", "groups", "name", "no name"])
def test_another_offer_than_the_gates_is_not_judged(make_pair, pki, tmp_path, parts, server):
    """The gate would offer more, or name another host: what the server makes of that is not seen."""
    *options, leaf = server
    with s_server(tmp_path, getattr(pki, leaf), *options) as upstream:
        gate, _ = make_pair("fixed", upstream.port)
        with hellos.connect(gate.port) as sock:
            sock.sendall(hellos.hello(**parts))
            sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while sock.recv(4096):
                    pass
    assert outlook(observed(gate)) == "unknown"


def test_a_resumed_session_shows_no_certificate(make_pair, origin):
    gate, _ = make_pair("fixed", origin.port)
    context = wire.client_context(gate.ca_path)
    session = None
    for expected in ("pass", "unknown"):
        with wire.dial(gate.port) as sock:
            tls = wire.Tls(sock, context, name="localhost", session=session)
            tls.handshake()
            wire.get(tls, "/hello.txt")
            session = tls.tls.session
            assert tls.tls.session_reused == (expected == "unknown")
        record = observed(gate, 1 if expected == "pass" else 2)
        assert outlook(record) == expected


def test_a_client_certificate_is_asked_for(make_pair, pki, tmp_path):
    with s_server(tmp_path, pki.ec, "-tls1_2", "-verify", "1") as server:
        gate, _ = make_pair("fixed", server.port)
        attempt(gate, CLIENTS["good"])
    record = observed(gate)
    assert outlook(record) == "unknown"
    assert "client certificate" in record["message"]


# ---- what is enforced all the same ------------------------------------------------------------

def test_access_is_enforced(make_pair, echoing):
    gate, _ = make_pair("forward", echoing.port, allow_upstreams="*.example.test")
    assert hellos.ask(gate.port, hellos.connect_request(f"localhost:{echoing.port}")).status == 403
    record = gate.wait_record(code="destination_denied")
    assert record["suitegate"]["mode"] == "observe"
    assert echoing.count == 0


def test_clients_are_still_chosen(make_pair, echoing):
    gate, _ = make_pair("fixed", echoing.port, allow_clients="127.0.0.9/32")
    with hellos.connect(gate.port) as sock:
        sock.sendall(hellos.hello())
        assert hellos.read_all(sock) == b""
    assert gate.wait_record(code="client_denied")
    assert echoing.count == 0


def test_an_sni_listener_needs_a_name(make_pair, echoing):
    gate, _ = make_pair("sni", echoing.port)
    for raw in (hellos.hello(name=None), b"SSH-2.0-x\r\n"):
        with hellos.connect(gate.port) as sock:
            sock.sendall(raw)
            hellos.read_all(sock)
    assert gate.wait_record(code="client_no_server_name")
    assert gate.wait_record(code="client_not_tls")
    assert echoing.count == 0


@pytest.mark.parametrize("kind", ["sni", "forward", "fixed", "socks5"])
def test_an_upstream_that_is_not_there(make_pair, pki, kind):
    """No page and no certificate of the gate's: it only watches."""
    gate, _ = make_pair(kind, free_port())
    done = curl(gate, "-k", "-v")
    assert done.returncode != 0
    assert b"suitegate" not in done.stdout and b"subject:" not in done.stderr
    assert gate.wait_record(code="upstream_unreachable")["suitegate"]["mode"] == "observe"
    assert gate.process.poll() is None


@pytest.mark.parametrize("kind", ["forward", "fixed", "socks5", "sni"])
def test_an_upstream_that_resets_at_once(make_pair, kind):
    with Peer(lambda sock, _number: wire.reset(sock)) as server:
        gate, enforcing = make_pair(kind, server.port)
        for one in (gate, enforcing):
            curl(one)
    for one in (gate, enforcing):  # a reset that comes before the gate looks is a failed connect
        record = one.wait_record(lambda r: r["event"]["action"] in ("connection-observed",
                                                                    "connection-refused"))
        code = record["event"].get("code") or outlook(record)
        assert code in ("upstream_closed_handshake", "upstream_unreachable")


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
                                    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)])
@pytest.mark.parametrize("pieces", [1, 99])
def test_no_foreign_proxy_header_passes(make_pair, header, pieces):
    seen = []
    with Peer(lambda sock, _number: seen.append(hellos.read_all(sock))) as server:
        gate, _ = make_pair("fixed", server.port)
        with hellos.connect(gate.port) as sock:
            with contextlib.suppress(OSError):
                for at in range(0, len(header), pieces):
                    sock.sendall(header[at:at + pieces])
                sock.sendall(hellos.hello())
            hellos.read_all(sock)
        assert gate.wait_record(code="client_bad_proxy_header")["suitegate"]["blame"] == "operator"
        gate.settle()
    assert len(seen[0]) < 5


def test_a_header_and_a_reset_at_once(make_pair):
    """Both wait when the gate looks: one refusal, and it goes on."""
    def script(sock, _number):
        stopped.wait(20)
        wire.reset(sock)
    stopped = threading.Event()
    with Peer(script) as server:
        gate, _ = make_pair("fixed", server.port)
        with hellos.connect(gate.port) as sock:
            sock.sendall(b"P")
            while not server.count:
                time.sleep(0.01)
            os.kill(gate.proxy(), signal.SIGSTOP)
            sock.sendall(b"ROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
            stopped.set()
            time.sleep(0.2)
            os.kill(gate.proxy(), signal.SIGCONT)
            hellos.read_all(sock)
        assert gate.wait_record(code="client_bad_proxy_header")
        gate.settle()
    assert [r["event"]["action"] for r in gate.records()] == \
        ["proxy-started", "connection-refused", "proxy-stopped"]


def test_the_same_hello_again_is_no_circle(make_pair, pki, tmp_path):
    """As probes send it: the upstream's answer shows that it is none."""
    with s_server(tmp_path, pki.ec, "-tls1_2") as server:
        gate, _ = make_pair("fixed", server.port)
        again = hellos.hello()
        for _ in range(12):
            with hellos.connect(gate.port) as sock:
                sock.sendall(again)
                assert sock.recv(5)[:1] == b"\x16"
        gate.settle()
    assert not gate.matching(code="proxy_loop")


@pytest.mark.parametrize("data", [b"", hellos.hello(), hellos.hello(suites=(0x1301,)),
                                  hellos.hello()[:40], b"EHLO x\r\n", b"EHLO x\r\n" * 9000],
                         ids=["silence", "hello", "refused", "half", "plain", "much"])
@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_a_circle_ends_with_its_client(make_gate, pki, ca_folder, data, mode):
    """The upstream is a forwarder that leads back."""
    port, back = free_port(), None

    def script(sock, _number):
        with socket.create_connection(("127.0.0.1", port)) as other:
            threading.Thread(target=pass_on, args=(other, sock), daemon=True).start()
            pass_on(sock, other)

    def pass_on(source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    with Peer(script) as back:
        gate = make_gate(ini({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust}, "audit": {"file": "audit.jsonl"},
            "listen it": {"type": "fixed", "address": f"127.0.0.1:{port}", "mode": mode,
                          "upstream": f"127.0.0.1:{back.port}"}}))
        with hellos.connect(port) as sock:
            sock.sendall(data)
            sock.settimeout(1.5)
            with contextlib.suppress(OSError):
                sock.recv(1)
        time.sleep(0.5)
        before = back.count
        time.sleep(1.5)
        assert back.count == before <= 24


def test_a_stop_blames_nobody(make_pair, echoing):
    gate, _ = make_pair("fixed", echoing.port, proxy={"drain_timeout": "100ms"})
    with hellos.connect(gate.port) as half, hellos.connect(gate.port) as whole:
        half.sendall(hellos.hello()[:20])
        whole.sendall(hellos.hello(suites=(0x002F,)))
        observed(gate)
        while echoing.count < 2:  # it waits a moment for the rest
            time.sleep(0.05)
        gate.settle()
    records = gate.matching(action="connection-observed")
    assert sorted(outlook(r) for r in records) == ["client_no_approved_suite", "unknown"]
    assert {r["suitegate"]["closed_by"] for r in gate.matching(action="connection-closed")} <= \
        {"shutdown", "upstream"}


def test_silent_clients_make_room(make_pair, origin):
    """As when enforcing, those that have said nothing yield to the next one."""
    gate, _ = make_pair("fixed", origin.port, proxy={"max_connections": 8,
                                                     "max_handshakes_per_source": 0})
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(hellos.connect(gate.port))
        time.sleep(0.3)
        done = curl(gate, "--tls-max", "1.2", "--max-time", "20")
        assert done.stdout == origin.body, done.stderr
    assert gate.matching(code="limit_reached") or gate.matching(code="source_limit_reached")


def test_what_is_no_hello_does_not_fill_the_memory(make_pair):
    """It is sent on as fast as the upstream takes it, which is not at all."""
    with Peer(lambda sock, number: None) as server:
        gate, _ = make_pair("fixed", server.port)
        before = gate.rss_kib()
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(hellos.connect(gate.port)) for _ in range(4)]
            for sock in socks:
                sock.setblocking(False)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                for sock in socks:
                    with contextlib.suppress(BlockingIOError):
                        sock.send(b"EHLO x\r\n" * 10000)
            assert gate.rss_kib() < before + 16 * 1024


def test_silence_leaves_no_record(make_pair, echoing):
    gate, _ = make_pair("fixed", echoing.port, proxy={"workers": 1})
    with hellos.connect(gate.port):
        pass
    with hellos.connect(gate.port) as sock:  # the next one, so that the first was accepted
        sock.sendall(hellos.hello(suites=(0x002F,)))
        observed(gate)
    gate.settle()
    assert [r["event"]["action"] for r in gate.records()] == \
        ["proxy-started", "connection-observed", "connection-closed", "proxy-stopped"]


def test_a_silent_client_of_a_talking_server(make_pair):
    """As with SMTP: enforcing would wait for a hello in vain."""
    with Peer(lambda sock, _: (sock.sendall(b"220 ready\r\n"), hellos.read_all(sock))) as server:
        gate, _ = make_pair("fixed", server.port, proxy={"hello_timeout": "200ms"})
        with hellos.connect(gate.port) as sock:
            assert sock.recv(99) == b"220 ready\r\n"
            sock.settimeout(0.4)
            with pytest.raises(TimeoutError):
                sock.recv(1)
    assert outlook(observed(gate)) == "client_hello_timeout"


# ---- said at start, and in the report ---------------------------------------------------------

def test_it_is_said_at_start(make_pair, echoing):
    gate, enforcing = make_pair("fixed", echoing.port)
    assert "only observes" in gate.stdout and "only observes" in gate.stderr
    assert "only observes (mode = observe)" in gate.wait_record(action="proxy-started")["message"]
    assert "observe" not in enforcing.stdout + enforcing.stderr


def test_it_is_for_no_test_listener(tmp_path, ca_folder):
    (tmp_path / "s.ini").write_text(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "listen probe": {"type": "test", "address": "127.0.0.1:1", "mode": "observe"}}))
    done = run("config", "-c", tmp_path / "s.ini")
    assert done.returncode == 1 and "mode is for forward, fixed" in done.stderr


def test_the_report(make_pair, pki, tmp_path, origin):
    with s_server(tmp_path, pki.expired, "-tls1_2") as expired:
        gate, enforcing = make_pair("forward", origin.port)
        for port in (origin.port, expired.port):
            for options in (CLIENTS["good"], (), CLIENTS["dhe"]):
                command("openssl", "s_client", "-proxy", f"127.0.0.1:{gate.port}", "-connect",
                        f"localhost:{port}", "-servername", "localhost", *options,
                        stdin=b"GET / HTTP/1.0\r\n\r\n")
    gate.settle()
    log = gate.audit_path
    text = run("log", "report", log).stdout
    assert "IF THIS WERE ENFORCED" in text
    assert "6 observed: 1 would pass" in text and "4 would be refused (66.7%), 1 not known" in text
    assert "client_no_approved_suite" in text and "upstream_certificate_expired" in text
    assert f"suitegate check localhost:{origin.port}" in text
    found = json.loads(run("log", "report", "--json", log).stdout)["if_enforced"]
    assert (found["pass"], found["refuse"], found["unknown"]) == (1, 4, 1)
    assert found["reasons"] == {"client_no_approved_suite": 2, "upstream_certificate_expired": 2}
    assert [r["name"] for r in found["clients"]["rows"]] == ["127.0.0.1"]
    worst = found["endpoints"]["rows"][0]
    assert worst["name"] == f"localhost:{expired.port}" and worst["to_blame"] == 2
    page = run("log", "report", "--html", log).stdout
    assert "<h2>If this were enforced</h2>" in page and "upstream_certificate_expired" in page
    lines = run("log", "tail", log).stdout
    assert "would be refused: upstream_certificate_expired" in lines and "would pass" in lines
    enforced = run("log", "report", enforcing.audit_path).stdout
    assert "IF THIS WERE" not in enforced
