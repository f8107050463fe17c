"""ClientHellos byte by byte, and the answers to them.

Nothing here completes a handshake; real clients do that. Every default is what a compliant client
sends, so a test changes only the thing it is about.
"""

import os
import socket
import struct
import time

WAIT = 15  # seconds for an answer; only a broken proxy needs so long

TLS10, TLS11, TLS12, TLS13 = 0x0301, 0x0302, 0x0303, 0x0304
EIGHT = (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xC023, 0xC024, 0xC027, 0xC028)
ECDSA_SUITES = (0xC02B, 0xC02C, 0xC023, 0xC024)
RSA_SUITES = (0xC02F, 0xC030, 0xC027, 0xC028)
EMPTY_RENEGOTIATION_SCSV, FALLBACK_SCSV = 0x00FF, 0x5600
GROUPS = (0x001D, 0x0017, 0x0018, 0x0019)
SCHEMES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601)
WEAK_SCHEMES = (0x0201, 0x0203, 0x0101)
GREASE = tuple(v << 8 | v for v in range(0x0A, 0x100, 0x10))
SERVER_NAME, GROUPS_EXT, POINTS, SIGNATURES, ALPN = 0, 10, 11, 13, 16
MASTER_SECRET, TICKET, VERSIONS, KEY_SHARE, RENEGOTIATION = 23, 35, 43, 51, 0xFF01


def vector(width, data):
    return len(data).to_bytes(width, "big") + data


def u16s(values):
    return b"".join(struct.pack(">H", v) for v in values)


def extension(kind, body=b""):
    return struct.pack(">H", kind) + vector(2, body)


def server_name(name):
    raw = name if isinstance(name, bytes) else name.encode()
    return extension(SERVER_NAME, vector(2, b"\0" + vector(2, raw)))


def key_share(group=0x001D, size=32):
    return extension(KEY_SHARE, vector(2, struct.pack(">H", group) + vector(2, os.urandom(size))))


def client_hello(*, version=TLS12, suites=EIGHT, session_id=b"", compression=b"\0",
                 name="localhost", groups=GROUPS, schemes=SCHEMES, points=b"\0", versions=None,
                 alpn=None, renegotiation=b"", extra=b"", extensions=None):
    """The handshake message. None omits an extension; extra is appended to them raw; extensions
    replaces them all (b"" for an empty block, False for no block)."""
    if extensions is None:
        extensions = b""
        if name is not None:
            extensions += server_name(name)
        if groups is not None:
            extensions += extension(GROUPS_EXT, vector(2, u16s(groups)))
        if points is not None:
            extensions += extension(POINTS, vector(1, points))
        if schemes is not None:
            extensions += extension(SIGNATURES, vector(2, u16s(schemes)))
        if versions is not None:
            extensions += extension(VERSIONS, vector(1, u16s(versions)))
        if alpn is not None:
            names = b"".join(vector(1, one.encode()) for one in alpn)
            extensions += extension(ALPN, vector(2, names))
        if renegotiation is not None:
            extensions += extension(RENEGOTIATION, vector(1, renegotiation))
        extensions += extra
    body = (struct.pack(">H", version) + os.urandom(32) + vector(1, session_id)
            + vector(2, u16s(suites)) + vector(1, compression))
    if extensions is not False:
        body += vector(2, extensions)
    return handshake(1, body)


def handshake(kind, body):
    return bytes([kind]) + vector(3, body)


def records(message, size=16384, version=TLS10, kind=22):
    """The message as TLS records of at most size bytes each."""
    return b"".join(bytes([kind]) + struct.pack(">H", version) + vector(2, message[i:i + size])
                    for i in range(0, len(message), size))


def hello(**parts):
    """A ClientHello in one record, ready to be sent."""
    return records(client_hello(**parts))


def sslv2_hello(version=TLS12):
    """RFC 6101 appendix E: two-byte header, message type 1, three-byte cipher specs."""
    specs = b"\x07\x00\xc0\x00\x00\x2f\x00\x00\x35"
    body = (b"\x01" + struct.pack(">HHHH", version, len(specs), 0, 16) + specs + os.urandom(16))
    return struct.pack(">H", 0x8000 | len(body)) + body


def connect(port, host="127.0.0.1", source=None):
    return socket.create_connection((host, port), timeout=WAIT,
                                    source_address=(source, 0) if source else None)


def read_until(sock, mark, limit=65536):
    data = b""
    while mark not in data and len(data) < limit:
        chunk = sock.recv(4096)
        if not chunk:
            break
        data += chunk
    return data


