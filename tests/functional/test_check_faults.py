"""`suitegate check` against faulty servers."""

import struct
import threading
import time

import pytest

import wire
from checks import (CLOSE, GREETING, HANG, HTTP, NOISE, RESET, UNOFFERED, Front, flight,
                    four_at_once, here, judge, judge_all, offers, tell)
from gate import free_port
from upstreams import Blackhole, Peer, s_server


def drip(sock, _number):
    for byte in wire.server_hello():
        sock.sendall(bytes([byte]))
        time.sleep(1)


def without_end(head, more):
    """head, then more again and again until the client closes."""
    def play(sock, _number):
        sock.recv(65536)
        sock.sendall(head)
        while True:
            sock.sendall(more)
    return play


def say(answer, *, first=False):
    """One answer to anything, or before anything comes; then it reads on."""
    def play(sock, _number):
        if not first:
            sock.recv(65536)
        sock.sendall(answer)
        wire.read_to_end(sock)
    return play


def endless_chain(der):
    """A Certificate message of 16 MiB in endless records."""
    entry = len(der).to_bytes(3, "big") + der
    head = wire.record(22, b"\x0b\xff\xff\xff\xff\xff\xfc")
    return without_end(wire.server_hello() + head, wire.record(22, entry))


# ---- peers that are not TLS servers -------------------------------------------------------

