"""Records and messages that TLS 1.2 forbids: the peer gets the alert that RFC 5246 names, readable
under the session's keys if there are any, and the record describes the event.

On the client leg, our own client sends what no library would; on the upstream leg, our own code
continues a session that OpenSSL has agreed.
"""

import pytest

import hellos
import rawtls
import wire
from rawtls import ALERT, CCS, DATA, HANDSHAKE, HEARTBEAT, Client, record
from scene import at, check_record, how, scene  # noqa: F401 (fixtures)
from upstreams import TlsPeer, page
from verdicts import only_refusal

GCM, CBC, CBC384 = 0xC02F, 0xC027, 0xC028
REQUEST = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def sealed(one, kind, data=b"", version=0x0303, **how_):
    return record(kind, one.protect(kind, data, version, **how_), version)


# name: (alert, bytes by a Direction). RFC 5246 sections 6 to 6.2.3, 7.1 and 7.2.2; RFC 6520 where
# no heartbeat extension was agreed.
VIOLATIONS = {
    "heartbeat": (10, lambda d: sealed(d, HEARTBEAT, b"\1\0\3abc" + bytes(16))),
    "type_0": (10, lambda d: sealed(d, 0, b"abc")),
    "type_99": (10, lambda d: sealed(d, 99, b"abc")),
    "change_cipher_spec": (10, lambda d: sealed(d, CCS, b"\1")),
    "change_cipher_spec_of_two_bytes": (10, lambda d: sealed(d, CCS, b"\1\1")),
    "change_cipher_spec_in_plaintext": (20, lambda d: record(CCS, b"\1")),
    "wrong_tag": (20, lambda d: sealed(d, DATA, b"abc", spoil="tag")),
    "wrong_padding": (20, lambda d: sealed(d, DATA, b"abc", spoil="padding")),
    "garbage": (20, lambda d: record(DATA, bytes(96))),
    "too_short_for_its_mac": (20, lambda d: record(DATA, bytes(8))),
    "nothing_in_it": (20, lambda d: record(DATA)),
    "handshake_with_nothing_in_it": (20, lambda d: record(HANDSHAKE)),
    "of_2^14+1_bytes": (22, lambda d: sealed(d, DATA, bytes(16385))),
    "of_17000_bytes": (22, lambda d: sealed(d, DATA, bytes(17000))),
    "of_2^14+2048+1_bytes": (22, lambda d: record(DATA, bytes(16384 + 2049))),
    "header_of_65535_bytes": (22, lambda d: record(DATA, length=65535)),
    "of_tls_1.1": (70, lambda d: sealed(d, DATA, b"abc", version=0x0302)),
    "of_version_4.3": (70, lambda d: sealed(d, DATA, b"abc", version=0x0403)),
    "33_empty_ones": (10, lambda d: b"".join(sealed(d, DATA) for _ in range(33))),
    "alert_of_one_byte": (10, lambda d: sealed(d, ALERT, b"\2")),
    "ten_warnings": (10, lambda d: b"".join(sealed(d, ALERT, b"\1\x5a") for _ in range(10))),
    "finished": (10, lambda d: sealed(d, HANDSHAKE, hellos.handshake(20, bytes(12)))),
    "certificate": (10, lambda d: sealed(d, HANDSHAKE, hellos.handshake(11, bytes(3)))),
    "unknown_message": (10, lambda d: sealed(d, HANDSHAKE, hellos.handshake(77, bytes(4)))),
}


@pytest.fixture
def raw(fixed):
    """raw(suite) is a Client before the fixed gate."""
    open_ones = []

    def make(suite=GCM, **options):
        open_ones.append(Client(hellos.connect(fixed.port), suite, **options))
        return open_ones[-1]

    yield make
    for one in open_ones:
        one.sock.close()


@pytest.mark.parametrize("suite", [GCM, CBC384], ids=["gcm", "cbc"])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_client_breaks_the_session(fixed, raw, name, suite):
    alert, make = VIOLATIONS[name]
    client = raw(suite).handshake()
    fixed.wait_record(action="connection-opened")
    client.send(make(client.own))
    assert client.ending() == alert
    assert client.ending() == "close"
    closed = fixed.wait_record(action="connection-closed")
    check_record(closed)
    assert at(closed, "event.code") == "client_protocol_violation"
    assert at(closed, "suitegate.blame") == "client"
    assert at(closed, "suitegate.downgrade") == "no"
    assert at(closed, "suitegate.closed_by") == "client"
    assert at(closed, "suitegate.alert.sent") == alert


