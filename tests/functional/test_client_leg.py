"""policy.md's client leg, row by row: the code, the bytes on the wire, one record.

Most rows are tested twice: at a fixed listener, where TLS starts with the first byte, and in a
CONNECT tunnel after the 200.
"""

import re
import socket
import struct
import subprocess
import time

import pytest

import hellos
from gate import free_port, run
from hellos import (ECDSA_SUITES, EIGHT, FALLBACK_SCSV, GREASE, MASTER_SECRET, REFUSED_HELLOS,
                    RSA_SUITES, SCHEMES, TLS10, TLS11, TLS12, TLS13, WEAK_SCHEMES, alert_bytes,
                    client_hello, extension, handshake, hello, records)
from scene import standing_still
from verdicts import SUITES, VERDICTS, assert_refusal, connection_records, only_refusal

PADDING, ENCRYPT_THEN_MAC = 21, 22
SERVER_FLIGHT = [2, 11, 12, 14]  # ServerHello, Certificate, ServerKeyExchange, Done


FIXTURES = {"fixed": "fixed", "tunnel": "forward"}


@pytest.fixture(params=FIXTURES)
def leg(request, origin):
    """leg(**options) is a gate with .open(): a socket on which a hello is due."""

    def start(**options):
        gate = request.getfixturevalue(f"share_{FIXTURES[request.param]}")(**options)
        if request.param == "fixed":
            gate.open = lambda: hellos.connect(gate.port)
        else:
            gate.open = lambda: hellos.open_tunnel(gate.port, f"localhost:{origin.port}")
        return gate

    return start


def first_and_rest(sock):
    try:
        first = sock.recv(65536)
    except ConnectionResetError:
        return b"", b""
    return first, hellos.read_all(sock) if first else b""


def assert_refused(gate, data, code, alert):
    """Sends data; the record is written before the first byte of the exact answer."""
    with gate.open() as sock:
        sock.sendall(data)
        first, rest = first_and_rest(sock)
        at_once = gate.matching(code=code)
    assert first + rest == (b"" if alert is None else alert_bytes(alert))
    assert len(at_once) == 1, gate.records()
    record = only_refusal(gate, code)
    assert record["suitegate"]["identity"] == "localhost"
    where = record["destination"]
    assert "localhost" == where.get("domain") or "127.0.0.1" == where.get("ip")
    if alert is not None:
        assert record["suitegate"]["alert"]["sent"] == alert
    return record


def flight(gate, sock):
    """The server's whole flight."""
    answer = b""
    while hellos.server_messages(answer) != SERVER_FLIGHT:
        chunk = sock.recv(65536)
        assert chunk, (answer.hex(), gate.records())
        answer += chunk
    return answer


def assert_accepted(gate, data, split=None):
    """Reads the server's whole flight; returns the record of the abandoned handshake."""
    with gate.open() as sock:
        if split:
            split(sock, data)
        else:
            sock.sendall(data)
        flight(gate, sock)
    return gate.wait_record(code="client_handshake_failed")


def chosen(gate, data):
    """The ServerHello and the scheme that signed the key exchange."""
    with hellos.connect(gate.port) as sock:
        sock.sendall(data)
        bodies = dict(hellos.server_flight(flight(gate, sock)))
    exchange = bodies[12]  # curve type, curve, point, scheme, signature (RFC 8422 section 5.4)
    at = 4 + exchange[3]
    return hellos.ServerHello(bodies[2]), int.from_bytes(exchange[at:at + 2], "big")


@pytest.mark.parametrize("name", REFUSED_HELLOS)
def test_hello_refused(leg, name):
    code, data = REFUSED_HELLOS[name]
    assert_refused(leg(), data, code, VERDICTS[code].alert)


RFC_ALERTS = {
    # RFC 5246 sections 7.4.1.4 and 6.2.1, RFC 8446 section 5
    "repeated_extension": (47, hello(extra=extension(23) + extension(23))),
    # The TLS library compares the minor number only; by RFC 5246 appendix E.1 this negotiates 1.2
    "version_4.1": (70, hello(version=0x0401)),
    "record_overflow": (22, b"\x16\3\1" + (16385).to_bytes(2, "big") + bytes(64)),
    "server_hello": (10, records(handshake(2, client_hello()[4:]))),
    "second_message": (10, records(client_hello() + client_hello())),
    "alert": (10, alert_bytes(0)),
    "change_cipher_spec": (10, b"\x14\3\3\0\1\1"),
    "application_data": (10, records(b"x" * 32, version=TLS12, kind=23)),
}


