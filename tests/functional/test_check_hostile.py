"""`suitegate check` against servers that could be called compliant or accused wrongly: with invalid
certificates, without a key, with changing behaviour, and with bytes that no TLS library sends. A
verdict needs evidence."""

import os
import struct
import subprocess
import threading

import pytest

import wire
from checks import (APPROVED, CLOSE, HANG, OLD, RESET, ClientHello, Front, assert_not_hidden,
                    first_record, flight, here, is_old, is_others_only, judge, offers, splice, tell)
from policy_servers import POLICY, STRICT
from upstreams import Peer, nginx, s_server

TOLD = {"compliant", "compliant_with_findings"}
SUITES = {"ec": 0xC02B, "rsa": 0xC02F}
SCHEMES = {"ec": 0x0403, "rsa": 0x0401}
X25519 = 0x001D
SIGNALS = {0x00FF, 0x5600}
SEED = bytes(range(256))


def numbers(hello, kind, skip=2):
    """The list of 16-bit numbers in an extension; None if it is absent."""
    body = hello.extensions.get(kind)
    return body and [n for n, in struct.iter_unpack(">H", body[skip:])]


def message(kind, body):
    return wire.record(22, wire.handshake_message(kind, body))


def key_exchange(scheme):
    """Of X25519, with random bytes instead of the signature."""
    signature = os.urandom(256 if scheme == SCHEMES["rsa"] else 70)
    return message(12, b"\3" + struct.pack(">HB", X25519, 32) + os.urandom(32)
                   + struct.pack(">HH", scheme, len(signature)) + signature)


REQUEST = message(13, b"\1\x40" + struct.pack(">HHHH", 4, 0x0403, 0x0401, 0))
DONE = message(14, b"")
EXTENSIONS = wire.RENEGOTIATION_INFO + wire.extension(23)


class Forger(Peer):
    """A server with somebody's certificates and no key. It takes one suite, X25519 and one scheme,
    as a careful server would; rest follows its ServerHello, then it reads on or closes."""

    def __init__(self, kind, rest, end=HANG):
        super().__init__(self._play)
        self._kind, self._rest, self._end = kind, rest, end

    def _play(self, sock, _number):
        raw = first_record(sock)
        if raw[:1] != b"\x16":
            return
        hello = ClientHello(raw)
        groups, schemes = numbers(hello, 10), numbers(hello, 13)
        if hello.version != 0x0303 or 43 in hello.extensions:
            sock.sendall(wire.alert(70))
        elif (not offers(hello, SUITES[self._kind]) or groups and X25519 not in groups
              or schemes and SCHEMES[self._kind] not in schemes):
            sock.sendall(wire.alert(40))
        else:
            sock.sendall(wire.server_hello(suite=SUITES[self._kind], random=os.urandom(32),
                                           extensions=EXTENSIONS) + self._rest)
            if self._end == CLOSE:
                return
            if self._end == RESET:
                wire.reset(sock)
                return
        wire.read_to_end(sock)


class Backends(Front):
    """A Front whose choice(hello, number) returns the port for a connection."""

    def __init__(self, choice, **options):
        super().__init__(None, None, **options)
        self._choice = choice

    def _play(self, sock, number):
        self.open.note(sock)
        raw = first_record(sock)
        hello = ClientHello(raw) if raw[:1] == b"\x16" else None
        with wire.dial(self._choice(hello, number)) as server:
            server.sendall(raw)
            splice(sock, server)


def is_real(hello):
    """The hello of a real handshake: the policy's groups and one type of suites."""
    return (hello is not None and hello.version == 0x0303 and 43 not in hello.extensions
            and set(hello.suites) - SIGNALS <= APPROVED and 13 in hello.extensions
            and sorted(numbers(hello, 10) or ()) == [23, 24, 25, 29])


def each_kind(names):
    """The names, with the two types of key in turn."""
    return [(name, ("ec", "rsa")[n % 2]) for n, name in enumerate(names)]


def no_handshake(host):
    return not any(row["handshake"] for row in host.approved)


# ---- invalid certificates -----------------------------------------------------------------