@pytest.mark.parametrize("suite", [GCM, CBC, CBC384], ids=["gcm", "cbc", "cbc384"])
def test_only_a_second_hello_is_a_renegotiation(fixed, raw, suite):
    client = raw(suite).handshake()
    client.send(client.make(HANDSHAKE, hellos.client_hello(
        name=None, points=None, schemes=None, suites=(suite,))))
    assert client.ending() == 10
    closed = fixed.wait_record(action="connection-closed")
    assert at(closed, "event.code") == "client_renegotiation"
    assert at(closed, "suitegate.downgrade") == "yes"


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384"])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_an_upstream_breaks_the_session(scene, pki, tmp_path, name, suite):
    alert, make = VIOLATIONS[name]
    context = wire.server_context(pki.ec, ciphers=suite)
    context.keylog_filename = str(tmp_path / "keys")
    answers = []

    def handler(tls, _):
        tls.recv()
        client, server = rawtls.tap(tls, tmp_path / "keys")
        client.number += 1  # for the request
        tls.sock.sendall(make(server))
        answers.extend((kind, client.open(kind, body))
                       for kind, _, body in wire.records(wire.read_to_end(tls.sock)))

    with TlsPeer(context, handler) as upstream:
        s = scene(upstream.port)
        with s.client("fixed") as tls:
            tls.send(b"go on")
            assert tls.ending() == "truncated"
        _, closed = s.opened_closed()[0]
    assert answers == [(ALERT, bytes([2, alert]))]
    assert at(closed, "event.code") == "upstream_protocol_violation"
    assert at(closed, "suitegate.blame") == "upstream"
    assert at(closed, "suitegate.downgrade") == "no"
    assert at(closed, "suitegate.closed_by") == "upstream"
    assert at(closed, "suitegate.alert.sent") == alert


# ---- the client's plaintext -------------------------------------------------------------------

def key_exchange(client):
    message = client.hashed(client.key_exchange)
    client.derive()
    return message


def last(client):
    """ChangeCipherSpec and Finished."""
    client.sending = True
    return record(CCS, b"\1") + client.make(HANDSHAKE, client.hashed(client.finished()))


def whole(client):
    return record(HANDSHAKE, key_exchange(client))


def interleaved(kind, body):
    def make(client):
        message = key_exchange(client)
        return record(HANDSHAKE, message[:8]) + record(kind, body) + record(HANDSHAKE, message[8:])
    return make


def altered(change):
    """The key exchange with another body."""
    def make(client):
        return record(HANDSHAKE, hellos.handshake(16, change(client.key_exchange[4:])))
    return make


def versioned(version):
    return lambda client: record(HANDSHAKE, key_exchange(client), version)


