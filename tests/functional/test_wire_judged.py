"""A few hundred odd and malformed client flights, also judged by OpenSSL and GnuTLS.

Each case is one connection to each of the three, with the same recipe of bytes: a hello, what
follows it up to Finished, or records in the session, with one change. The outcome is "data" (a
later request is answered), an alert's number, or "close". Where both judges agree the gate agrees,
or DIFFERS has its outcome and why. Where they differ, the gate does what one of them does, or
UNSETTLED has its outcome.
"""

import pytest

import hellos
from gate import free_port
from rawtls import ALERT, CCS, DATA, HANDSHAKE, HEARTBEAT, P256, X25519, Client, record
from upstreams import Process, s_server

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
GNUTLS = "NORMAL:-VERS-ALL:+VERS-TLS1.2:+SHA256:+SHA384"


def empty(count):
    return lambda c: b"".join(c.make(DATA) for _ in range(count))


def in_session(*arguments, **options):
    return lambda c: c.make(*arguments, **options)


def message(kind, body):
    return in_session(HANDSHAKE, hellos.handshake(kind, body))


def hello_again(size):
    def make(c):
        raw = hellos.client_hello()
        return b"".join(c.make(HANDSHAKE, raw[i:i + size]) for i in range(0, len(raw), size))
    return make


SESSION = {
    "nothing": lambda c: b"",
    **{f"type {t}": in_session(t, b"\1\0\3abc" + bytes(16)) for t in (0, 1, 19, HEARTBEAT, 25, 99,
                                                                      128, 255)},
    "plain heartbeat": in_session(HEARTBEAT, b"\1\0\3abc" + bytes(16), plain=True),
    **{f"ccs {b.hex() or 'empty'}": in_session(CCS, b) for b in (b"\1", b"", b"\0", b"\1\1")},
    "plain ccs": in_session(CCS, b"\1", plain=True),
    "plain alert": in_session(ALERT, b"\2\x28", plain=True),
    **{f"spoilt {what} of {n}": in_session(DATA, bytes(n), spoil=what)
       for what in ("tag", "padding") for n in (1, 100, 16384)},
    **{f"garbage of {n}": in_session(DATA, bytes(n), plain=True)
       for n in (1, 8, 15, 16, 17, 24, 32, 48, 64, 96, 100, 1000, 16384)},
    **{f"nothing at all, type {t}": in_session(t, plain=True) for t in (DATA, HANDSHAKE, ALERT)},
    **{f"plaintext of {n}": in_session(DATA, REQUEST + bytes(n - len(REQUEST)))
       for n in (16383, 16384, 16385, 16400, 17000)},
    **{f"fragment of {n}": in_session(DATA, bytes(n), plain=True)
       for n in (16384 + 1024, 18432, 18433, 65535)},
    **{f"version {v:04x}": in_session(DATA, b"abc", version=v)
       for v in (0, 0x0203, 0x0300, 0x0301, 0x0302, 0x0304, 0x0403, 0xFFFF)},
    **{f"alert {b.hex() or 'empty'}": in_session(ALERT, b) for b in (
        b"", b"\1", b"\2", b"\1\x5a", b"\1\x64", b"\1\x5a\0", b"\1\x5a\1\x5a", b"\3\x5a",
        b"\1\xc8")},
    "ten warnings": lambda c: b"".join(c.make(ALERT, b"\1\x5a") for _ in range(10)),
    **{f"message {k}": message(k, body) for k, body in (
        (0, b""), (1, b"\3\3"), (2, bytes(40)), (4, bytes(6)), (11, bytes(3)), (12, bytes(40)),
        (13, bytes(8)), (14, b""), (15, bytes(70)), (16, b"\x20" + bytes(32)), (20, bytes(12)),
        (22, bytes(4)), (24, b"\0"), (77, bytes(4)), (255, b""))},
    "empty handshake": in_session(HANDSHAKE),
    "half a message header": in_session(HANDSHAKE, b"\1\0"),
    "message of 16 MiB": in_session(HANDSHAKE, b"\1\xff\xff\xff" + bytes(100)),
    "hello again": hello_again(16384),
    "hello again, in pieces": hello_again(20),
    **{f"{n} empty": empty(n) for n in (1, 2, 31, 33, 100)},
    **{f"padding of {n} on {size}": in_session(DATA, REQUEST + bytes(size - len(REQUEST)),
                                               padding=n)
       for n in (64, 256) for size in (len(REQUEST), 8192, 16128, 16384)},
}


