"""A client's Certificate and CertificateVerify, byte by byte, also judged by OpenSSL.

Each case is one connection to the gate and one to openssl s_server, with the same recipe: what
follows the server's flight up to Finished, then a request. Either both answer it or both refuse,
except for DIFFERS. The gate's alert and code are those of the table.
"""

import ssl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

import hellos
from hellos import vector
from mutual import APP, asking, clients, names, start  # noqa: F401 (fixtures)
from rawtls import ALERT, CCS, DATA, HANDSHAKE, Client, record
from scene import at, sent_alert
from upstreams import s_server

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
CERTIFICATE, KEY_EXCHANGE, VERIFY = 11, 16, 15
HASHES = {2: hashes.SHA1(), 3: hashes.SHA224(), 4: hashes.SHA256(), 5: hashes.SHA384(),
          6: hashes.SHA512()}
PSS = {0x0804: 4, 0x0805: 5, 0x0806: 6}
ECDSA, RSA = 0x0403, 0x0804
ANSWERED = "data"
END = "-----END CERTIFICATE-----\n"


# ---- messages: functions of the client, which give bytes and add them to its transcript ----------

def chain_of(leaf):
    return [ssl.PEM_cert_to_DER_cert(one + END)
            for one in leaf.chain.read_text().split(END)[:-1]]


def message(kind, body):
    return lambda c: c.hashed(hellos.handshake(kind, body))


def listed(*entries):
    return vector(3, b"".join(vector(3, one) for one in entries))


def certs(change=lambda body: body, key="ec"):
    return lambda c: message(CERTIFICATE, change(listed(*chain_of(c.leaves[key]))))(c)


def chain(make):
    """Certificate with the entries that make gives for those of the chain."""
    return lambda c: message(CERTIFICATE, listed(*make(chain_of(c.leaves["ec"]))))(c)


def key(c):
    raw = c.hashed(c.key_exchange)
    c.derive()
    return raw


def signature(c, scheme, signer, over):
    private = serialization.load_pem_private_key(c.leaves[signer].key.read_bytes(), None)
    data = c.transcript if over is None else over
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(data, ec.ECDSA(HASHES[scheme >> 8]))
    digest = HASHES[PSS.get(scheme, scheme >> 8)]
    if scheme in PSS:
        return private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return private.sign(data, padding.PKCS1v15(), digest)


def verify(scheme=ECDSA, signer="ec", over=None, change=lambda body: body, said=None):
    """scheme is what signs, said what the message says of it."""
    def make(c):
        body = (said or scheme).to_bytes(2, "big") + vector(2, signature(c, scheme, signer, over))
        return message(VERIFY, change(body))(c)
    return make


EMPTY = message(CERTIFICATE, listed())
BOTH = certs(), key, verify()


# ---- records: lists of messages become bytes ----------------------------------------------------

def apart(*messages):
    """Each message in a record of its own."""
    return lambda c: b"".join(hellos.records(m(c), version=0x0303) for m in messages)


def together(*messages, size=16384):
    """All messages in as few records of this size as possible."""
    return lambda c: hellos.records(b"".join(m(c) for m in messages), size, 0x0303)


def around(at, middle):
    """The first message in two records, with another one between them."""
    def make(c):
        raw = certs()(c)
        return (record(HANDSHAKE, raw[:at]) + middle + record(HANDSHAKE, raw[at:])
                + apart(key, verify())(c))
    return make


def early(*messages):
    """ChangeCipherSpec before the last of the messages."""
    def make(c):
        *before, last = messages
        return apart(*before)(c) + record(CCS, b"\1") + apart(last)(c)
    return make


UNEXPECTED, DECODE, BAD_CERTIFICATE, ILLEGAL, UNTRUE, UNTRUSTED, NONE_SENT = (
    (10, "client_handshake_failed"), (50, "client_handshake_failed"),
    (42, "client_certificate_invalid"), (47, "client_handshake_failed"),
    (51, "client_certificate_invalid"), (48, "client_certificate_invalid"),
    (40, "client_certificate_required"))