@pytest.mark.parametrize("times", [9, 11, 40])
def test_an_untrusted_certificate_is_no_better_for_being_sent_often(pki, tmp_path, times):
    """More than a chain may have, so no handshake gets as far as judging it."""
    alone = pki.self_signed
    leaf = pki.with_chain(alone, f"sent-{times}-times", *[alone.cert] * (times - 1))
    with nginx(tmp_path, leaf, ciphers=POLICY) as server:
        host = judge(pki, server.port)
        code, text = tell("--ca", pki.trust, *here(server.port))
    assert host.verdict == "not_compliant"
    assert any(c.startswith("upstream_certificate_") for c in host.codes("problems"))
    assert no_handshake(host) and host.certificate("ecdsa")["valid"] is not True
    assert code == 1 and "chain: valid" not in " ".join(text.split())


def certificates(pki, kind, name):
    """The body of a Certificate message as records."""
    leaf = getattr(pki, kind).der
    inter = subprocess.run(["openssl", "x509", "-in", pki.inter.cert, "-outform", "DER"],
                           capture_output=True, check=True).stdout
    junk = b"\x30\x03\x02\x01\x05"
    ders = {"no certificate": (), "an unparsable leaf": (junk,), "a truncated leaf": (leaf[:200],),
            "an unparsable intermediate": (leaf, junk),
            "a truncated intermediate": (leaf, inter[:200]),
            "an unparsable third": (leaf, inter, junk), "an empty leaf": (b"", inter),
            "an empty intermediate": (leaf, b""), "noise": (SEED,),
            "bytes behind the leaf": (leaf + b"\0\0", inter)}
    if name in ders:
        return wire.certificate_message(*ders[name])
    if name == "a list that is longer than its message":
        entry = len(leaf).to_bytes(3, "big") + leaf
        return message(11, (len(entry) + 9).to_bytes(3, "big") + entry)
    if name == "an entry that is longer than its list":
        entry = (len(leaf) + 9).to_bytes(3, "big") + leaf
        return message(11, len(entry).to_bytes(3, "big") + entry)
    assert name == "a message without a list"
    return message(11, b"")


NO_CERTIFICATES = (
    "no certificate", "an unparsable leaf", "a truncated leaf", "an unparsable intermediate",
    "a truncated intermediate", "an unparsable third", "an empty leaf", "an empty intermediate",
    "noise", "bytes behind the leaf", "a list that is longer than its message",
    "an entry that is longer than its list", "a message without a list")


UNREADABLE = ("an unparsable leaf", "a truncated leaf", "an unparsable intermediate",
              "a truncated intermediate", "an unparsable third", "noise", "bytes behind the leaf")


@pytest.mark.parametrize("name, kind", each_kind(NO_CERTIFICATES))
def test_a_certificate_message_that_is_none_is_not_compliant(pki, kind, name):
    rest = certificates(pki, kind, name) + key_exchange(SCHEMES[kind]) + DONE
    with Forger(kind, rest) as peer:
        code, text = tell("--ca", pki.trust, "--timeout", "6s", *here(peer.port),
                          timeout=50)
    assert code == 1
    assert text.startswith(f"127.0.0.1:{peer.port}: not compliant\n")
    assert "certificate" in text.partition("Not compliant, because")[2]
    assert "handshake done" not in text and "chain: valid" not in " ".join(text.split())


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_certificate_that_cannot_be_read_keeps_the_structure_of_the_answer(pki, name):
    rest = certificates(pki, "ec", name) + key_exchange(SCHEMES["ec"]) + DONE
    with Forger("ec", rest) as peer:
        host = judge(pki, peer.port, "--timeout", "6s", timeout=50)
    assert host.verdict == "not_compliant" and no_handshake(host)
    assert not any(c["valid"] for c in host.certificates)


# ---- servers without a key ----------------------------------------------------------------

