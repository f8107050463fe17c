"""What `suitegate check` prints, read strictly; and servers that answer each hello as a test wants.

Every JSON answer is compared with the structure below, every text with its columns.
"""

import json
import os
import random
import socket
import struct
import subprocess
import threading

import fastjsonschema

import wire
from gate import BINARY
from upstreams import Peer

COLUMNS = 79
EXIT = {"compliant": 0, "not_compliant": 1, "could_not_tell": 2, "compliant_with_findings": 3}
WORST_FIRST = ("not_compliant", "could_not_tell", "compliant_with_findings", "compliant")
VERSIONS = ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")


def _object(properties, optional=()):
    return {"type": "object", "additionalProperties": False, "properties": properties,
            "required": [name for name in properties if name not in optional]}


def _list(items):
    return {"type": "array", "items": items}


TEXT = {"type": "string", "minLength": 1}
FACT = {"enum": [True, False, None]}
TIME = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$"}
ITEMS = _list(_object({"code": {"type": "string", "pattern": "^[a-z0-9_]+$"}, "subject": TEXT,
                       "text": TEXT}, optional=("subject",)))
JUDGEMENT = {"problems": ITEMS, "doubts": ITEMS, "findings": ITEMS, "notes": ITEMS}
CERTIFICATE = {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "subject": TEXT,
               "issuer": TEXT, "not_before": TIME, "not_after": TIME,
               "key": {"enum": ["ecdsa", "rsa", "other"]}, "bits": {"type": "integer"},
               "signature": TEXT}
UNREADABLE = {"sha256": CERTIFICATE["sha256"], "readable": {"const": False}}
CHAIN = _list({"anyOf": [_object(CERTIFICATE), _object(UNREADABLE)]})
JUDGED = {"valid": FACT, "code": TEXT, "chain": CHAIN}
ADDRESS = _object({
    "ip": TEXT,
    "verdict": {"enum": [*EXIT, "unreachable"]},
    **JUDGEMENT,
    "protocols": _object({version: FACT for version in VERSIONS}),
    "suites": _object({version: _list(TEXT) for version in VERSIONS}, optional=VERSIONS),
    "approved": _list(_object({"iana": {"enum": list(wire.EIGHT.values())},
                               "openssl": {"enum": list(wire.EIGHT)},
                               "key": {"enum": ["ecdsa", "rsa"]}, "handshake": {"type": "boolean"},
                               "group": TEXT, "code": TEXT}, optional=("group", "code"))),
    "preference": {"enum": ["server", "client", None]},
    "groups": _list(TEXT),
    "certificates": _list({"anyOf": [
        _object({**CERTIFICATE, "names": _list(TEXT), **JUDGED}, optional=("code",)),
        _object({**UNREADABLE, **JUDGED}, optional=("code",))]}),
    "features": _object({**{name: FACT for name in (
        "secure_renegotiation", "extended_master_secret", "encrypt_then_mac", "compression",
        "fallback_scsv", "session_tickets", "session_ids", "ocsp_staple", "client_certificate")},
        "alpn": _list({"enum": ["h2", "http/1.1"]}), "weak_signatures": _list(TEXT)}),
}, optional=("protocols", "suites", "approved", "preference", "groups", "certificates",
             "features"))
HOST = _object({
    "target": TEXT, "host": TEXT, "port": {"type": "integer"}, "name": TEXT,
    "starttls": {"enum": ["smtp", None]}, "verdict": {"enum": list(EXIT)}, **JUDGEMENT,
    "remedies": _list(_object({"for": {"enum": ["problems", "findings"]}, "topic": TEXT,
                               "product": TEXT, "setting": TEXT})),
    "addresses": _list(ADDRESS)})
valid_output = fastjsonschema.compile(_object({
    "version": TEXT, "verdict": {"enum": list(EXIT)}, "hosts": _list(HOST)}))