GOOD = ANSWERED, None
FOREIGN = (47, "client_certificate_invalid")  # a scheme for another type of key

ORDER = {
    "in order": (apart(*BOTH), GOOD),
    "an RSA key": (apart(certs(key="rsa"), key, verify(RSA, "rsa")), GOOD),
    "no certificate": (apart(EMPTY, key), NONE_SENT),
    "no Certificate": (apart(key), UNEXPECTED),
    "no Certificate, and CertificateVerify": (apart(key, verify()), UNEXPECTED),
    "no key exchange": (apart(certs(), verify()), UNEXPECTED),
    "no CertificateVerify": (apart(certs(), key), UNEXPECTED),
    "Certificate twice": (apart(certs(), certs(), key, verify()), UNEXPECTED),
    "Certificate twice, empty first": (apart(EMPTY, certs(), key, verify()), NONE_SENT),
    "Certificate twice, empty last": (apart(certs(), EMPTY, key), UNEXPECTED),
    "Certificate after the key exchange": (apart(key, certs(), verify()), UNEXPECTED),
    "Certificate last": (apart(key, verify(), certs()), UNEXPECTED),
    "CertificateVerify twice": (apart(certs(), key, verify(), verify()), UNEXPECTED),
    "CertificateVerify first": (apart(verify(), certs(), key), UNEXPECTED),
    "CertificateVerify before the key exchange": (apart(certs(), verify(), key), UNEXPECTED),
    "key exchange twice": (apart(certs(), key, message(KEY_EXCHANGE, b"\0"), verify()), UNEXPECTED),
    "CCS before CertificateVerify": (early(certs(), key, verify()), UNEXPECTED),
    "none, and CertificateVerify": (apart(EMPTY, key, verify()), NONE_SENT),
    "a finished message in plaintext": (apart(certs(), key, message(20, bytes(12))), UNEXPECTED),
    "a certificate status": (apart(certs(), message(22, bytes(4)), key, verify()), UNEXPECTED),
}

OPTIONAL = {
    "in order": (apart(*BOTH), GOOD),
    "no certificate": (apart(EMPTY, key), GOOD),
    "no Certificate": (apart(key), UNEXPECTED),
    "none, and CertificateVerify": (apart(EMPTY, key, verify()), UNEXPECTED),
    "Certificate twice, empty first": (apart(EMPTY, certs(), key, verify()), UNEXPECTED),
    "Certificate twice, empty last": (apart(certs(), EMPTY, key), UNEXPECTED),
    "no CertificateVerify": (apart(certs(), key), UNEXPECTED),
    "another's key": (apart(certs(), key, verify(signer="other")), UNTRUE),
}

NOT_ASKED = {
    "no Certificate": (apart(key), GOOD),
    "an empty Certificate": (apart(EMPTY, key), UNEXPECTED),
    "a Certificate": (apart(*BOTH), UNEXPECTED),
    "CertificateVerify alone": (apart(key, verify()), UNEXPECTED),
}

FRAMES = {
    "all in one record": (together(*BOTH), GOOD),
    **{f"all in records of {n}": (together(*BOTH, size=n), GOOD)
       for n in (1, 2, 3, 4, 5, 16, 100, 500, 1000)},
    "the first two in one record": (lambda c: together(certs(), key)(c) + apart(verify())(c), GOOD),
    "the last two in one record": (lambda c: apart(certs())(c) + together(key, verify())(c), GOOD),
    "a warning in between": (around(100, record(ALERT, b"\1\x5a")), GOOD),
    "CCS in between": (around(100, record(CCS, b"\1")), UNEXPECTED),
    "data in between": (around(100, record(DATA, b"x")), UNEXPECTED),
    "an empty record in between": (around(100, record(HANDSHAKE)), UNEXPECTED),
    "CertificateVerify and a byte": (lambda c: apart(certs(), key)(c) + record(
        HANDSHAKE, verify()(c) + b"\0"), UNEXPECTED),
    "of two records": (together(chain(lambda own: [*own, *[own[1]] * 30]), key, verify()), GOOD),
}