@pytest.mark.parametrize("name", RFC_ALERTS)
def test_malformed_hello_alert_of_the_rfc(leg, name):
    alert, data = RFC_ALERTS[name]
    assert_refused(leg(), data, "client_malformed_hello", alert)


@pytest.mark.parametrize("data", [b"\0\0\0\x08\x04\xd2\x16\x2f", b"SSH-2.0-OpenSSH_9.2\r\n",
                                  b"\x03\x00\x00\x13\x0e\xe0", b"\xff" * 64, b"\r\n\r\n"],
                         ids=["postgres", "ssh", "rdp", "noise", "blank"])
def test_not_tls_is_closed(leg, data):
    assert_refused(leg(), data, "client_not_tls", None)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                  b"CONNECT localhost:1 HTTP/1.1\r\n\r\n"], ids=["get", "connect"])
def test_plain_http_where_tls_must_start_gets_403(leg, data):
    gate = leg()
    with gate.open() as sock:
        sock.sendall(data)
        first, rest = first_and_rest(sock)
        at_once = gate.matching(code="client_plaintext_http")
    response = hellos.Response(first + rest)
    assert response.status == 403
    assert response.proxy_error == "http_request_denied"
    assert b"client_plaintext_http" in response.body
    assert len(at_once) == 1
    only_refusal(gate, "client_plaintext_http")


@pytest.mark.parametrize("have, offered", [("rsa", ECDSA_SUITES), ("ec", RSA_SUITES)])
def test_no_usable_certificate(share_fixed, have, offered):
    gate = share_fixed(keys=(have,))
    gate.open = lambda: hellos.connect(gate.port)
    assert_refused(gate, hello(suites=offered), "client_no_usable_certificate", 40)


def test_hello_cut_short_by_end_of_data(leg):
    gate = leg()
    with gate.open() as sock:
        sock.sendall(hello()[:60])
        sock.shutdown(socket.SHUT_WR)
        assert hellos.read_all(sock) == b""
    gate.wait_record(code="client_handshake_failed")
    only_refusal(gate, "client_handshake_failed")


def test_connection_without_a_byte_is_not_recorded(fixed):
    hellos.connect(fixed.port).close()
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello(version=TLS10))
        hellos.read_all(sock)
    only_refusal(fixed, "client_protocol_too_old")


def test_slow_drip_meets_hello_timeout(leg):
    gate = leg(proxy={"hello_timeout": "1s"})
    data = hello(extra=extension(PADDING, bytes(6000)))
    with gate.open() as sock:
        sock.settimeout(0.02)
        answer = b"still open"
        for i in range(len(data)):  # enough for two minutes: the alarm ends it
            try:
                sock.sendall(data[i:i + 1])
                answer = sock.recv(100)
                break
            except TimeoutError:
                continue
            except OSError:
                answer = b""
                break
        at_once = gate.matching(code="client_hello_timeout")
    assert answer == b""
    assert len(at_once) == 1
    only_refusal(gate, "client_hello_timeout")


def message_of(size):
    bare = len(client_hello(extra=extension(PADDING, b"")))
    return client_hello(extra=extension(PADDING, bytes(size - bare)))


def test_hello_of_hello_max_size(leg):
    gate = leg(proxy={"hello_max_size": "4KiB"})
    assert_accepted(gate, records(message_of(4096)))


@pytest.mark.parametrize("size", [4097, 5000, 20000])
def test_hello_above_hello_max_size(leg, size):
    gate = leg(proxy={"hello_max_size": "4KiB"})
    assert_refused(gate, records(message_of(size)), "client_hello_too_large", 47)