# ---- from the key exchange to Finished --------------------------------------------------------

def key(c):
    raw = c.hashed(c.key_exchange)
    c.derive()
    return record(HANDSHAKE, raw)


def key_in(size):
    def make(c):
        key(c)
        return hellos.records(c.key_exchange, size, 0x0303)
    return make


def key_with(change):
    def make(c):
        c.key_exchange = hellos.handshake(16, change(c.key_exchange[4:]))
        return key(c)
    return make


def key_around(kind, body):
    def make(c):
        key(c)
        raw = c.key_exchange
        return record(HANDSHAKE, raw[:8]) + record(kind, body) + record(HANDSHAKE, raw[8:])
    return make


def key_and(tail):
    def make(c):
        key(c)
        return record(HANDSHAKE, c.key_exchange + tail)
    return make


def no_key(c):
    c.derive()
    return b""


def ccs(c, body=b"\1"):
    c.sending = True
    return record(CCS, body)


def ccs_of(body):
    return lambda c: ccs(c, body)


def no_ccs(c):
    c.sending = True
    return b""


def finished(c):
    return c.make(HANDSHAKE, c.hashed(c.finished()))


def finished_with(change, **options):
    return lambda c: c.make(HANDSHAKE, c.hashed(change(c.finished())), **options)


def finished_in(size):
    def make(c):
        raw = c.hashed(c.finished())
        return b"".join(c.make(HANDSHAKE, raw[i:i + size]) for i in range(0, len(raw), size))
    return make


def plain_finished(c):
    return record(HANDSHAKE, c.hashed(c.finished()))


def raw(data):
    return lambda c: data


def hashed(kind, body):
    return lambda c: c.make(HANDSHAKE, c.hashed(hellos.handshake(kind, body)))


def versioned(step, version):
    def make(c):
        data = step(c)
        return data[:1] + version.to_bytes(2, "big") + data[3:]
    return make


OTHERS = ((0, b""), (1, hellos.client_hello()[4:]), (2, bytes(40)), (4, bytes(6)), (11, bytes(3)),
          (12, bytes(40)), (13, bytes(8)), (14, b""), (15, bytes(70)), (20, bytes(12)),
          (22, bytes(4)), (24, b"\0"), (77, bytes(4)), (255, b""))
VERSIONS = (0, 0x0203, 0x0300, 0x0301, 0x0302, 0x0304, 0x0403, 0xFFFF)
BEFORE = {
    "empty handshake": record(HANDSHAKE), "empty alert": record(ALERT), "empty data": record(DATA),
    "data": record(DATA, b"x"), "heartbeat": record(HEARTBEAT, b"\1\0\0" + bytes(16)),
    "type 0": record(0, b"x"), "type 99": record(99, b"x"), "ccs": record(CCS, b"\1"),
    "warning": record(ALERT, b"\1\x5a"), "half a warning": record(ALERT, b"\1"),
    "warning and a byte": record(ALERT, b"\1\x5a\0"),
    "warning in two": record(ALERT, b"\1") + record(ALERT, b"\x5a"),
    "close_notify": record(ALERT, b"\1\0"), "fatal alert": record(ALERT, b"\2\x28"),
    **{f"fragment of {n}": record(HANDSHAKE, bytes(n)) for n in (16385, 18432, 18433, 65535)},
    "message of 16 MiB": record(HANDSHAKE, b"\x10\xff\xff\xff" + bytes(60)),
}