def without_key(pki, kind):
    leaf = getattr(pki, kind)
    inter = subprocess.run(["openssl", "x509", "-in", pki.inter.cert, "-outform", "DER"],
                           capture_output=True, check=True).stdout
    chain = wire.certificate_message(leaf.der, inter)
    noise = key_exchange(SCHEMES[kind])
    return {"no key exchange, and refuses": (chain + REQUEST + wire.alert(40), HANG),
            "no key exchange, and is done": (chain + REQUEST + DONE, HANG),
            "no key exchange, is done and refuses": (chain + REQUEST + DONE + wire.alert(40), HANG),
            "no key exchange, and waits": (chain + REQUEST, HANG),
            "no key exchange, and hangs up": (chain + REQUEST, CLOSE),
            "no key exchange, and resets": (chain + REQUEST, RESET),
            "noise for a signature": (chain + noise + REQUEST + DONE, HANG),
            "noise for a signature, and refuses":
                (chain + noise + REQUEST + DONE + wire.alert(40), HANG),
            "noise for a signature, and hangs up": (chain + noise + REQUEST + DONE, CLOSE),
            "noise for a signature, and misses a certificate":
                (chain + noise + REQUEST + DONE + wire.alert(116), HANG),
            "noise, and asks for nothing": (chain + noise + DONE, HANG),
            "asks twice": (chain + REQUEST + REQUEST + DONE + wire.alert(40), HANG),
            "asks before it shows itself": (REQUEST + chain + DONE + wire.alert(40), HANG),
            "a handshake that is over": (chain + REQUEST + DONE + wire.record(20, b"\1")
                                         + wire.record(22, SEED[:40]) + wire.alert(40), HANG)}


WITHOUT_KEY = (
    "no key exchange, and refuses", "no key exchange, and is done",
    "no key exchange, is done and refuses", "no key exchange, and waits",
    "no key exchange, and hangs up", "no key exchange, and resets", "noise for a signature",
    "noise for a signature, and refuses", "noise for a signature, and hangs up",
    "noise for a signature, and misses a certificate", "noise, and asks for nothing", "asks twice",
    "asks before it shows itself", "a handshake that is over")


@pytest.mark.parametrize("name, kind", each_kind(WITHOUT_KEY))
def test_a_public_certificate_without_its_key_is_nothing(pki, kind, name):
    """A server that asks for a client certificate is not compliant just for that."""
    rest, end = without_key(pki, kind)[name]
    with Forger(kind, rest, end) as peer:
        host = judge(pki, peer.port, "--timeout", "3s", timeout=50)
    assert host.verdict not in TOLD
    assert host.items("problems") or host.items("doubts")
    assert no_handshake(host)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_server_that_wants_a_client_certificate_has_proved_its_key(pki, tmp_path, kind):
    """No connection is made, but all that the policy covers was seen."""
    with s_server(tmp_path, getattr(pki, kind), *STRICT, "-Verify", "1") as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert "wants_client_certificate" in host.codes("notes")
    assert host.approved and no_handshake(host)
    assert {row["code"] for row in host.approved} == {"upstream_wants_client_certificate"}
    assert host.features["client_certificate"] is True
    assert [c["valid"] for c in host.certificates] == [True]


@pytest.mark.parametrize("fault", ["unknown_ca", "self_signed", "expired", "wrong_name"])
def test_a_bad_certificate_stays_bad_where_one_is_wanted(pki, tmp_path, fault):
    with s_server(tmp_path, getattr(pki, fault), *STRICT, "-Verify", "1") as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert any(c.startswith("upstream_certificate_") for c in host.codes("problems"))


# ---- servers with changing behaviour --------------------------------------------------------

@pytest.fixture(scope="module")
def untrusted(pki, tmp_path_factory):
    with nginx(tmp_path_factory.mktemp("untrusted"), pki.unknown_ca, ciphers=POLICY) as server:
        yield server


@pytest.fixture(scope="module")
def trusted(pki, tmp_path_factory):
    with nginx(tmp_path_factory.mktemp("trusted"), pki.ec, ciphers=POLICY) as server:
        yield server


@pytest.mark.parametrize("first", [0, 1])
def test_a_certificate_that_is_valid_every_other_time_is_not_compliant(pki, trusted, untrusted,
                                                                       first):
    """Such as two servers behind one address."""
    seen, lock = [], threading.Lock()

    def choice(hello, _number):
        with lock:
            if is_real(hello):
                seen.append(hello)
            return (trusted, untrusted)[(len(seen) + first) % 2].port
    with Backends(choice) as front:
        host = judge(pki, front.port)
    assert len(seen) >= 2
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("upstream_certificate_untrusted", "ECDSA")]
    assert host.certificate("ecdsa")["valid"] is False


