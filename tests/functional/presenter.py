"""A TLS 1.2 server and a client that present any bytes as their chain; no library's do.

The server has one suite per key type (AES-128-GCM), P-256, only the extension renegotiation_info.
Both sign with every scheme of TLS 1.2 that the key supports. The server answers one request, the
client sends one. They do not check any chain.
"""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import certs
import hellos
import rawtls
import wire

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
P256, RECORD = 0x0017, 1 << 14
RSA_SUITE, ECDSA_SUITE = 0xC02F, 0xC02B
ALERT, HANDSHAKE, DATA = 21, 22, 23
TLS12 = 0x0303


def prf(secret, label, seed, size):
    """P_SHA256 (RFC 5246 section 5)."""
    seed, block, out = label + seed, label + seed, b""
    while len(out) < size:
        block = hmac.digest(secret, block, "sha256")
        out += hmac.digest(secret, block + seed, "sha256")
    return out[:size]


def _pss(algorithm, salt):
    return padding.PSS(padding.MGF1(algorithm), salt)


def versions(hello):
    """The content of supported_versions (RFC 8446 section 4.2.1), TLS 1.2 without it."""
    listed = hello.extensions.get(43)
    return struct.unpack(f">{len(listed) // 2}H", listed[1:]) if listed else (TLS12,)


def choose_scheme(key, offered):
    """(scheme, arguments of the private key's sign()) or None."""
    sha256 = hashes.SHA256()
    if key.kind == "ed25519":
        own = [(0x0807, ())]
    elif key.kind in certs.CURVES:
        algorithms = {0x0403: sha256, 0x0503: hashes.SHA384(), 0x0603: hashes.SHA512()}
        usual = {"ec384": 0x0503, "ec521": 0x0603}.get(key.kind, 0x0403)
        own = [(s, (ec.ECDSA(algorithms[s]),)) for s in sorted(algorithms, key=usual.__ne__)]
    elif key.kind.startswith("pss"):
        own = [(0x0809, (_pss(sha256, 32), sha256))]
    else:
        own = [(0x0401, (padding.PKCS1v15(), sha256)), (0x0804, (_pss(sha256, 32), sha256))]
    return next((one for one in own if one[0] in offered), None)


class Records:
    """The record layer of one connection, in plaintext until keys are set."""

    def __init__(self, sock):
        self.sock, self.raw = sock, b""
        self.reading = self.writing = None
        self.read_count = self.write_count = 0

    def read(self):
        while True:
            if len(self.raw) >= 5:
                kind, version, size = struct.unpack_from(">BHH", self.raw)
                if len(self.raw) >= 5 + size:
                    body, self.raw = self.raw[5:5 + size], self.raw[5 + size:]
                    break
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError
            self.raw += chunk
        if self.reading:
            key, salt = self.reading
            head = struct.pack(">QBHH", self.read_count, kind, version, len(body) - 24)
            body = AESGCM(key).decrypt(salt + body[:8], body[8:], head)
            self.read_count += 1
        if kind == ALERT:
            raise EOFError
        return kind, body

    def write(self, kind, body):
        out = b""
        for at in range(0, len(body), RECORD):
            piece = body[at:at + RECORD]
            if self.writing:
                key, salt = self.writing
                count = struct.pack(">Q", self.write_count)
                head = count + struct.pack(">BHH", kind, TLS12, len(piece))
                piece = count + AESGCM(key).encrypt(salt + count, piece, head)
                self.write_count += 1
            out += wire.record(kind, piece)
        return out


def _message(records, transcript):
    """The peer's next whole handshake message; transcript grows by it."""
    raw = b""
    while len(raw) < 4 or len(raw) < 4 + int.from_bytes(raw[1:4], "big"):
        kind, body = records.read()
        if kind != HANDSHAKE:
            raise EOFError
        raw += body
    transcript += raw
    return raw


def certificate_message(certificates):
    entries = b"".join(len(d).to_bytes(3, "big") + d for d in certificates)
    return wire.handshake_message(11, len(entries).to_bytes(3, "big") + entries)