def read_all(sock):
    """Everything up to the end; a reset counts as the end."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def connect_request(authority, *fields, method="CONNECT", version="HTTP/1.1"):
    lines = [f"{method} {authority} {version}", f"Host: {authority}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def open_tunnel(port, authority):
    """A socket on which the proxy has answered 200."""
    sock = connect(port)
    sock.sendall(connect_request(authority))
    head = read_until(sock, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert head.endswith(b"\r\n\r\n"), head
    return sock


class Response:
    """One HTTP answer as received."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.raw = raw
        self.version, _, rest = lines[0].partition(" ")
        self.status = int(rest[:3]) if rest[:3].isdigit() else None
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields[name.strip().lower()] = value.strip()

    @property
    def proxy_error(self):
        """The error parameter of Proxy-Status (RFC 9209 section 2.1.1)."""
        for part in self.fields.get("proxy-status", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == "error":
                return value
        return None


def ask(port, raw, host="127.0.0.1", source=None):
    """Sends raw, from the address source, and returns the Response."""
    with connect(port, host, source) as sock:
        sock.sendall(raw)
        return Response(read_all(sock))


def alert_bytes(number):
    """One plaintext fatal alert record, as all records before ChangeCipherSpec are."""
    return bytes([21, 3, 3, 0, 2, 2, number])


def server_flight(data):
    """(type, body) of the plaintext handshake messages in a server's answer."""
    stream, messages = b"", []
    while len(data) >= 5:
        size = int.from_bytes(data[3:5], "big")
        if data[0] == 22:
            stream += data[5:5 + size]
        data = data[5 + size:]
    while len(stream) >= 4:
        end = 4 + int.from_bytes(stream[1:4], "big")
        messages.append((stream[0], stream[4:end]))
        stream = stream[end:]
    return messages


def server_messages(data):
    return [kind for kind, _ in server_flight(data)]


class ServerHello:
    """What a server chose: .version, .suite, .compression, .extensions {type: body}."""

    def __init__(self, body):
        self.version = int.from_bytes(body[:2], "big")
        rest = body[35 + body[34]:]
        self.suite, self.compression = int.from_bytes(rest[:2], "big"), rest[2]
        self.extensions, rest = {}, rest[5:]
        while rest:
            end = 4 + int.from_bytes(rest[2:4], "big")
            self.extensions[int.from_bytes(rest[:2], "big")] = rest[4:end]
            rest = rest[end:]


def drip(sock, data, pause=0.002):
    """One byte a segment."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(data)):
        sock.sendall(data[i:i + 1])
        time.sleep(pause)


# Forbidden in a client's hello: the code, the bytes.
REFUSED_HELLOS = {
    "sslv2": ("client_sslv2_hello", sslv2_hello()),
    "sslv2_only": ("client_sslv2_hello", sslv2_hello(version=0x0002)),
    "version_0.0": ("client_protocol_too_old", hello(version=0x0000)),
    "version_2.0": ("client_protocol_too_old", hello(version=0x0200)),
    "ssl30": ("client_protocol_too_old", hello(version=0x0300)),
    "tls10": ("client_protocol_too_old", hello(version=TLS10)),
    "tls11": ("client_protocol_too_old", hello(version=TLS11)),
    "versions_below": ("client_protocol_too_old", hello(versions=(TLS11, TLS10))),
    "tls12_in_versions_alone": ("client_protocol_too_old", hello(version=TLS11,
                                                                 versions=(TLS12, TLS11))),
    "fallback": ("client_fallback", hello(version=TLS11, suites=(*EIGHT, FALLBACK_SCSV))),
    "tls13_only": ("client_tls13_only", hello(versions=(TLS13,))),
    "tls13_draft_and_tls11": ("client_tls13_only", hello(versions=(TLS13, TLS11))),
    "grease_and_tls13": ("client_tls13_only", hello(versions=(GREASE[3], TLS13))),
    "static_rsa": ("client_no_approved_suite", hello(suites=(0x009C, 0x009D, 0x002F, 0x0035))),
    "dhe": ("client_no_approved_suite", hello(suites=(0x009E, 0x009F))),
    "ecdhe_sha1": ("client_no_approved_suite", hello(suites=(0xC013, 0xC014, 0xC009, 0xC00A))),
    "chacha": ("client_no_approved_suite", hello(suites=(0xCCA8, 0xCCA9))),
    "tls13_suites": ("client_no_approved_suite", hello(suites=(0x1301, 0x1302))),
    "ffdhe_groups": ("client_no_common_group", hello(groups=(0x0100, 0x0101))),
    "x448": ("client_no_common_group", hello(groups=(0x001E,))),
    "sha1_schemes": ("client_no_common_signature", hello(schemes=WEAK_SCHEMES)),
    "no_schemes": ("client_no_common_signature", hello(schemes=None)),
    "unknown_schemes": ("client_no_common_signature", hello(schemes=(0xFE00, 0xFE01))),
    "compressed_points": ("client_bad_point_format", hello(points=b"\1\2")),
    "compression": ("client_compression_only", hello(compression=b"\1")),
    "verify_data": ("client_renegotiation", hello(renegotiation=b"x" * 12)),
    "empty_hello": ("client_malformed_hello", records(handshake(1, b""))),
    "odd_suites": ("client_malformed_hello", records(handshake(
        1, b"\3\3" + bytes(32) + b"\0" + b"\0\3\xc0\x2b\xc0" + b"\1\0"))),
    "no_suites": ("client_malformed_hello", hello(suites=())),
    "long_session_id": ("client_malformed_hello", hello(session_id=bytes(33))),
    "trailing_byte": ("client_malformed_hello", records(handshake(
        1, client_hello()[4:] + b"\0"))),
    "extension_overrun": ("client_malformed_hello", hello(extensions=b"\0\x0a\0\xff\0\2\0\x1d")),
    "too_many_suites": ("client_hello_too_large", records(client_hello(
        suites=(*range(0x5700, 0x5700 + 2048), *EIGHT)))),
    "master_secret_body": ("client_malformed_hello", hello(extra=extension(MASTER_SECRET, b"\0"))),
    "status_request_body": ("client_malformed_hello", hello(extra=extension(5, b"\1"))),
    "empty_server_names": ("client_malformed_hello", hello(
        name=None, extra=extension(SERVER_NAME, b"\0\0"))),
    "empty_groups": ("client_malformed_hello", hello(groups=())),
    "odd_schemes": ("client_malformed_hello", hello(
        schemes=None, extra=extension(SIGNATURES, b"\0\3\4\3\4"))),
    "empty_compression": ("client_malformed_hello", hello(compression=b"")),
    "empty_alpn_name": ("client_malformed_hello", hello(alpn=("",))),
    "empty_record": ("client_malformed_hello", b"\x16\3\1\0\0" + hello()),
}
