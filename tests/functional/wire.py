"""TLS and HTTP for the tests, with every byte on the wire visible.

Tls runs Python's ssl over memory buffers, because an ssl socket can neither half-close nor
tell an end of data from a close_notify. Client and server side alike.
"""

import re
import socket
import ssl
import struct

TIMEOUT = 60  # ends a test that hangs
CAPTURE = 1 << 16

EIGHT = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-ECDSA-AES256-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-RSA-AES256-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
}


class Truncated(EOFError):
    """The TCP connection ended without a close_notify."""


def dial(port, host="127.0.0.1", receive_buffer=None, source=None):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(TIMEOUT)
    if source:
        sock.bind((source, 0))
    sock.connect((host, port))
    return sock


def reset(sock):
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock):
    """Everything until the peer closes; a reset counts as an end."""
    data = bytearray()
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return bytes(data)


def client_context(*anchors, ciphers=None, alpn=None):
    """TLS 1.2 with OpenSSL's own suites, or the given ones; no anchors: takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers or "ECDHE+AESGCM:ECDHE+AES")
    if alpn:
        context.set_alpn_protocols(alpn)
    for anchor in anchors:
        context.load_verify_locations(anchor)
    if not anchors:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_context(*leaves, ciphers=None, alpn=None):
    """TLS 1.2 at OpenSSL's security level 0, so that it can serve weak certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers((ciphers or "ECDHE+AESGCM:ECDHE+AES") + ":@SECLEVEL=0")
    if alpn:
        context.set_alpn_protocols(alpn)
    for leaf in leaves:
        context.load_cert_chain(leaf.chain, leaf.key)
    return context