def test_hello_is_refused_by_its_length_field(leg):
    """The header says 16 MiB, which is enough: nothing more is sent, nothing is kept."""
    assert_refused(leg(), b"\x16\3\1\0\x40\1\xff\xff\xff" + bytes(60), "client_hello_too_large", 47)


def test_hello_of_67_kib_is_accepted_by_default(leg):
    """As long as 2000 suites and the length field of the extensions allow."""
    message = client_hello(suites=(*range(0x4000, 0x4000 + 2000), *EIGHT),
                           extra=extension(PADDING, bytes(65300)))
    assert len(message) > 67 * 1024
    record = assert_accepted(leg(), records(message))
    assert len(record["tls"]["client"]["supported_ciphers"]) >= 8


def test_denied_client_at_a_fixed_listener_is_closed(share_fixed):
    gate = share_fixed(listen={"allow_clients": "192.0.2.0/24"})
    with hellos.connect(gate.port) as sock:
        try:
            sock.sendall(hello())
        except OSError:
            pass
        assert hellos.read_all(sock) == b""
    gate.wait_record(code="client_denied")
    only_refusal(gate, "client_denied")


# ---- order of verdicts --------------------------------------------------------------

FAULTS = [
    ("client_fallback", {"version": TLS11, "suites": (0x002F, FALLBACK_SCSV)}),
    ("client_protocol_too_old", {"version": TLS11}),
    ("client_tls13_only", {"versions": (TLS13,)}),
    ("client_compression_only", {"compression": b"\1"}),
    ("client_no_approved_suite", {"suites": (0x002F,)}),
    ("client_no_common_group", {"groups": (0x001E,)}),
    ("client_bad_point_format", {"points": b"\1"}),
    ("client_no_common_signature", {"schemes": WEAK_SCHEMES}),
    ("client_no_usable_certificate", {"suites": ECDSA_SUITES}),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[code for code, _ in FAULTS])
def test_of_several_faults_the_first_in_order_is_named(share_fixed, first):
    code = FAULTS[first][0]
    parts = {}
    for later, (_, fault) in reversed(list(enumerate(FAULTS))):
        # A version below 1.2 and a list with only 1.3 exclude each other.
        if later < first or (FAULTS[later][0] == "client_tls13_only" and later != first):
            continue
        parts.update(fault)
    gate = share_fixed(keys=("rsa",))
    gate.open = lambda: hellos.connect(gate.port)
    assert_refused(gate, hello(**parts), code, VERDICTS[code].alert)


def test_malformed_comes_before_everything(fixed):
    fixed.open = lambda: hellos.connect(fixed.port)
    data = hello(version=TLS10, suites=(0x002F, FALLBACK_SCSV), session_id=bytes(33))
    assert_refused(fixed, data, "client_malformed_hello", 50)


# ---- hellos that must be accepted ----------------------------------------------------

@pytest.mark.parametrize("version", [0x0304, 0x0403, 0x0603, 0xFEFE], ids=hex)
def test_a_version_above_all_gets_tls12(leg, version):
    """RFC 5246 appendix E.1."""
    data = assert_accepted(leg(), hello(version=version))["suitegate"]["client"]["hello_version"]
    assert data == ("TLS 1.3" if version == 0x0304 else f"0x{version:04x}")


def test_hello_in_one_byte_segments(leg):
    assert_accepted(leg(), hello(), split=hellos.drip)


def test_hello_in_one_byte_records(leg):
    assert_accepted(leg(), records(client_hello(), size=1))


def test_hello_in_one_byte_records_and_segments(fixed):
    fixed.open = lambda: hellos.connect(fixed.port)
    assert_accepted(fixed, records(client_hello(), size=1),
                    split=lambda sock, data: hellos.drip(sock, data, pause=0))


def test_hello_with_500_suites(leg):
    suites = (*range(0x4000, 0x4000 + 492), *EIGHT)
    record = assert_accepted(leg(), hello(suites=suites))
    assert len(record["suitegate"]["client"]["approved"]) == 8


def test_hello_with_a_post_quantum_key_share(leg):
    """X25519MLKEM768: 1184 + 32 bytes, as browsers send it today."""
    data = hello(versions=(TLS13, TLS12), groups=(0x11EC, *hellos.GROUPS),
                 suites=(0x1301, 0x1302, 0x1303, *EIGHT),
                 extra=hellos.key_share(0x11EC, 1216))
    record = assert_accepted(leg(), data)
    assert record["suitegate"]["client"].get("weak_offers", []) == []