HANDSHAKES = {
    "in order": (key, ccs, finished),
    **{f"key in {n}": (key_in(n), ccs, finished) for n in (1, 2, 3, 4, 5, 16, 36)},
    **{f"finished in {n}": (key, ccs, finished_in(n)) for n in (1, 2, 3, 4, 5, 15)},
    "no key": (no_key, ccs, finished),
    "no ccs": (key, no_ccs, finished),
    "neither ccs nor protection": (key, plain_finished),
    **{f"ccs {body[:8].hex() or 'empty'} of {len(body)}": (key, ccs_of(body), finished)
       for body in (b"", b"\0", b"\2", b"\xff", b"\1\1", b"\1" * 100, b"\1" * 16384, b"\1" * 16385)},
    "ccs twice": (key, ccs, raw(record(CCS, b"\1")), finished),
    "second ccs protected": (key, ccs, in_session(CCS, b"\1"), finished),
    **{f"key around {what}": (key_around(kind, body), step, finished)
       for what, kind, body, step in (("ccs", CCS, b"\1", no_ccs), ("alert", ALERT, b"\1\x5a", ccs),
                                      ("data", DATA, b"x", ccs), ("nothing", DATA, b"", ccs),
                                      ("heartbeat", HEARTBEAT, b"\1\0\0" + bytes(16), ccs))},
    "key twice": (key, hashed(16, b"\0"), ccs, finished),
    "byte behind the key": (key_and(b"\0"), ccs, finished),
    **{f"key {what}": (key_with(change), ccs, finished) for what, change in (
        ("empty", lambda b: b""), ("without a point", lambda b: b"\0"),
        ("with a short point", lambda b: bytes([b[0] - 1]) + b[1:-1]),
        ("with a long point", lambda b: bytes([b[0] + 1]) + b[1:] + b"\0"),
        ("cut short", lambda b: b[:-1]), ("with a byte behind", lambda b: b + b"\0"),
        ("of zeros", lambda b: b[:1] + bytes(len(b) - 1)))},
    "protected data before finished": (key, ccs, in_session(DATA, b"x"), finished),
    "protected heartbeat before finished": (key, ccs, in_session(HEARTBEAT, b"\1\0\0" + bytes(16)),
                                            finished),
    "protected type 99 before finished": (key, ccs, in_session(99, b"x"), finished),
    "protected warning before finished": (key, ccs, in_session(ALERT, b"\1\x5a"), finished),
    "protected nothing before finished": (key, ccs, in_session(HANDSHAKE), finished),
    **{f"{what} first": (raw(data), key, ccs, finished) for what, data in BEFORE.items()},
    **{f"{what} of version {v:04x}": tuple(versioned(step, v) if step is wanted else step
                                           for step in (key, ccs, finished))
       for what, wanted in (("key", key), ("ccs", ccs), ("finished", finished)) for v in VERSIONS},
    "wrong finished": (key, ccs, finished_with(lambda m: m[:-1] + bytes([m[-1] ^ 1]))),
    "long finished": (key, ccs, finished_with(lambda m: hellos.handshake(20, m[4:] + b"\0"))),
    "short finished": (key, ccs, finished_with(lambda m: hellos.handshake(20, m[4:-1]))),
    "byte behind finished": (key, ccs, finished_with(lambda m: m + b"\0")),
    "finished twice": (key, ccs, finished_with(lambda m: m + m)),
    "finished with a wrong tag": (key, ccs, finished_with(lambda m: m, spoil="tag")),
    "finished as data": (key, ccs, lambda c: c.make(DATA, c.finished())),
    "plain finished": (key, ccs, plain_finished),
    **{f"message {k} before the key": (hashed(k, b), key, ccs, finished) for k, b in OTHERS},
    **{f"message {k} after the key": (key, hashed(k, b), ccs, finished) for k, b in OTHERS},
    **{f"message {k} after ccs": (key, ccs, hashed(k, b), finished) for k, b in OTHERS},
}