class Tls:
    """One side of one TLS connection. received and sent hold each side's first raw bytes."""

    def __init__(self, sock, context, server_side=False, name=None, session=None):
        self.sock = sock
        self.received, self.sent = bytearray(), bytearray()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=server_side,
                                    server_hostname=name, session=session)

    def _flush(self):
        if self._out.pending:
            data = self._out.read()
            if len(self.sent) < CAPTURE:
                self.sent += data
            self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Truncated("end of data without close_notify")
        if len(self.received) < CAPTURE:
            self.received += data
        self._in.write(data)

    def _run(self, step, *args):
        while True:
            try:
                result = step(*args)
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                try:
                    self._flush()
                except OSError:
                    pass
                raise

    def handshake(self):
        self._run(self.tls.do_handshake)
        return self

    def send(self, data):
        view = memoryview(data)
        for start in range(0, len(view), 1 << 20):
            piece = view[start:start + (1 << 20)]
            while piece:
                piece = piece[self._run(self.tls.write, piece):]

    def recv(self, size=65536):
        """b"" after the peer's close_notify; Truncated if there was none."""
        try:
            return self._run(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""

    def recv_exactly(self, size):
        data = bytearray()
        while len(data) < size:
            chunk = self.recv(size - len(data))
            if not chunk:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += chunk
        return bytes(data)

    def recv_to_end(self):
        data = bytearray()
        while chunk := self.recv():
            data += chunk
        return bytes(data)

    def close_notify(self):
        """Sends it and keeps reading possible."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:  # waits for the peer's, which recv() will read
            pass
        self._flush()

    def ending(self):
        """How the connection ends: close_notify, truncated, reset or an alert's name."""
        try:
            while self.recv():
                pass
            return "close_notify"
        except Truncated:
            return "truncated"
        except ConnectionResetError:
            return "reset"
        except ssl.SSLError as error:
            return error.reason

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- records, as bytes ----------------------------------------------------------------

def records(raw):
    """(type, version, body) of each whole TLS record."""
    found, at = [], 0
    while at + 5 <= len(raw):
        kind, version, size = struct.unpack_from(">BHH", raw, at)
        if at + 5 + size > len(raw):
            break
        found.append((kind, version, bytes(raw[at + 5:at + 5 + size])))
        at += 5 + size
    return found


def plain_alerts(raw):
    """(level, description) of the alerts before ChangeCipherSpec."""
    found = []
    for kind, _, body in records(raw):
        if kind == 20:
            break
        if kind == 21:
            found.append(tuple(body[:2]))
    return found


class Hello:
    """The parts of a ClientHello that the tests need; it came in one record."""

    def __init__(self, raw):
        body = next(b for kind, _, b in records(raw) if kind == 22)[4:]
        self.version, self.random = int.from_bytes(body[:2], "big"), body[2:34]
        at = 34
        self.session_id, at = body[at + 1:at + 1 + body[at]], at + 1 + body[at]
        size = int.from_bytes(body[at:at + 2], "big")
        self.suites = [int.from_bytes(body[i:i + 2], "big")
                       for i in range(at + 2, at + 2 + size, 2)]
        at += 2 + size
        at += 1 + body[at] + 2
        self.extensions = {}
        while at + 4 <= len(body):
            kind, size = struct.unpack_from(">HH", body, at)
            self.extensions[kind] = body[at + 4:at + 4 + size]
            at += 4 + size

    @property
    def alpn(self):
        body, names = self.extensions.get(16, b"\0\0")[2:], []
        while body:
            names.append(body[1:1 + body[0]].decode())
            body = body[1 + body[0]:]
        return names

    @property
    def server_name(self):
        body = self.extensions.get(0)
        return body[5:].decode() if body else None


def extension(kind, body=b""):
    return struct.pack(">HH", kind, len(body)) + body


RENEGOTIATION_INFO = extension(0xFF01, b"\0")


def handshake_message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def record(kind, body, version=0x0303):
    return struct.pack(">BHH", kind, version, len(body)) + body


def alert(description, level=2, version=0x0303):
    return record(21, bytes([level, description]), version)


def server_hello(version=0x0303, suite=0xC02B, random=bytes(range(32)), extensions=None,
                 record_version=0x0303, session_id=b""):
    """A valid ServerHello, except for the caller's changes."""
    extensions = RENEGOTIATION_INFO if extensions is None else extensions
    body = (struct.pack(">H", version) + random + bytes([len(session_id)]) + session_id
            + struct.pack(">HB", suite, 0))
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    return record(22, handshake_message(2, body), record_version)


def certificate_message(*ders):
    entries = b"".join(len(d).to_bytes(3, "big") + d for d in ders)
    return record(22, handshake_message(11, len(entries).to_bytes(3, "big") + entries))


# ---- HTTP, only what the tests need -----------------------------------------------------

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def proxy_error(self):
        """The error parameter of Proxy-Status (RFC 9209 section 2.1.1)."""
        value = self.headers.get("proxy-status", "")
        found = re.search(r";\s*error=([a-z_]+)", value)
        assert value.startswith("suitegate") and found, f"Proxy-Status: {value!r}"
        return found[1]


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    return status, {k.strip().lower(): v.strip()
                    for k, _, v in (line.partition(":") for line in lines[1:] if line)}


def read_answer(recv):
    """recv(n) returns bytes, b"" at the end."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        chunk = recv(65536)
        if not chunk:
            raise EOFError(f"no answer, only {bytes(data)!r}")
        data += chunk
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    status, headers = parse_head(head)
    size = headers.get("content-length")
    body = bytearray(body)
    while size is None or len(body) < int(size):
        chunk = recv(65536)
        if not chunk:
            break
        body += chunk
    return Answer(status, headers, body.decode("latin-1"))


def get(tls, path="/", **headers):
    """One GET over an established session."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    tls.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    return read_answer(tls.recv)


def connect(port, target, source=None):
    """CONNECT target; (socket, Answer). After a 200 the socket is the tunnel, else it is closed."""
    sock = dial(port, source=source)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    data = bytearray()
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        if not chunk:
            raise EOFError(f"no answer to CONNECT, only {bytes(data)!r}")
        data += chunk
    head, _, rest = bytes(data).partition(b"\r\n\r\n")
    status, headers = parse_head(head)
    if status == 200:
        assert not rest, "bytes after the 200 before the client's hello"
        return sock, Answer(status, headers, "")
    body = rest + read_to_end(sock)
    sock.close()  # the gate waits for this
    return sock, Answer(status, headers, body.decode("latin-1"))