def test_hello_with_grease_everywhere(leg):
    data = hello(versions=(GREASE[7], TLS13, TLS12), suites=(GREASE[2], *EIGHT),
                 groups=(GREASE[5], *hellos.GROUPS), schemes=(*SCHEMES, GREASE[9]),
                 alpn=("\x0a\x0a", "http/1.1"),
                 extra=extension(GREASE[11]) + extension(GREASE[12], b"\0"))
    client = assert_accepted(leg(), data)["suitegate"]["client"]
    assert client["grease"] is True
    assert client.get("weak_offers", []) == []


def test_hello_without_supported_groups_and_points(leg):
    assert_accepted(leg(), hello(groups=None, points=None))


def test_hello_with_renegotiation_scsv_instead_of_extension(leg):
    data = hello(suites=(*EIGHT, hellos.EMPTY_RENEGOTIATION_SCSV), renegotiation=None)
    assert_accepted(leg(), data)


@pytest.mark.parametrize("suite", EIGHT, ids=[SUITES[s][1] for s in EIGHT])
def test_hello_with_one_suite_gets_that_suite(fixed, suite):
    server, _ = chosen(fixed, hello(suites=(suite,)))
    assert (server.version, server.suite, server.compression) == (TLS12, suite, 0)


def test_server_prefers_its_own_order(fixed):
    assert chosen(fixed, hello(suites=tuple(reversed(EIGHT))))[0].suite == EIGHT[0]


def test_server_takes_up_what_protects_and_nothing_else(fixed):
    """Encrypt-then-mac is for CBC only (RFC 7366 section 3)."""
    weak = (extension(1, b"\1") + extension(4) + extension(5, b"\1\0\0\0\0") + extension(15, b"\1")
            + extension(18))
    data = {"extra": extension(ENCRYPT_THEN_MAC) + extension(MASTER_SECRET)
            + extension(hellos.TICKET) + weak, "versions": (TLS12, TLS11)}
    needed = {MASTER_SECRET, hellos.RENEGOTIATION, hellos.TICKET}
    gcm, _ = chosen(fixed, hello(suites=(0xC02B,), **data))
    assert needed <= set(gcm.extensions) <= needed | {hellos.POINTS}
    assert gcm.extensions[hellos.RENEGOTIATION] == b"\0"
    needed.add(ENCRYPT_THEN_MAC)
    cbc, _ = chosen(fixed, hello(suites=(0xC023,), **data))
    assert needed <= set(cbc.extensions) <= needed | {hellos.POINTS}


@pytest.mark.parametrize("suites, schemes", [
    (ECDSA_SUITES, (0x0403,)), (ECDSA_SUITES, (0x0503,)), (ECDSA_SUITES, (0x0603,)),
    (RSA_SUITES, (0x0401,)), (RSA_SUITES, (0x0501,)), (RSA_SUITES, (0x0601,)),
    (RSA_SUITES, (0x0804,)), (RSA_SUITES, (0x0805,)), (RSA_SUITES, (0x0806,)),
    (EIGHT, (*WEAK_SCHEMES, 0x0401)), (EIGHT, (*WEAK_SCHEMES, 0x0403)),
], ids=lambda values: "_".join(f"{v:04x}" for v in values[-1:]))
def test_server_signs_with_an_offered_and_allowed_scheme(fixed, suites, schemes):
    server, scheme = chosen(fixed, hello(suites=suites, schemes=schemes))
    assert server.suite in suites
    assert scheme == schemes[-1]


@pytest.mark.parametrize("have, parts", [
    ("rsa", {"schemes": (0x0403, 0x0503)}), ("ec", {"schemes": (0x0401, 0x0804)}),
    ("ec", {"groups": (0x001D,)}),
], ids=["ecdsa_schemes", "rsa_schemes", "other_curve"])
def test_certificate_no_scheme_or_curve_of_the_hello_can_use(share_fixed, have, parts):
    """RFC 8422 section 5.1: the groups are also those of the certificate's key."""
    gate = share_fixed(keys=(have,))
    gate.open = lambda: hellos.connect(gate.port)
    assert_refused(gate, hello(**parts), "client_no_usable_certificate", 40)
    both = share_fixed()
    assert chosen(both, hello(**parts))[0].suite in EIGHT