STRANGE = {  # script, verdict, kind, code, a part of its sentence
    "silent": (lambda s, _: wire.read_to_end(s), 2, "doubts", "silent", "says nothing"),
    "drips": (drip, 2, "doubts", "slow", "not complete in time"),
    "http": (say(HTTP), 1, "problems", "not_tls", "HTTP"),
    "html": (say(b"<html>what?</html>"), 1, "problems", "not_tls", "HTTP"),
    "smtp": (say(GREETING, first=True), 1, "problems", "not_tls", "--starttls smtp"),
    "imap": (say(b"* OK ready\r\n", first=True), 1, "problems", "not_tls", "IMAP"),
    "ssh": (say(b"SSH-2.0-x\r\n", first=True), 1, "problems", "not_tls", "SSH"),
    "noise": (say(NOISE), 1, "problems", "not_tls", "not TLS"),
    "noise that begins like TLS": (say(b"\x16\x03\x03" + NOISE), 1, "problems", "not_tls",
                                   "not TLS"),
    "warnings without end": (without_end(b"", wire.alert(112, level=1) * 1000), 1, "problems",
                             "not_tls", "not TLS"),
    "closes": (lambda s, _: s.recv(65536), 2, "doubts", "closed", "closes the connection"),
    "closes at once": (lambda s, _: None, 2, "doubts", "closed", "closes the connection"),
    "resets": (lambda s, _: (s.recv(65536), wire.reset(s)), 2, "doubts", "closed",
               "closes the connection"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_each_has_its_own_outcome(pki, name):
    script, status, kind, code, words = STRANGE[name]
    with Peer(script) as peer:
        host = judge(pki, peer.port, "--timeout", "2s", timeout=50)
        exit_code, text = tell("--timeout", "2s", *here(peer.port), timeout=50)
    assert host.verdict == {1: "not_compliant", 2: "could_not_tell"}[status]
    assert host.items(kind) == [(code, None)]
    assert words in host.text(code)
    assert exit_code == status and words in " ".join(text.split())


def test_a_closed_port_says_so(pki):
    host = judge(pki, free_port())
    assert host.items("doubts") == [("unreachable", None)]
    assert host.text("unreachable") == "no connection: Connection refused"
    assert host.addresses[0]["verdict"] == "unreachable"


def test_an_address_that_answers_no_syn(pki):
    with Blackhole() as hole:
        host = judge(pki, hole.port, "--timeout", "1s", timeout=50)
    assert host.verdict == "could_not_tell"
    assert host.items("doubts") == [("unreachable", None)]


def test_an_endless_certificate_chain_is_not_compliant(pki):
    with Peer(endless_chain(pki.ec.der)) as peer:
        host = judge(pki, peer.port, "--timeout", "10s", timeout=50)
    assert host.verdict == "not_compliant"
    assert "upstream_certificate_invalid" in host.codes("problems")
    assert any("no end" in i["text"] for i in host.entry["problems"])


def test_a_suite_that_was_not_offered_is_not_compliant(pki):
    with Peer(say(UNOFFERED)) as peer:
        host = judge(pki, peer.port, "--timeout", "10s", timeout=50)
    assert host.verdict == "not_compliant"


def test_a_server_that_hangs_behind_the_server_hello(pki):
    with Peer(say(wire.server_hello())) as peer:
        host = judge(pki, peer.port, "--timeout", "3s", timeout=50)
    assert host.verdict in ("not_compliant", "could_not_tell")
    assert not any(row["handshake"] for row in host.approved)


def test_a_name_that_does_not_exist_says_so():
    """The resolver library refuses .onion itself (RFC 7686), so nothing leaves the machine."""
    host, = judge_all("nosuch.onion")
    assert host.items("doubts") == [("name_not_found", None)]
    assert host.verdict == "could_not_tell" and host.addresses == []
    code, text = tell("nosuch.onion")
    assert code == 2 and text.startswith("nosuch.onion:443: could not tell\n")


# ---- protocols that no current library supports -------------------------------------------

def sslv2_server_hello(kinds):
    body = struct.pack(">BBBHHHH", 4, 0, 1, 2, 0, 3 * len(kinds), 16)
    body += b"".join(k.to_bytes(3, "big") for k in kinds) + bytes(16)
    return struct.pack(">H", 0x8000 | len(body)) + body


def test_sslv2_is_a_finding(pki, strict):
    answer = sslv2_server_hello([0x010080, 0x0700C0, 0x999999])
    with Front(strict.port, lambda hello, _: answer if hello is None else None) as front:
        host = judge(pki, front.port)
    assert host.verdict == "compliant_with_findings"
    assert host.items("findings") == [("accepts_protocol", "SSL 2.0")]
    assert host.accepted() == ["SSL 2.0", "TLS 1.2"]
    assert host.suites["SSL 2.0"] == [
        "SSL_CK_RC4_128_WITH_MD5", "SSL_CK_DES_192_EDE3_CBC_WITH_MD5", "unknown"]
    assert "SSL 2.0" in host.remedies("Windows / IIS")["protocol versions"]


def test_sslv2_only_is_not_compliant(pki):
    def play(sock, _number):
        if sock.recv(65536)[0] & 0x80:
            sock.sendall(sslv2_server_hello([0x010080]))
            wire.read_to_end(sock)
        else:
            sock.sendall(wire.alert(40, version=0x0300))
    with Peer(play) as peer:
        host = judge(pki, peer.port)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("no_tls12", "TLS 1.2")]
    assert host.accepted() == ["SSL 2.0"]


def test_ssl3_is_a_finding(pki, strict):
    """Suite by suite: RC4-SHA is its only one."""
    def rule(hello, _number):
        if hello is None or hello.version != 0x0300:
            return None
        return flight(0x0300, 0x0005, extensions=b"") if offers(hello, 5) else wire.alert(40)
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert host.items("findings") == [("accepts_protocol", "SSL 3.0"),
                                      ("ignores_fallback_scsv", None)]
    assert host.suites["SSL 3.0"] == ["TLS_RSA_WITH_RC4_128_SHA"]


def test_compression_is_a_finding(pki, strict):
    def rule(hello, _number):
        return flight(compression=1) if hello and 1 in hello.compression else None
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert host.items("findings") == [("accepts_compression", None)]
    assert host.features["compression"] is True
    assert host.remedies("Apache") == {"compression": "SSLCompression off"}


def test_a_server_that_ignores_the_fallback_signal_has_a_finding(pki, loose):
    def rule(hello, _number):
        if offers(hello, 0x5600):
            return flight(hello.version, 0xC013)
        return None
    with Front(loose.port, rule) as front:
        host = judge(pki, front.port)
    assert host.features["fallback_scsv"] is False
    assert ("ignores_fallback_scsv", None) in host.items("findings")
    assert "never honours" in host.remedies("Java")["TLS library"]


def test_no_extended_master_secret_by_a_server_without_extensions(pki):
    """A ServerHello without extensions: secure renegotiation is missing, too."""
    def play(sock, _number):
        hello = sock.recv(65536)
        sock.sendall(flight(extensions=b"", certificates=(pki.ec.der,))
                     if b"\xc0\x2b" in hello else wire.alert(40))
        wire.read_to_end(sock)
    with Peer(play) as peer:
        host = judge(pki, peer.port)
    assert host.verdict == "not_compliant"
    assert host.codes("problems") == {"upstream_no_secure_renegotiation"}
    assert host.codes("notes") >= {"no_extended_master_secret"}
    assert [host.features[f] for f in ("secure_renegotiation", "extended_master_secret",
                                       "session_tickets")] == [False] * 3


# ---- servers that fail when asked ---------------------------------------------------------

def same_but_target(a, b):
    """Two runs report the same."""
    for host in (a, b):
        address = host.addresses[0]
        address["features"]["weak_signatures"].sort()
        for findings in (host.entry["findings"], address["findings"]):
            findings.sort(key=str)
    left, right = ({k: v for k, v in host.entry.items() if k not in ("target", "port")}
                   for host in (a, b))
    assert left == right


@pytest.mark.parametrize("limit", [40, 32, 16, 8])
@pytest.mark.parametrize("server", ["strict", "loose"])
def test_a_server_that_stands_few_suites_is_judged_all_the_same(pki, strict, loose, server, limit):
    real = {"strict": strict, "loose": loose}[server]
    with Front(real.port, lambda hello, _: CLOSE if hello and len(hello.suites) > limit
               else None) as front:
        same_but_target(judge(pki, front.port), judge(pki, real.port))


@pytest.mark.parametrize("end", [HANG, CLOSE, RESET])
def test_a_server_that_cannot_stand_extensions_is_looked_at(pki, tmp_path, end):
    with s_server(tmp_path, pki.rsa, "-tls1_2", "-cipher",
                  "AES128-GCM-SHA256:@SECLEVEL=0") as server:
        with Front(server.port, lambda hello, _: end if hello and set(hello.extensions) - {0}
                   else None) as front:
            host = judge(pki, front.port, "--timeout", "12s", timeout=50)
    assert host.verdict in ("not_compliant", "could_not_tell")
    assert host.protocols["TLS 1.2"] is True
    assert host.suites["TLS 1.2"] == ["TLS_RSA_WITH_AES_128_GCM_SHA256"]


def test_a_server_that_accepts_slowly_is_judged_all_the_same(pki, strict):
    lock = threading.Lock()

    def greet(_sock, _number):
        with lock:
            time.sleep(0.01)
    with Front(strict.port, lambda *_: None, greet) as front:
        same_but_target(judge(pki, front.port), judge(pki, strict.port))


@pytest.mark.parametrize("server, end, limit", [
    ("loose", HANG, 12), *(("loose", end, limit) for end in (CLOSE, RESET) for limit in (3, 12)),
    ("strict", CLOSE, 60)])
def test_a_server_that_has_had_enough_is_no_answer(pki, strict, loose, server, end, limit):
    """As limits on a client's rate do: from then on no connection is served."""
    real = {"strict": strict, "loose": loose}[server]
    with Front(real.port, lambda _, number: end if number >= limit else None) as front:
        host = judge(pki, front.port, "--timeout", "3s", timeout=50)
        assert front.count > limit
    assert host.verdict == "could_not_tell"
    assert host.items("problems") == []


def test_a_pause_of_the_server_hides_no_finding(pki, loose):
    with Front(loose.port, lambda _, n: CLOSE if 12 <= n < 40 else None) as front:
        host = judge(pki, front.port)
    whole = judge(pki, loose.port)
    assert host.verdict == "could_not_tell" or sorted(
        host.items("findings"), key=str) == sorted(whole.items("findings"), key=str)


@pytest.mark.parametrize("hosts", [1, 2])
def test_no_more_than_four_connections_at_once(pki, strict, hosts):
    def look():
        with Front(strict.port, lambda *_: time.sleep(0.02)) as front:
            found = judge_all("--ca", pki.trust, "--name", "localhost",
                              *[f"127.0.0.1:{front.port}"] * hosts)
            assert front.count > 50
        assert {h.verdict for h in found} == {"compliant"}
        return front.open

    four_at_once(look)
