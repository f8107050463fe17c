"""A TLS 1.2 client, record by record: the test chooses every byte.

It knows the eight suites, x25519 and secp256r1, with and without extended_master_secret and
encrypt_then_mac. It ignores certificates. This file does only the records' protection; the caller
decides their content and order. tap() gives the same for a session that another TLS library has
agreed, so a test can continue where that library would stop.
"""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import hellos
import wire

CCS, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
CLIENT_KEY_EXCHANGE, FINISHED, SERVER_DONE = 16, 20, 14
X25519, P256 = 0x001D, 0x0017
FULL_FLIGHT = [2, 11, 12, 14]
MASTER_SECRET, ENCRYPT_THEN_MAC = hellos.extension(23), hellos.extension(22)

# id: (key bytes, MAC's hash or None for GCM, PRF's hash)
SUITES = {
    0xC02B: (16, None, "sha256"), 0xC02C: (32, None, "sha384"),
    0xC02F: (16, None, "sha256"), 0xC030: (32, None, "sha384"),
    0xC023: (16, "sha256", "sha256"), 0xC024: (32, "sha384", "sha384"),
    0xC027: (16, "sha256", "sha256"), 0xC028: (32, "sha384", "sha384"),
}


def prf(digest, secret, label, seed, size):
    """RFC 5246 section 5."""
    seed, out, a = label + seed, b"", label + seed
    while len(out) < size:
        a = hmac.digest(secret, a, digest)
        out += hmac.digest(secret, a + seed, digest)
    return out[:size]


def record(kind, body=b"", version=0x0303, length=None):
    """One record as on the wire; length: what its header says instead of the truth."""
    return struct.pack(">BHH", kind, version, len(body) if length is None else length) + body


class Direction:
    """One side's keys and sequence number."""

    def __init__(self, suite, key, mac_key, iv, encrypt_then_mac=False):
        self.mac = SUITES[suite][1]
        self.key, self.mac_key, self.iv = key, mac_key, iv
        self.encrypt_then_mac, self.number = encrypt_then_mac, 0

    def _digest(self, kind, version, data):
        size = struct.pack(">QBHH", self.number, kind, version, len(data))
        return hmac.digest(self.mac_key, size + data, self.mac)

    def protect(self, kind, data, version=0x0303, padding=None, spoil=None):
        """The fragment. padding: bytes of CBC padding, its length byte included; spoil: "mac",
        "padding" or "tag" to make that wrong."""
        if not self.mac:
            nonce = struct.pack(">Q", self.number)
            head = struct.pack(">QBHH", self.number, kind, version, len(data))
            sealed = AESGCM(self.key).encrypt(self.iv + nonce, data, head)
            self.number += 1
            return nonce + (sealed[:-1] + bytes([sealed[-1] ^ 1]) if spoil else sealed)
        iv, mac = os.urandom(16), b""
        if not self.encrypt_then_mac:
            mac = self._digest(kind, version, data)
            if spoil in ("mac", "tag"):
                mac = mac[:-1] + bytes([mac[-1] ^ 1])
        least = 16 - (len(data) + len(mac)) % 16
        padding = least if padding is None else padding - (padding - least) % 16
        filler = bytearray([padding - 1]) * padding
        if spoil == "padding":
            filler[0] ^= 1
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(iv)).encryptor()
        body = iv + cipher.update(data + mac + bytes(filler)) + cipher.finalize()
        if self.encrypt_then_mac:
            mac = self._digest(kind, version, body)
            body += mac[:-1] + bytes([mac[-1] ^ 1]) if spoil else mac
        self.number += 1
        return body

    def open(self, kind, body):
        if not self.mac:
            head = struct.pack(">QBHH", self.number, kind, 0x0303, len(body) - 24)
            data = AESGCM(self.key).decrypt(self.iv + body[:8], body[8:], head)
        else:
            size = hashlib.new(self.mac).digest_size
            if self.encrypt_then_mac:
                body = body[:-size]
            cipher = Cipher(algorithms.AES(self.key), modes.CBC(body[:16])).decryptor()
            plain = cipher.update(body[16:]) + cipher.finalize()
            data = plain[:-1 - plain[-1]]
            if not self.encrypt_then_mac:
                data = data[:-size]
        self.number += 1
        return data


def directions(suite, master, client_random, server_random, encrypt_then_mac=False):
    """(client's, server's) Direction for a master secret (RFC 5246 section 6.3)."""
    size, mac, digest = SUITES[suite]
    mac_size = hashlib.new(mac).digest_size if mac else 0
    iv_size = 0 if mac else 4
    block = prf(digest, master, b"key expansion", server_random + client_random,
                2 * (size + mac_size + iv_size))
    parts = []
    for n in (mac_size, mac_size, size, size, iv_size, iv_size):
        parts.append(block[:n])
        block = block[n:]
    return (Direction(suite, parts[2], parts[0], parts[4], encrypt_then_mac),
            Direction(suite, parts[3], parts[1], parts[5], encrypt_then_mac))


def tap(tls, keylog):
    """(client's, server's) Direction of an established wire.Tls whose context writes keylog; both
    sides have sent one protected record, their Finished."""
    client_random = wire.Hello(tls.received).random
    chosen, server_random = server_choice(tls.sent)
    with open(keylog, encoding="ascii") as log:
        lines = [line.split() for line in log if line.startswith("CLIENT_RANDOM")]
    master = next(bytes.fromhex(m) for _, known, m in lines if known == client_random.hex())
    both = directions(chosen.suite, master, client_random, server_random,
                      22 in chosen.extensions and SUITES[chosen.suite][1] is not None)
    for one in both:
        one.number = 1
    return both