# ---- the hello in the record -------------------------------------------------------

def test_weak_offers_are_listed_and_not_refused(leg):
    data = hello(suites=(*EIGHT, 0x002F, 0x0005, 0xC013), schemes=(*SCHEMES, 0x0201, 0x0203),
                 versions=(TLS12, TLS11, TLS10), compression=b"\1\0")
    offers = assert_accepted(leg(), data)["suitegate"]["client"]["weak_offers"]
    text = " ".join(offers)
    for weak in ("TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_RC4_128_SHA",
                 "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "rsa_pkcs1_sha1", "ecdsa_sha1",
                 "TLS 1.0", "TLS 1.1"):
        assert weak in text, offers
    for name, _ in SUITES.values():
        assert name not in offers


def test_strong_hello_has_no_weak_offers(leg):
    client = assert_accepted(leg(), hello())["suitegate"]["client"]
    assert client.get("weak_offers", []) == []
    assert client["grease"] is False
    assert client["fallback_scsv"] is False
    assert sorted(client["approved"]) == sorted(name for name, _ in SUITES.values())


def test_forward_secret_aead_suites_are_no_weak_offers(leg):
    """ChaCha20-Poly1305, CCM and the suites of TLS 1.3: outside the policy, but not weak."""
    others = (0xCCA8, 0xCCA9, 0xC0AC, 0xC0AD, 0x1301, 0x1302, 0x1303)
    data = hello(suites=(*others, *EIGHT), versions=(TLS13, TLS12))
    assert assert_accepted(leg(), data)["suitegate"]["client"].get("weak_offers", []) == []


def test_refused_hello_is_described(fixed):
    fixed.open = lambda: hellos.connect(fixed.port)
    data = hello(version=TLS11, suites=(0x002F, 0x0035, FALLBACK_SCSV), name="Legacy.Example.test")
    record = assert_refused(fixed, data, "client_fallback", 86)
    client = record["suitegate"]["client"]
    assert client["hello_version"] == "TLS 1.1"
    assert client["fallback_scsv"] is True
    assert client["approved"] == []
    assert record["tls"]["client"]["server_name"] == "legacy.example.test"
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in record["tls"]["client"]["supported_ciphers"]
    assert re.fullmatch(r"t11d\d{4}\w\w_[0-9a-f]{12}_[0-9a-f]{12}", record["tls"]["client"]["ja4"])


def test_record_names_both_ends(fixed):
    with hellos.connect(fixed.port) as sock:
        own_port = sock.getsockname()[1]
        sock.sendall(hello(version=TLS10))
        hellos.read_all(sock)
    record = only_refusal(fixed, "client_protocol_too_old")
    assert record["source"]["ip"] == "127.0.0.1"
    assert record["source"]["port"] == own_port
    assert record["suitegate"]["listener"] == "front"


UNREADABLE = [b"a.test\n{\"forged\":1}", b"a\0b.test", b"a b.test", b"", b"\xff\xfe",
              "b\u00fccher.test".encode(), b"a.test\r\nX: y", b"\x7f.test", b"a\t.test",
              b".".join([b"a" * 60] * 5)]
NO_NAMES = [b'x"},"event":{"code":"forged"', b"*.example.test", b"a.test,DNS:b.test", b"DNS:a.test",
            b"a_b,c", b"..", b"a" * 64 + b".test", b"localhost:443",
            b"../../etc/passwd", b"CN=a,O=b", b"<script>alert(1)</script>", b"\\u0000", b"%n%s",
            b"127.0.0.9", b"::1", b"[::1]", b"192.0.2.1"]