LISTS = {
    "32 certificates": (apart(chain(lambda own: [*own, *[own[1]] * 30]), key, verify()), GOOD),
    "33 certificates": (apart(chain(lambda own: [*own, *[own[1]] * 31]), key, verify()),
                        BAD_CERTIFICATE),
    "more than 64 KiB": (apart(chain(lambda own: [*own, *[own[1]] * 300]), key, verify()), BAD_CERTIFICATE),
    "a length of 16 MiB": (lambda c: record(HANDSHAKE, b"\x0b\xff\xff\xff" + bytes(60)), BAD_CERTIFICATE),
    "no body": (apart(message(CERTIFICATE, b""), key, verify()), DECODE),
    "half a length": (apart(message(CERTIFICATE, b"\0\0"), key, verify()), DECODE),
    "a byte behind": (apart(certs(lambda b: b + b"\0"), key, verify()), DECODE),
    "a byte behind, counted": (apart(certs(lambda b: vector(3, b[3:] + b"\0")), key, verify()),
                               DECODE),
    "cut short": (apart(certs(lambda b: b[:-1]), key, verify()), DECODE),
    "cut short, counted": (apart(certs(lambda b: vector(3, b[3:-1])), key, verify()), DECODE),
    "an empty certificate": (apart(chain(lambda own: [b"", *own]), key, verify()), DECODE),
    "only an empty certificate": (apart(chain(lambda own: [b""]), key, verify()), DECODE),
    "an empty certificate last": (apart(chain(lambda own: [*own, b""]), key, verify()), DECODE),
    "no certificate but bytes": (apart(chain(lambda own: [b"\0" * 50, own[1]]), key, verify()),
                                 BAD_CERTIFICATE),
    "half a certificate": (apart(chain(lambda own: [own[0][:-40], own[1]]), key, verify()),
                           BAD_CERTIFICATE),
    "a certificate and a byte": (apart(chain(lambda own: [own[0] + b"\0", own[1]]), key, verify()),
                                 BAD_CERTIFICATE),
    "an issuer that is none": (apart(chain(lambda own: [own[0], bytes(50)]), key, verify()),
                               BAD_CERTIFICATE),
    "the issuer first": (apart(chain(lambda own: own[::-1]), key, verify()), BAD_CERTIFICATE),
    "without the intermediate": (apart(chain(lambda own: own[:1]), key, verify()), UNTRUSTED),
    "a changed signature": (apart(chain(lambda own: [own[0][:-1] + bytes([own[0][-1] ^ 1]),
                                                     own[1]]), key, verify()), UNTRUSTED),
}

PROOFS = {
    "another's key": (apart(certs(), key, verify(signer="other")), UNTRUE),
    "another's RSA key": (apart(certs(key="rsa"), key, verify(RSA, "other rsa")), UNTRUE),
    "over nothing": (apart(certs(), key, verify(over=b"")), UNTRUE),
    "of another session": (apart(certs(), key, verify(over=bytes(500))), UNTRUE),
    "PKCS #1 of another session": (
        apart(certs(key="rsa"), key, verify(0x0401, "rsa", over=bytes(500))), UNTRUE),
    "SHA-1": (apart(certs(), key, verify(0x0203)), ILLEGAL),
    "SHA-1 of RSA": (apart(certs(key="rsa"), key, verify(0x0201, "rsa")), ILLEGAL),
    "SHA-224": (apart(certs(), key, verify(0x0303)), ILLEGAL),
    "an unknown scheme": (apart(certs(), key, verify(said=0x7777)), ILLEGAL),
    "SHA-384": (apart(certs(), key, verify(0x0503)), GOOD),
    "SHA-512": (apart(certs(), key, verify(0x0603)), GOOD),
    "SHA-256, called SHA-384": (apart(certs(), key, verify(said=0x0503)), UNTRUE),
    **{f"RSA {s:04x}": (apart(certs(key="rsa"), key, verify(s, "rsa")), GOOD)
       for s in (0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806)},
    "PSS, called PKCS #1": (apart(certs(key="rsa"), key, verify(0x0804, "rsa", said=0x0401)),
                            UNTRUE),
    "ECDSA, called RSA": (apart(certs(), key, verify(said=0x0401)), FOREIGN),
    "RSA, called ECDSA": (apart(certs(key="rsa"), key, verify(RSA, "rsa", said=ECDSA)), FOREIGN),
    "RSA with an ECDSA certificate": (apart(certs(), key, verify(RSA, "rsa")), FOREIGN),
    "no signature": (apart(certs(), key, verify(change=lambda b: b[:2] + b"\0\0")), UNTRUE),
    "no body": (apart(certs(), key, verify(change=lambda b: b"")), DECODE),
    "cut short": (apart(certs(), key, verify(change=lambda b: b[:-1])), DECODE),
    "a byte behind": (apart(certs(), key, verify(change=lambda b: b + b"\0")), DECODE),
    "longer than any": (apart(certs(), key, verify(change=lambda b: b[:2] + bytes(2000))), DECODE),
}