def test_a_certificate_that_was_seen_and_never_judged_is_not_called_valid(pki, trusted, untrusted):
    """It shows a bad certificate to probes and a good one in full handshakes."""
    with Backends(lambda hello, _: (trusted if is_real(hello) else untrusted).port) as front:
        host = judge(pki, front.port)
    assert host.verdict not in TOLD or host.certificate("ecdsa")["sha256"] == sha256(pki.ec)


def sha256(leaf):
    done = subprocess.run(["openssl", "x509", "-in", leaf.cert, "-noout", "-fingerprint",
                           "-sha256"], capture_output=True, check=True, text=True)
    return done.stdout.strip().split("=")[1].replace(":", "").lower()


def test_another_suite_that_is_accepted_once_is_a_finding(pki, strict):
    """And refuses ever after."""
    seen, lock = [], threading.Lock()

    def rule(hello, _number):
        if not offers(hello, 0x0035) or hello.version != 0x0303 or not is_others_only(hello):
            return None
        with lock:
            seen.append(hello)
            return flight(0x0303, 0x0035) if len(seen) == 1 else None
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert_not_hidden(host, ("accepts_suite", "TLS_RSA_WITH_AES_256_CBC_SHA"))


@pytest.mark.parametrize("suite", sorted(APPROVED))
def test_an_approved_suite_that_is_picked_and_then_refused_is_told(pki, strict, suite):
    """Accepted when probed, refused in a full handshake."""
    def rule(hello, _number):
        return wire.alert(40) if is_real(hello) and offers(hello, suite) and \
            hello.suites[0] == suite else None
    with Front(strict.port, rule) as front:
        host = judge(pki, front.port)
    assert {row["openssl"] for row in host.approved if not row["handshake"]} == {
        name for name, iana in wire.EIGHT.items() if iana == SUITE_NAMES[suite]}
    assert SUITE_NAMES[suite] in {s for kind in ("problems", "doubts", "notes")
                                  for _, s in host.items(kind)}
    assert host.items("problems") == []


SUITE_NAMES = dict(zip((0xC02B, 0xC02C, 0xC02F, 0xC030, 0xC023, 0xC024, 0xC027, 0xC028),
                       wire.EIGHT.values()))


@pytest.mark.parametrize("end", [CLOSE, RESET, HANG, wire.alert(40)],
                         ids=["close", "reset", "hang", "alert"])
def test_a_server_with_which_no_handshake_is_done_is_not_compliant(pki, strict, end):
    """It picks each suite, but no handshake completes."""
    with Front(strict.port, lambda hello, _: end if is_real(hello) else None) as front:
        host = judge(pki, front.port, "--timeout", "2s", timeout=50)
    assert host.verdict not in TOLD and no_handshake(host)


# ---- what no TLS library sends ------------------------------------------------------------------

def again(more):
    """Answers anything with an endless repetition of more."""
    def play(sock, _number):
        first_record(sock)
        while True:
            sock.sendall(more)
    return play


def once(answer, end=HANG):
    def play(sock, _number):
        first_record(sock)
        sock.sendall(answer)
        if end == HANG:
            wire.read_to_end(sock)
    return play