def run(*arguments, env=None, wrapper=(), timeout=50, **options):
    """suitegate check, with only the trust that the test gives, to its end."""
    environment = {k: v for k, v in os.environ.items() if k != "SSL_CERT_FILE"}
    return subprocess.run([*wrapper, BINARY, "check", *map(str, arguments)],
                          env={**environment, **(env or {})}, text=True, timeout=timeout,
                          check=False, **{"capture_output": True, **options})


class Host:
    """One host of the answer, and its first address."""

    def __init__(self, entry):
        self.entry, self.verdict, self.name = entry, entry["verdict"], entry["name"]
        self.addresses = entry["addresses"]

    def __getattr__(self, name):
        return self.entry["addresses"][0][name]

    def items(self, kind):
        """(code, subject) of each; subject None if it is about the server as a whole."""
        return [(i["code"], i.get("subject")) for i in self.entry[kind]]

    def codes(self, kind):
        return {code for code, _ in self.items(kind)}

    def text(self, code):
        """The sentence of the one item with this code."""
        found = [i["text"] for kind in JUDGEMENT for i in self.entry[kind] if i["code"] == code]
        assert len(found) == 1, found
        return found[0]

    def certificate(self, key):
        found = [c for c in self.certificates if c["key"] == key]
        assert len(found) == 1, self.certificates
        return found[0]

    def accepted(self):
        """The names of the protocols it accepts."""
        assert None not in self.protocols.values(), self.protocols
        return [name for name, fact in self.protocols.items() if fact]

    def remedies(self, product):
        """{topic: setting} for this product."""
        return {r["topic"]: r["setting"] for r in self.entry["remedies"]
                if r["product"] == product}


def judge_all(*arguments, **options):
    """The hosts of a --json run; checks that its exit code fits the verdicts."""
    done = run("--json", *arguments, **options)
    assert done.stderr == "", done.stderr
    answer = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n")
    valid_output(answer)
    worst = min((h["verdict"] for h in answer["hosts"]), key=WORST_FIRST.index)
    assert answer["verdict"] == worst
    assert done.returncode == EXIT[worst], done.returncode
    return [Host(entry) for entry in answer["hosts"]]


def here(port, name="localhost"):
    """Arguments for a server on the IPv4 loopback: the machine decides what else localhost
    means."""
    return "--name", name, f"127.0.0.1:{port}"


def judge(pki, port, *arguments, host=None, **options):
    """The one host, with trust in the tests' root; without a host, the named one of this module."""
    target = (f"{host}:{port}", ) if host else here(port)
    hosts = judge_all("--ca", pki.trust, *target, *arguments, **options)
    assert len(hosts) == 1
    return hosts[0]


def tell(*arguments, **options):
    """A text run: (exit code, text). No line but a setting is wider than a terminal."""
    done = run(*arguments, **options)
    assert done.stderr == "", done.stderr
    for line in done.stdout.partition("  What to change\n")[0].splitlines():
        assert len(line) <= COLUMNS, line
        assert line == line.rstrip(), repr(line)
    return done.returncode, done.stdout


# The findings for a server that accepts the old versions.
OLD = ("accepts_protocol", "TLS 1.0"), ("accepts_protocol", "TLS 1.1")


def assert_not_hidden(host, *findings):
    """Each is a finding, or it is not known."""
    assert host.verdict in ("could_not_tell", "compliant_with_findings")
    assert host.items("problems") == []
    if host.verdict == "compliant_with_findings":
        assert set(findings) <= set(host.items("findings"))


# ---- servers ------------------------------------------------------------------------------

CLOSE, RESET, HANG = "close", "reset", "hang"
NOISE = b"\xff" + random.Random(7).randbytes(65535)
HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
GREETING = b"220 mail.example ESMTP\r\n"
UNOFFERED = wire.server_hello(suite=0x1234) + wire.record(22, wire.handshake_message(14, b""))
APPROVED = {0xC023, 0xC024, 0xC027, 0xC028, 0xC02B, 0xC02C, 0xC02F, 0xC030}