@pytest.mark.parametrize("name", UNREADABLE, ids=range(len(UNREADABLE)))
def test_server_name_too_long_or_not_visible_ascii_is_malformed(forward, origin, name):
    forward.open = lambda: hellos.open_tunnel(forward.port, f"127.0.0.1:{origin.port}")
    with forward.open() as sock:
        sock.sendall(hello(name=name))
        assert hellos.read_all(sock) == alert_bytes(50)
    only_refusal(forward, "client_malformed_hello")


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
def test_server_name_can_inject_nothing(forward, origin, name):
    """For an IP host, a server name is the identity; an invalid name only goes into the record. RFC
    6066 section 3 forbids an address here, but some clients send theirs."""
    with hellos.open_tunnel(forward.port, f"127.0.0.1:{origin.port}") as sock:
        sock.sendall(hello(name=name))
        leaf = dict(hellos.server_flight(flight(forward, sock)))[11]
    # All names in the leaf, not its bytes: two of them can occur in a key or a signature by chance.
    shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt",
                            "RFC2253", "-ext", "subjectAltName"], input=leaf[6:6 + int.from_bytes(leaf[3:6], "big")],
                           capture_output=True, check=True).stdout.decode().split("\n")
    assert [line.strip() for line in shown if line] == [
        "subject=CN=127.0.0.1", "X509v3 Subject Alternative Name:", "IP Address:127.0.0.1"]
    assert bytes([0x87, 4, 127, 0, 0, 1]) in leaf  # iPAddress (RFC 5280 section 4.2.1.6)
    record = only_refusal(forward, "client_handshake_failed")
    assert record["suitegate"]["identity"] == "127.0.0.1"
    assert record["tls"]["client"]["server_name"] == name.decode().lower().removesuffix(".")


@pytest.mark.parametrize("name", [b"192.0.2.1", b"*.localhost", b"localhost:443"])
def test_no_name_is_not_the_connect_host(forward, origin, name):
    with hellos.open_tunnel(forward.port, f"localhost:{origin.port}") as sock:
        sock.sendall(hello(name=name))
        assert hellos.read_all(sock) == alert_bytes(112)
    only_refusal(forward, "client_server_name_mismatch")


def test_two_server_names_are_malformed(fixed):
    fixed.open = lambda: hellos.connect(fixed.port)
    both = b"".join(b"\0" + hellos.vector(2, n) for n in (b"localhost", b"other.test"))
    data = hello(name=None, extra=extension(hellos.SERVER_NAME, hellos.vector(2, both)))
    assert_refused(fixed, data, "client_malformed_hello", 50)


# ---- the rest of the handshake --------------------------------------------------------

def s_client(port, *arguments, stdin=b"", timeout=50):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                           "localhost", "-tls1_2", *map(str, arguments)],
                          input=stdin, capture_output=True, timeout=timeout, check=False)


def der(tag, body):
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    width = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | width]) + size.to_bytes(width, "big") + body


def der_items(body):
    items = []
    while body:
        size, at = body[1], 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(body[2:at], "big")
        items.append((body[0], body[at:at + size]))
        body = body[at + size:]
    return items


def foreign_session(tmp_path, pki, ticket_size):
    """A session file of another server, its ticket ([10] of OpenSSL's SSL_SESSION) replaced
    by one of the wanted size."""
    port, session = free_port(), tmp_path / "session.pem"
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2",
                               "-cert", pki.ec.cert, "-key", pki.ec.key, "-quiet"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if s_client(port, "-sess_out", session).returncode == 0:
                break
            time.sleep(0.05)
    finally:
        server.kill()
        server.wait()
    raw = subprocess.run(["openssl", "sess_id", "-in", session, "-outform", "DER"],
                         capture_output=True, check=True).stdout
    (_, body), = der_items(raw)
    items = [(tag, value) for tag, value in der_items(body)]
    assert any(tag == 0xAA for tag, _ in items)
    ticket = der(4, bytes(i % 251 for i in range(ticket_size)))
    edited = der(0x30, b"".join(der(tag, ticket if tag == 0xAA else value)
                                for tag, value in items))
    (tmp_path / "foreign.der").write_bytes(edited)
    subprocess.run(["openssl", "sess_id", "-inform", "DER", "-in", tmp_path / "foreign.der",
                    "-out", tmp_path / "foreign.pem"], check=True, capture_output=True)
    return tmp_path / "foreign.pem"