# ---- the hello ----------------------------------------------------------------------------------

def hello_of(version=0x0303, record_version=0x0301, size=16384, before=b""):
    def make(c):
        c.hello_message = c.hello_message[:4] + version.to_bytes(2, "big") + c.hello_message[6:]
        return before + hellos.records(c.hello_message, size, record_version)
    return make


def hello_around(kind, body):
    def make(c):
        m = c.hello_message
        return (record(HANDSHAKE, m[:60], 0x0301) + record(kind, body, 0x0301)
                + record(HANDSHAKE, m[60:], 0x0301))
    return make


def schemes(count):
    """Unknown ones except the last."""
    return {"schemes": (*range(0x7000, 0x7000 + count - 1), 0x0804)}


HELLOS = {
    **{f"version {v:04x} in {r:04x}": (hello_of(v, r), {}) for r in (0x0301, 0x0303)
       for v in (0, 2, 0x0200, 0x0203, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x0305, 0x03FF,
                 0x0400, 0x0401, 0x0402, 0x0403, 0x0404, 0x0603, 0x7F1C, 0xFEFE, 0xFFFF)},
    **{f"record version {r:04x}": (hello_of(0x0303, r), {}) for r in (0x0300, 0x0302, 0x0304,
                                                                      0x03FF)},
    **{f"in {n}": (hello_of(size=n), {}) for n in (1, 2, 3, 4, 5, 7, 50, 100)},
    **{f"around {what}": (hello_around(kind, body), {}) for what, kind, body in (
        ("ccs", CCS, b"\1"), ("data", DATA, b"x"), ("heartbeat", HEARTBEAT, b"\1\0\0"),
        ("empty data", DATA, b""))},
    **{f"{n} schemes": (hello_of(), schemes(n)) for n in (2, 63, 64, 65, 100, 128, 200, 255, 256)},
}


# ---- one connection -------------------------------------------------------------------------------

def outcome_of(client):
    """Sends a request at the current point of the handshake; returns the outcome."""
    try:
        got = client.ending()
    except ConnectionResetError:
        return "close"
    return got


def send(client, *parts):
    try:
        client.send(*parts)
    except OSError:
        pass  # ended at once: its reason can still be read


def finish(client):
    """Reads Finished, asks; the outcome."""
    while True:
        got = client.next_record()
        if got is None:
            return "close"
        if got[0] == ALERT and got[1][:1] == b"\2":
            return got[1][1]
        if got[0] == HANDSHAKE and got[1][:1] == b"\x14":
            break
    send(client, client.make(DATA, REQUEST))
    return outcome_of(client)


def run_session(client, make):
    client.handshake()
    send(client, make(client), client.make(DATA, REQUEST))
    return outcome_of(client)


def run_handshake(client, steps):
    client.start()
    send(client, *[step(client) for step in steps])
    return finish(client)


def run_hello(client, make):
    send(client, make(client))
    client.transcript = client.hello_message
    try:
        client.read_flight()
    except AssertionError as stopped:
        got = stopped.args[0]
        return "close" if got is None else got[1][1] if got[0] == ALERT else f"type {got[0]}"
    send(client, key(client), ccs(client), finished(client))
    return finish(client)


GCM, CBC, ETM = {"suite": 0xC02F}, {"suite": 0xC028, "group": P256}, {
    "suite": 0xC027, "encrypt_then_mac": True}
CASES = {
    **{f"session, {kind}: {name}": (run_session, make, options)
       for kind, options in (("gcm", GCM), ("cbc", CBC), ("etm", ETM))
       for name, make in SESSION.items()},
    **{f"handshake, {kind}: {name}": (run_handshake, steps, options)
       for kind, options in (("gcm", GCM), ("cbc", CBC)) for name, steps in HANDSHAKES.items()},
    **{f"hello: {name}": (run_hello, make, {"suite": 0xC02F, "group": X25519, **options})
       for name, (make, options) in HELLOS.items()},
}