class ClientHello(wire.Hello):
    def __init__(self, raw):
        super().__init__(raw)
        body = raw[9:]
        at = 35 + body[34]
        at += 2 + int.from_bytes(body[at:at + 2], "big")
        self.compression = body[at + 1:at + 1 + body[at]]


class Open:
    """How many connections a client has open at once, by the kernel: it knows the closed ones."""

    def __init__(self):
        self._lock, self._live, self.most = threading.Lock(), set(), 0

    def note(self, sock):
        with self._lock:
            self._live = set(filter(is_open, {*self._live, sock}))
            self.most = max(self.most, len(self._live))


def is_open(sock):
    """Neither side has closed yet; the kernel reports the other side."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"
    except OSError:  # closed by its own thread
        return False


def four_at_once(look):
    """look() lets a client ask and returns the server's Open. It tries twice: the kernel may
    report an end a moment late, but not each time."""
    most = look().most
    if most > 4:
        most = look().most
    assert 2 <= most <= 4


class Front(Peer):
    """Runs before a real server. rule(hello, number) returns the reaction to a hello: None passes
    it on; bytes are the answer, then it reads on; CLOSE, RESET or HANG. hello is None if the first
    bytes are no TLS record. greet(sock, number) comes before; False ends the connection there."""

    def __init__(self, to, rule, greet=None, open=None, **options):
        super().__init__(self._play, **options)
        self._to, self._rule, self._greet = to, rule, greet
        self.open = open or Open()

    def _play(self, sock, number):
        self.open.note(sock)
        if self._greet and self._greet(sock, number) is False:
            return
        raw = first_record(sock)
        end = self._rule(ClientHello(raw) if raw[:1] == b"\x16" else None, number)
        if end is None:
            with wire.dial(self._to) as server:
                server.sendall(raw)
                splice(sock, server)
        elif isinstance(end, bytes):
            sock.sendall(end)
            wire.read_to_end(sock)
        elif end == RESET:
            wire.reset(sock)
        elif end == HANG:
            wire.read_to_end(sock)


def first_record(sock):
    """The first message, as far as it came: one record, or an SSL 2.0 hello of its length."""
    raw = bytearray(sock.recv(65536))
    while len(raw) >= 5:
        size = 5 + struct.unpack_from(">H", raw, 3)[0] if raw[0] == 22 else 0
        if len(raw) >= size:
            break
        chunk = sock.recv(65536)
        if not chunk:
            break
        raw += chunk
    return bytes(raw)


def splice(client, server):
    """Copies both ways until one side ends."""
    def back():
        try:
            while chunk := server.recv(65536):
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    thread = threading.Thread(target=back, daemon=True)
    thread.start()
    try:
        while chunk := client.recv(65536):
            server.sendall(chunk)
    except OSError:
        pass
    try:
        server.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    thread.join(wire.TIMEOUT)


def flight(version=0x0303, suite=0xC02B, extensions=wire.RENEGOTIATION_INFO, compression=0,
           certificates=()):
    """ServerHello, Certificate and ServerHelloDone, an incomplete handshake."""
    body = (struct.pack(">H", version) + os.urandom(32) + b"\0"
            + struct.pack(">HB", suite, compression))
    body += struct.pack(">H", len(extensions)) + extensions if extensions else b""
    answer = wire.record(22, wire.handshake_message(2, body), version)
    if certificates:
        answer += wire.certificate_message(*certificates)
    return answer + wire.record(22, wire.handshake_message(14, b""), version)


def offers(hello, suite):
    return hello is not None and suite in hello.suites


def is_old(hello):
    """SSL 2.0 up to TLS 1.1."""
    return hello is None or hello.version < 0x0303


def is_others_only(hello):
    """A TLS 1.2 hello without any approved suite."""
    return (hello is not None and hello.version == 0x0303 and 43 not in hello.extensions
            and not APPROVED & set(hello.suites))