@pytest.mark.parametrize("size", [100, 187, 200, 201, 219, 220, 300, 512, 1000, 2000])
def test_foreign_session_ticket_gets_a_full_handshake(fixed, pki, tmp_path, size):
    session = foreign_session(tmp_path, pki, size)
    done = s_client(fixed.port, "-sess_in", session, "-CAfile", pki.trust, "-verify_return_error",
                    "-ign_eof", stdin=b"GET /hello.txt HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert b"the origin's own words" in done.stdout, done.stderr
    assert b"New, TLSv1.2" in done.stdout
    assert fixed.wait_record(action="connection-opened")["tls"]["resumed"] is False


def test_second_hello_is_refused(fixed, pki):
    """A renegotiation: 'R' makes s_client start one."""
    done = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{fixed.port}",
                             "-servername", "localhost", "-tls1_2", "-legacy_renegotiation",
                             "-CAfile", pki.trust, "-msg"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    fixed.wait_record(action="connection-opened")
    output, _ = done.communicate(b"R\n", timeout=50)
    assert b"RENEGOTIATING" in output
    assert re.search(rb"<<< TLS 1.2, Alert[^\n]*fatal unexpected_message", output), output
    record = fixed.wait_record(code="client_renegotiation")
    assert record["event"]["action"] == "connection-closed"
    assert record["suitegate"]["alert"]["sent"] == 10
    assert record["suitegate"]["downgrade"] == "yes"
    fixed.settle()
    assert [r["event"]["action"] for r in connection_records(fixed)] == \
        ["connection-opened", "connection-closed"]


def test_client_that_does_not_trust_the_certificate(fixed, tmp_path, pki):
    """Alert 48 from the client means this proxy's set-up is wrong, not the client."""
    stranger = pki.ca("stranger-to-all")
    done = s_client(fixed.port, "-CAfile", stranger.cert, "-verify_return_error")
    assert done.returncode != 0
    record = fixed.wait_record(code="client_rejected_certificate")
    assert_refusal(record, "client_rejected_certificate")
    assert record["suitegate"]["alert"]["received"] == 48
    only_refusal(fixed, "client_rejected_certificate")


@pytest.mark.parametrize("number", [42, 43, 44, 45, 46, 48])
def test_certificate_alert_after_the_server_flight(fixed, number):
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello())
        hellos.read_until(sock, b"\x0e\0\0\0")
        sock.sendall(alert_bytes(number))
        hellos.read_all(sock)
    record = only_refusal(fixed, "client_rejected_certificate")
    assert record["suitegate"]["alert"]["received"] == number
    advice = {42: "See the client's own log", 43: "serverAuth", 44: "Replace the listener's",
              45: "Renew the listener's certificate", 46: "most often it does not know the CA",
              48: "Install the CA"}
    assert advice[number] in record["suitegate"]["detail"]
    assert record["message"].endswith(record["suitegate"]["detail"])
    report = " ".join(run("log", "report", fixed.audit_path).stdout.split())
    assert advice[number] in report, report


@pytest.mark.parametrize("end", ["FIN", "reset"])
def test_a_client_that_hangs_up_at_the_certificate(leg, end):
    """Without an alert, nobody is sure that the operator can fix it."""
    gate = leg()
    with gate.open() as sock:
        sock.sendall(hello())
        hellos.read_until(sock, b"\x0e\0\0\0")
        if end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    record = only_refusal(gate, "client_handshake_failed")
    assert "probably does not trust it" in record["suitegate"]["detail"]
    assert "suitegate ca show" in record["suitegate"]["detail"]


def test_a_client_that_goes_before_the_certificate_says_nothing_of_it(fixed):
    with hellos.connect(fixed.port) as sock:
        with standing_still(fixed.proxy()):  # so that the end comes with the hello
            sock.sendall(hello())
            sock.shutdown(socket.SHUT_WR)
        hellos.read_all(sock)
    record = only_refusal(fixed, "client_handshake_failed")
    assert "trust" not in record["suitegate"]["detail"]