def _flight(hello, key, certificates):
    """ServerHello to ServerHelloDone, the server's random and its P-256 key; None: no scheme."""
    schemes = hello.extensions.get(13, b"\0\0")[2:]
    scheme = choose_scheme(key, struct.unpack(f">{len(schemes) // 2}H", schemes))
    ecdsa = key.kind in certs.CURVES or key.kind == "ed25519"
    suite = ECDSA_SUITE if ecdsa else RSA_SUITE
    if not scheme or suite not in hello.suites:
        return None
    share = ec.generate_private_key(ec.SECP256R1())
    point = share.public_key().public_bytes(serialization.Encoding.X962,
                                            serialization.PublicFormat.UncompressedPoint)
    random = os.urandom(24) + bytes(8)
    params = struct.pack(">BHB", 3, P256, len(point)) + point
    signature = key.private.sign(hello.random + random + params, *scheme[1])
    flight = wire.server_hello(suite=suite, random=random)[5:]
    flight += certificate_message(certificates)
    flight += wire.handshake_message(12, params + struct.pack(">HH", scheme[0], len(signature))
                                     + signature)
    return flight + wire.handshake_message(14, b""), random, share


def serve(sock, key, certificates):
    """One connection; key signs for it."""
    records, transcript = Records(sock), bytearray()
    raw = _message(records, transcript)
    hello = wire.Hello(wire.record(HANDSHAKE, raw))
    hello.random = raw[6:38]
    if hello.version < TLS12 or TLS12 not in versions(hello):
        sock.sendall(wire.alert(70))
        return
    flight = _flight(hello, key, certificates)
    if flight is None:
        sock.sendall(wire.alert(40))
        return
    flight, random, share = flight
    transcript += flight
    sock.sendall(records.write(HANDSHAKE, flight))
    point = _message(records, transcript)[5:]
    premaster = share.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    master = prf(premaster, b"master secret", hello.random + random, 48)
    block = prf(master, b"key expansion", random + hello.random, 40)
    if records.read()[0] != 20:
        raise EOFError
    records.reading = block[:16], block[32:36]
    _message(records, transcript)
    finished = prf(master, b"server finished", hashlib.sha256(transcript).digest(), 12)
    change = wire.record(20, b"\1")
    records.writing = block[16:32], block[36:40]
    sock.sendall(change + records.write(HANDSHAKE, wire.handshake_message(20, finished)))
    if records.read()[0] == DATA:
        sock.sendall(records.write(DATA, PAGE) + records.write(ALERT, b"\1\0"))
        wire.read_to_end(sock)


def _requested_schemes(request):
    """Those of a CertificateRequest (RFC 5246 section 7.4.4)."""
    at = 1 + request[0]
    size = int.from_bytes(request[at:at + 2], "big")
    return struct.unpack_from(f">{size // 2}H", request, at + 2)


def _certificate_verify(key, scheme, transcript):
    signature = key.private.sign(transcript, *scheme[1])
    return wire.handshake_message(15, struct.pack(">HH", scheme[0], len(signature)) + signature)


def present(sock, key, certificates):
    """One connection as a client, which sends its request along with Finished; how it ends, as
    rawtls says it. Without a scheme for its key it has no certificate (RFC 5246 section 7.4.6)."""
    client = rawtls.Client(sock, suite=ECDSA_SUITE)
    scheme = choose_scheme(key, _requested_schemes(client.start()[13]))
    flight = client.hashed(certificate_message(certificates if scheme else []))
    flight += client.hashed(client.key_exchange)
    client.derive()
    if scheme:
        flight += client.hashed(_certificate_verify(key, scheme, client.transcript))
    client.sending = True
    finished = client.make(HANDSHAKE, client.hashed(client.finished()))
    client.send(hellos.records(flight, version=TLS12), wire.record(rawtls.CCS, b"\1"), finished,
                client.make(DATA, REQUEST))
    return client.ending()