CASES = {**{("required", group, name): case
            for group, cases in (("order", ORDER), ("frames", FRAMES), ("lists", LISTS),
                                 ("proofs", PROOFS)) for name, case in cases.items()},
         **{("optional", "order", name): case for name, case in OPTIONAL.items()},
         **{("none", "order", name): case for name, case in NOT_ASKED.items()}}

# OpenSSL answers these.
DIFFERS = {
    ("required", "frames", "an empty record in between"),  # RFC 5246 section 6.2.1 forbids it
    ("required", "lists", "33 certificates"),  # the gate's limit, as for upstreams
    ("required", "proofs", "SHA-224"),  # not among the schemes that the gate has named
}


# ---- one connection -----------------------------------------------------------------------------

def outcome(port, recipe, leaves):
    """ANSWERED, an alert's number, or "close"."""
    with hellos.connect(port) as sock:
        c = Client(sock, 0xC02B, name=APP)
        c.leaves = leaves
        c.send(hellos.records(c.hashed(c.hello_message)))
        c.read_flight()
        flight = recipe(c)
        if c.own is None:
            c.derive()
        c.sending = True
        flight += record(CCS, b"\1") + c.make(HANDSHAKE, c.finished())
        try:
            c.send(flight, c.make(DATA, REQUEST))
        except OSError:
            pass  # refused before its end; the alert can still be read
        return ending(c)


def ending(c):
    while True:
        try:
            got = c.next_record()
        except ConnectionResetError:
            return "close"
        if got is None:
            return "close"
        if got[0] == ALERT and got[1][:1] == b"\2":
            return got[1][1]
        if got[0] == DATA and got[1]:
            return ANSWERED


@pytest.fixture(scope="module")
def leaves(clients):
    return {"ec": clients.ec, "rsa": clients.rsa,
            "other": clients.leaf("p384", key="ec384"),
            "other rsa": clients.leaf("rsa3072", key="rsa3072")}


@pytest.fixture(scope="module")
def judges(pki, clients, tmp_path_factory):
    """{mode: its port}; a chain has to be good, as far as OpenSSL looks."""
    folder = tmp_path_factory.mktemp("judges")
    common = "-tls1_2", "-quiet", "-CAfile", clients.trust, "-verify_return_error"
    with s_server(folder, pki.ec, *common, "-Verify", "9") as required, \
            s_server(folder, pki.ec, *common, "-verify", "9") as optional, \
            s_server(folder, pki.ec, *common) as none:
        yield {"required": required.port, "optional": optional.port, "none": none.port}


@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_a_flight_is_judged_as_by_openssl(asking, judges, leaves, case):
    mode = case[0]
    recipe, (end, code) = CASES[case]
    gate = asking({mode: ("fixed", mode) for mode in judges})
    assert outcome(gate.ports[mode], recipe, leaves) == end
    if code:
        refused = gate.wait_record(action="connection-refused")
        assert (at(refused, "event.code"), sent_alert(refused)) == (code, end)
    judged = outcome(judges[mode], recipe, leaves)
    assert (judged == ANSWERED) == (end == ANSWERED or case in DIFFERS), f"openssl: {judged}"