OUT_OF_ORDER = {
    "no_key_exchange": (10, lambda c: record(CCS, b"\1")),
    "change_cipher_spec_of_two_bytes": (10, lambda c: whole(c) + record(CCS, b"\1\1")),
    "change_cipher_spec_0": (10, lambda c: whole(c) + record(CCS, b"\0")),
    "change_cipher_spec_empty": (10, lambda c: whole(c) + record(CCS)),
    "change_cipher_spec_of_16384_bytes": (10, lambda c: whole(c) + record(CCS, b"\1" * 16384)),
    "change_cipher_spec_in_the_key_exchange": (10, interleaved(CCS, b"\1")),
    "data_in_the_key_exchange": (10, interleaved(DATA, b"x")),
    "heartbeat": (10, lambda c: record(HEARTBEAT, b"\1\0\0" + bytes(16))),
    "type_99": (10, lambda c: record(99, b"x")),
    "empty_handshake": (10, lambda c: record(HANDSHAKE)),
    "empty_alert": (10, lambda c: record(ALERT)),
    "empty_data": (10, lambda c: record(DATA)),
    "alert_of_one_byte": (10, lambda c: record(ALERT, b"\1")),
    "key_exchange_twice": (10, lambda c: whole(c) + record(HANDSHAKE, c.key_exchange)),
    "byte_behind_the_key_exchange": (10, lambda c: record(HANDSHAKE, key_exchange(c) + b"\0")),
    "server_hello": (10, lambda c: record(HANDSHAKE, hellos.handshake(2, bytes(40)))),
    "hello_done": (10, lambda c: record(HANDSHAKE, hellos.handshake(14, b""))),
    "certificate_nobody_asked_for": (10, lambda c: record(HANDSHAKE, hellos.handshake(
        11, bytes(3)))),
    "finished_in_plaintext": (10, lambda c: whole(c) + record(HANDSHAKE, c.finished())),
    "hello_request_before_finished": (10, lambda c: whole(c) + record(CCS, b"\1") + (
        sealed(c.own, HANDSHAKE, hellos.handshake(0, b"")))),
    "second_change_cipher_spec": (10, lambda c: whole(c) + record(CCS, b"\1") + (
        sealed(c.own, CCS, b"\1"))),
    "heartbeat_before_finished": (10, lambda c: whole(c) + record(CCS, b"\1") + (
        sealed(c.own, HEARTBEAT, b"\1\0\0" + bytes(16)))),
    "data_before_finished": (10, lambda c: whole(c) + record(CCS, b"\1") + (
        sealed(c.own, DATA, b"x"))),
    "key_exchange_of_16_mib": (50, lambda c: record(HANDSHAKE, b"\x10\xff\xff\xff" + bytes(60))),
    "point_cut_short": (50, altered(lambda body: body[:-1])),
    "byte_behind_the_point": (50, altered(lambda body: body + b"\0")),
    "of_2^14+1_bytes": (22, lambda c: record(HANDSHAKE, bytes(16385))),
    "of_2^14+2048+1_bytes": (22, lambda c: record(HANDSHAKE, bytes(16384 + 2049))),
    "header_of_65535_bytes": (22, lambda c: record(HANDSHAKE, length=65535)),
    "of_tls_1.1": (70, versioned(0x0302)),
    "of_tls_1.3": (70, versioned(0x0304)),
    "of_version_4.3": (70, versioned(0x0403)),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_client_breaks_the_handshake(fixed, raw, name):
    alert, make = OUT_OF_ORDER[name]
    client = raw()
    client.start()
    client.send(make(client))
    assert client.ending() == alert
    assert client.ending() == "close"
    assert only_refusal(fixed, "client_handshake_failed")["suitegate"]["alert"]["sent"] == alert


def test_a_second_hello_before_finished_is_a_renegotiation(fixed, raw):
    client = raw()
    client.start()
    client.send(whole(client), record(HANDSHAKE, hellos.client_hello()))
    assert client.ending() == 10
    only_refusal(fixed, "client_renegotiation")


def test_a_client_that_closes_in_order_before_finished(fixed, raw):
    client = raw()
    client.start()
    client.send(record(ALERT, b"\1\0"))
    assert client.ending() == "close"
    assert at(only_refusal(fixed, "client_handshake_failed"), "suitegate.alert.sent") is None


IN_ORDER = {
    "in_one_byte_records": lambda c: hellos.records(key_exchange(c), 1, 0x0303),
    "in_three_byte_records": lambda c: hellos.records(key_exchange(c), 3, 0x0303),
    "warning_in_the_key_exchange": interleaved(ALERT, b"\1\x5a"),
    "warning_first": lambda c: record(ALERT, b"\1\x5a") + whole(c),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_client_may_cut_its_key_exchange(fixed, raw, origin, name):
    client = raw()
    client.start()
    client.send(IN_ORDER[name](client), last(client))
    client.read_finished()
    client.send(client.make(DATA, REQUEST))
    kind, data = client.next_record()
    assert (kind, data[:12]) == (DATA, b"HTTP/1.1 200")


def test_a_handshake_in_one_byte_segments(fixed, raw):
    client = raw()
    client.start()
    hellos.drip(client.sock, whole(client) + last(client), pause=0)
    client.read_finished()
    hellos.drip(client.sock, client.make(DATA, REQUEST), pause=0)
    assert client.ending() == "data"