HELLO_REQUESTS = wire.record(22, wire.handshake_message(0, b"")) * 1000
WARNINGS = wire.alert(112, level=1) * 1000
SUPPORTED_13 = wire.extension(43, b"\3\4")
KEY_SHARE = wire.extension(51, struct.pack(">HH", X25519, 32) + SEED[:32])
NEWEST = wire.server_hello(suite=0x1301, extensions=SUPPORTED_13 + KEY_SHARE)
STRANGE = {
    "a suite that was not offered": once(flight(suite=0x1234)),
    "a suite that was not offered, then nothing": once(flight(suite=0x1234), CLOSE),
    "the null suite": once(flight(suite=0x0000)),
    "a suite of TLS 1.3 in TLS 1.2": once(flight(suite=0x1301)),
    "a signal for a suite": once(flight(suite=0x00FF)),
    "a version that was not offered": once(flight(version=0x0305)),
    "a version of long ago": once(flight(version=0x0002)),
    "a version of DTLS": once(flight(version=0xFEFD)),
    "TLS 1.3 where it was not offered": once(flight(version=0x0304)),
    "HelloRequests without end": again(HELLO_REQUESTS),
    "warnings without end": again(WARNINGS),
    "empty records without end": again(wire.record(22, b"") * 1000),
    "warnings, then a ServerHello": once(WARNINGS[:70] + flight()),
    "HelloRequests, then a ServerHello": once(HELLO_REQUESTS[:90] + flight()),
    "a ServerHello, then silence": once(wire.server_hello()),
    "a ServerHello, then a close": once(wire.server_hello(), CLOSE),
    "half a ServerHello": once(wire.server_hello()[:30]),
    "a ServerHello, then warnings without end": again(wire.server_hello() + WARNINGS),
    "a ServerHello of TLS 1.3, then garbage": once(
        NEWEST + wire.record(20, b"\1") + wire.record(23, SEED)),
    "a ServerHello of TLS 1.3 that is garbage": once(wire.record(22, wire.handshake_message(
        2, b"\3\3" + SEED[:32] + b"\x20" + SEED[:32] + b"\x13\1\0\0\6\0\x2b\0\2\3\4" + SEED))),
    "a HelloRetryRequest to everything": once(wire.server_hello(
        suite=0x1301, extensions=SUPPORTED_13 + wire.extension(51, b"\0\x1d"),
        random=bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"))),
    "an extension that is too long": once(wire.server_hello(extensions=b"\xff\1\xff\xff\0")),
    "its Certificate first": once(wire.certificate_message(SEED) + wire.server_hello()),
    "a second ServerHello": once(wire.server_hello() + flight()),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_no_server_says_is_never_compliant(pki, name):
    with Peer(STRANGE[name]) as peer:
        host = judge(pki, peer.port, "--timeout", "2s", timeout=50)
    assert host.verdict not in TOLD
    assert host.items("problems") or host.items("doubts")
    assert not any(a.get("approved") and any(r["handshake"] for r in a["approved"])
                   for a in host.addresses)


BESIDES = {  # additions to a compliant server: the required findings
    "TLS 1.1 in a ServerHello and then silence":
        (lambda h: h and h.version == 0x0302, wire.server_hello(0x0302, 0xC013), OLD[1]),
    "TLS 1.0 behind warnings":
        (lambda h: h and h.version == 0x0301, WARNINGS[:70] + flight(0x0301, 0xC013), OLD[0]),
    "TLS 1.0 behind HelloRequests":
        (lambda h: h and h.version == 0x0301, HELLO_REQUESTS[:90] + flight(0x0301, 0xC013),
         OLD[0]),
    "TLS 1.0 where TLS 1.2 is offered with other suites only":
        (is_others_only, flight(0x0301, 0x002F), OLD[0]),
    "TLS 1.0 where TLS 1.2 is offered with other groups only":
        (lambda h: h and h.version == 0x0303 and 43 not in h.extensions and numbers(h, 10)
         and not {23, 24, 25, 29} & set(numbers(h, 10)), flight(0x0301, 0xC013), OLD[0]),
    "TLS 1.0 where TLS 1.3 is offered":
        (lambda h: h and 43 in h.extensions, flight(0x0301, 0xC013), OLD[0]),
}


@pytest.mark.parametrize("name", BESIDES)
def test_what_a_server_accepts_in_a_strange_way_is_not_hidden(pki, strict, name):
    meets, answer, finding = BESIDES[name]
    with Front(strict.port, lambda hello, _: answer if meets(hello) else None) as front:
        host = judge(pki, front.port, "--timeout", "12s", timeout=50)
    assert_not_hidden(host, finding)


@pytest.mark.parametrize("answer", [flight(suite=0x1234), flight(0x0304, 0x1301), HELLO_REQUESTS,
                                    WARNINGS, NEWEST + wire.record(23, SEED)],
                         ids=["suite", "version", "requests", "warnings", "garbage"])
def test_nonsense_to_old_hellos_is_no_protocol(pki, strict, answer):
    """It answers these hellos but accepts none: a compliant server is not accused."""
    with Front(strict.port, lambda hello, _: answer if is_old(hello) else None) as front:
        host = judge(pki, front.port, "--timeout", "2s", timeout=50)
    assert host.items("problems") == host.items("findings") == []