def server_choice(raw):
    """The ServerHello in what a server sent, and its random."""
    body = hellos.server_flight(raw)[0][1]
    return hellos.ServerHello(body), body[2:34]


class Client:
    """Sends hellos, collects the server's flight, derives the keys."""

    def __init__(self, sock, suite=0xC02F, group=X25519, extended=True, encrypt_then_mac=False,
                 **hello):
        self.sock, self.suite = sock, suite
        self.extended, self.wants_etm = extended, encrypt_then_mac
        self.digest = SUITES[suite][2]
        self.transcript, self.buffer = b"", b""
        self.own = self.peer = None       # Directions once they are derived
        self.sending = self.receiving = False  # protected?
        extra = hello.pop("extra", b"")
        if extended:
            extra += MASTER_SECRET
        if encrypt_then_mac:
            extra += ENCRYPT_THEN_MAC
        hello = {"suites": (suite,), "groups": (group, P256), "extra": extra, **hello}
        self.hello_message = hellos.client_hello(**hello)

    # ---- sending ---------------------------------------------------------------------

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def make(self, kind, data=b"", version=0x0303, length=None, plain=False, **how):
        """One record, protected if sending is set; the hash also covers kind and version."""
        if self.sending and not plain:
            data = self.own.protect(kind, data, version=version, **how)
        return record(kind, data, version, length)

    def hashed(self, message):
        """A handshake message, added to the transcript."""
        self.transcript += message
        return message

    def start(self, size=16384):
        """Hello out, whole flight in."""
        self.send(hellos.records(self.hashed(self.hello_message), size))
        return self.read_flight()

    # ---- receiving -------------------------------------------------------------------

    def next_record(self):
        """(kind, fragment), opened if receiving is protected; None at the end of data."""
        while True:
            found = wire.records(self.buffer)
            if found:
                kind, _, body = found[0]
                self.buffer = self.buffer[5 + len(body):]
                if kind == CCS:
                    self.receiving = True
                    return kind, body
                return kind, self.peer.open(kind, body) if self.receiving else body
            try:
                chunk = self.sock.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self.buffer += chunk

    def read_flight(self):
        """Reads up to ServerHelloDone; the bodies by type. An alert is an AssertionError."""
        stream, messages = b"", {}
        while SERVER_DONE not in messages:
            got = self.next_record()
            assert got and got[0] == HANDSHAKE, got
            stream += got[1]
            while len(stream) >= 4 and len(stream) >= 4 + int.from_bytes(stream[1:4], "big"):
                size = 4 + int.from_bytes(stream[1:4], "big")
                messages[stream[0]] = stream[4:size]
                self.transcript += stream[:size]
                stream = stream[size:]
        chosen = hellos.ServerHello(messages[2])
        assert chosen.suite == self.suite
        self.etm = 22 in chosen.extensions and SUITES[self.suite][1] is not None
        assert (23 in chosen.extensions) == self.extended
        self.server_random = messages[2][2:34]
        point = messages[12][4:4 + messages[12][3]]
        if int.from_bytes(messages[12][1:3], "big") == X25519:
            own = x25519.X25519PrivateKey.generate()
            self.premaster = own.exchange(x25519.X25519PublicKey.from_public_bytes(point))
            self.point = own.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            own = ec.generate_private_key(ec.SECP256R1())
            theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            self.premaster = own.exchange(ec.ECDH(), theirs)
            self.point = own.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.key_exchange = hellos.handshake(CLIENT_KEY_EXCHANGE,
                                             bytes([len(self.point)]) + self.point)
        return messages

    # ---- keys ------------------------------------------------------------------------

    def derive(self):
        """Once the transcript ends with ClientKeyExchange (RFC 7627 section 4)."""
        client_random = self.hello_message[6:38]
        if self.extended:
            label, seed = b"extended master secret", hashlib.new(
                self.digest, self.transcript).digest()
        else:
            label, seed = b"master secret", client_random + self.server_random
        self.master = prf(self.digest, self.premaster, label, seed, 48)
        self.own, self.peer = directions(self.suite, self.master, client_random,
                                         self.server_random, self.etm)

    def finished(self):
        return hellos.handshake(FINISHED, prf(
            self.digest, self.master, b"client finished",
            hashlib.new(self.digest, self.transcript).digest(), 12))

    # ---- a regular handshake ----------------------------------------------------------

    def handshake(self):
        self.start()
        flight = record(HANDSHAKE, self.hashed(self.key_exchange))
        self.derive()
        flight += record(CCS, b"\1")
        self.sending = True
        self.send(flight, self.make(HANDSHAKE, self.hashed(self.finished())))
        return self.read_finished()

    def read_finished(self):
        while True:
            got = self.next_record()
            assert got and got[0] in (CCS, HANDSHAKE), got
            if got[0] == HANDSHAKE and got[1][0] == FINISHED:
                return self

    def ending(self):
        """The next event: an alert's number, "data", "close" or "reset"."""
        while True:
            got = self.next_record()
            if got is None:
                return "close"
            kind, data = got
            if kind == ALERT:
                return data[1]
            if kind == DATA and data:
                return "data"