def test_a_client_that_answers_and_goes_says_nothing_of_the_certificate(fixed):
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello())
        hellos.read_until(sock, b"\x0e\0\0\0")
        sock.sendall(b"\x16\3")
    record = only_refusal(fixed, "client_handshake_failed")
    assert "trust" not in record["suitegate"]["detail"]


@pytest.mark.parametrize("name", ["bytes", "suites", "extensions"])
def test_a_hello_above_a_limit_says_which(leg, name):
    data = {"bytes": b"\x16\3\1\0\x40\1\xff\xff\xff" + bytes(60),
            "suites": records(client_hello(suites=(*EIGHT, *range(0x4000, 0x4800)))),
            "extensions": hello(extra=b"".join(hellos.extension(0x7000 + i, b"")
                                               for i in range(129)))}[name]
    gate = leg()
    with gate.open() as sock:
        sock.sendall(data)
        assert hellos.read_all(sock) == alert_bytes(47)
    record = only_refusal(gate, "client_hello_too_large")
    limit = {"bytes": "hello_max_size", "suites": "2,048 cipher suites",
             "extensions": "128 extensions"}[name]
    assert limit in record["suitegate"]["detail"]
    assert "hello_max_size" not in record["event"]["reason"]


def test_a_client_that_waits_for_the_server_to_speak(leg):
    gate = leg(proxy={"hello_timeout": "1s"})
    with gate.open() as sock:
        assert hellos.read_all(sock) == b""
    record = only_refusal(gate, "client_hello_timeout")
    assert "waits for the server to speak first" in record["suitegate"]["detail"]


def test_a_client_that_begins_and_stops_is_no_such_client(leg):
    gate = leg(proxy={"hello_timeout": "1s"})
    with gate.open() as sock:
        sock.sendall(hello()[:5])
        assert hellos.read_all(sock) == b""
    assert "detail" not in only_refusal(gate, "client_hello_timeout")["suitegate"]


@pytest.mark.parametrize("raw, body", [(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", False),
                                       (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True)])
def test_the_plain_answer_to_head_has_no_body(fixed, raw, body):
    response = hellos.ask(fixed.port, raw)
    assert response.status == 403
    assert bool(response.body) == body
    assert int(response.fields["content-length"]) > 0
    only_refusal(fixed, "client_plaintext_http")


@pytest.mark.parametrize("number", [40, 47, 80])
def test_any_other_alert_after_the_server_flight(fixed, number):
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello())
        hellos.read_until(sock, b"\x0e\0\0\0")
        sock.sendall(alert_bytes(number))
        hellos.read_all(sock)
    record = only_refusal(fixed, "client_handshake_failed")
    assert record["suitegate"]["alert"]["received"] == number


def test_garbage_instead_of_the_key_exchange(fixed):
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello())
        hellos.read_until(sock, b"\x0e\0\0\0")
        sock.sendall(records(handshake(16, b"\x41" + b"\4" + bytes(64)), version=TLS12))
        answer = hellos.read_all(sock)
    assert answer[:6] == b"\x15\3\3\0\2\2"
    record = only_refusal(fixed, "client_handshake_failed")
    assert record["suitegate"]["alert"]["sent"] == answer[6]


@pytest.mark.parametrize("together", [False, True], ids=["after_the_flight", "at_once"])
def test_second_hello_inside_the_handshake(fixed, together):
    second = records(client_hello(), version=TLS12)
    with hellos.connect(fixed.port) as sock:
        sock.sendall(hello() + (second if together else b""))
        if not together:
            flight(fixed, sock)
            sock.sendall(second)
        answer = hellos.read_all(sock)
    assert answer.endswith(alert_bytes(10)), answer[-20:]
    record = only_refusal(fixed, "client_renegotiation")
    assert record["suitegate"]["alert"]["sent"] == 10


def test_handshake_that_stalls_meets_handshake_timeout(share_fixed):
    gate = share_fixed(proxy={"handshake_timeout": "1s"})
    with hellos.connect(gate.port) as sock:
        sock.sendall(hello())
        flight(gate, sock)
        rest = hellos.read_all(sock)
    assert rest in (b"", alert_bytes(80), alert_bytes(40)), rest
    only_refusal(gate, "client_handshake_failed")