LIBRARY = "the TLS library answers it itself, under the session's keys"
NO_MAC = "no MAC can be in it, so it is a bad one (RFC 5246 section 7.2.2)"
HEADER = "an unexpected type is refused by its header (RFC 5246 section 6)"
PADDING = "legal, but the TLS library has no room for more than 16,486 bytes"
SPLIT = "the TLS library wants a whole message header in a protected record"
MINOR = "the TLS library compares the minor number alone, and the hello is in the transcript"
POLICY = "a second hello ends the session with unexpected_message"

# case, or its name for all kinds of protection: (outcome, why)
# Debian 12's OpenSSL and GnuTLS differ here, Debian 13's agree.
PLAIN_HEARTBEAT = {"plain heartbeat": (10, HEADER)}
DIFFERS = {
    **PLAIN_HEARTBEAT,
    "message 0": (40, LIBRARY),
    "empty handshake": (40, LIBRARY),
    "session, etm: plain heartbeat": (10, HEADER),
    **{f"session, etm: {name}": (20, NO_MAC) for name in (
        "plain ccs", "plain alert", *(f"garbage of {n}" for n in (1, 8, 15, 16, 17, 24)))},
    **{f"session, {kind}: padding of {n} on 16384": (80, PADDING)
       for kind in ("cbc", "etm") for n in (64, 256)},
    **{f"finished in {n}": (10, SPLIT) for n in (1, 2, 3)},
    "protected nothing before finished": (10, "RFC 5246 section 6.2.1 forbids it"),
    **{f"version {v} in {r}": (70, MINOR) for v in ("0400", "0401", "0402")
       for r in ("0301", "0303")},
}
UNSETTLED = {
    **PLAIN_HEARTBEAT,
    "alert 0164": ("data", "a warning"),
    "alert 035a": ("data", "of no known level: a warning"),
    "message 1": (10, POLICY),
    "hello again": (10, POLICY),
    "hello again, in pieces": (10, POLICY),
    "half a message header": (40, LIBRARY),
    "message of 16 MiB": (10, LIBRARY),
    "message of 16 MiB first": (50, "its length is not one of the message (section 7.2.2)"),
}


def expectation(table, case):
    name = case.partition(": ")[2]
    return table.get(case) or table.get(name)


@pytest.fixture(scope="module")
def judges(pki, tmp_path_factory):
    """Their ports."""
    folder = tmp_path_factory.mktemp("judges")
    port = free_port()
    argv = ["gnutls-serv", "--http", "--port", port, "--x509certfile", pki.rsa.chain,
            "--x509keyfile", pki.rsa.key, "--priority", GNUTLS]
    with s_server(folder, pki.rsa, "-tls1_2", "-quiet") as openssl, \
            Process(argv, port, folder / "gnutls.log") as gnutls:
        yield openssl.port, gnutls.port


def outcome(port, case):
    run, recipe, options = CASES[case]
    with hellos.connect(port) as sock:
        return run(Client(sock, **options), recipe)


@pytest.mark.parametrize("case", CASES)
def test_the_gate_is_no_stricter_and_no_laxer(share_fixed, judges, case):
    openssl, gnutls = (outcome(port, case) for port in judges)
    gate = outcome(share_fixed(keys=("rsa",)).port, case)
    if openssl == gnutls:
        wanted, table = (openssl,), DIFFERS
    else:
        wanted, table = (openssl, gnutls), UNSETTLED
    known = expectation(table, case)
    assert (known[0] if known else gate) == gate, f"openssl {openssl}, gnutls {gnutls}"
    assert known or gate in wanted, f"openssl {openssl}, gnutls {gnutls}, gate {gate}"
    assert not known or gate not in wanted, "no longer differs"
