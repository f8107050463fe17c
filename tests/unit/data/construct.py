#!/usr/bin/env python3
"""Writes the constructed ClientHellos: clients of which no copy runs here.

Each is built from the published suite and extension lists of that client (SSL Labs' client list for
the Schannel ones, RFC 6101 appendix E for SSL 2.0); it is no capture. Its random and session id are
fixed bytes. Every file says "constructed" in its first line.
"""
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
NAME = b"gate.example"


def vector(width, data):
    return len(data).to_bytes(width, "big") + data


def shorts(*values):
    return b"".join(v.to_bytes(2, "big") for v in values)


def extension(kind, body):
    return shorts(kind) + vector(2, body)


def record(version, hello):
    return b"\x16" + shorts(version) + vector(2, b"\x01" + vector(3, hello))


def hello(version, suites, extensions=b"", record_version=None):
    body = shorts(version) + bytes(range(32)) + vector(1, b"") + vector(2, shorts(*suites))
    body += vector(1, b"\0") + (vector(2, extensions) if extensions else b"")
    return record(record_version or version, body)


SNI = extension(0, vector(2, b"\0" + vector(2, NAME)))
STATUS = extension(5, b"\x01\0\0\0\0")
GROUPS = extension(10, vector(2, shorts(0x17, 0x18)))
POINTS = extension(11, b"\x01\0")
TICKET = extension(35, b"")
EMS = extension(23, b"")
RENEGOTIATION = extension(0xff01, b"\0")


def schemes(*values):
    return extension(13, vector(2, shorts(*values)))


def v2(version, specs):
    body = b"\x01" + shorts(version) + shorts(len(specs) // 3, 0, 16) + specs + bytes(range(16))
    return shorts(0x8000 | len(body)) + body


FILES = {
    "schannel-2008r2-tls10": (
        "Schannel of Windows 7 and Server 2008 R2 as shipped: TLS 1.0",
        hello(0x301, [0x2f, 0x35, 0x05, 0x0a, 0xc013, 0xc014, 0xc009, 0xc00a, 0x32, 0x38, 0x13,
                      0x04], RENEGOTIATION + SNI + STATUS + GROUPS + POINTS)),
    "schannel-2008r2-tls12": (
        "Schannel of Windows 7 and Server 2008 R2 with TLS 1.2 turned on",
        hello(0x303, [0x3c, 0x2f, 0x3d, 0x35, 0x05, 0x0a, 0xc027, 0xc013, 0xc014, 0xc02b, 0xc023,
                      0xc02c, 0xc024, 0xc009, 0xc00a, 0x40, 0x32, 0x6a, 0x38, 0x13, 0x04],
              RENEGOTIATION + SNI + STATUS + GROUPS + POINTS +
              schemes(0x0401, 0x0403, 0x0201, 0x0203, 0x0202, 0x0601, 0x0603))),
    "schannel-2012r2-tls12": (
        "Schannel of Windows 8.1 and Server 2012 R2: TLS 1.2",
        hello(0x303, [0xc028, 0xc027, 0xc014, 0xc013, 0x9f, 0x9e, 0x9d, 0x9c, 0x3d, 0x3c, 0x35,
                      0x2f, 0xc02c, 0xc02b, 0xc024, 0xc023, 0xc00a, 0xc009, 0x6a, 0x40, 0x38,
                      0x32, 0x0a, 0x13],
              SNI + STATUS + GROUPS + POINTS +
              schemes(0x0401, 0x0501, 0x0201, 0x0403, 0x0503, 0x0203, 0x0202, 0x0601, 0x0603) +
              TICKET + EMS + RENEGOTIATION)),
    "schannel-xp-ssl30": (
        "Schannel of Windows XP: SSL 3.0",
        hello(0x300, [0x04, 0x05, 0x0a, 0x09, 0x64, 0x62, 0x03, 0x06, 0x13, 0x12, 0x63])),
    "sslv2": (
        "SSL 2.0 CLIENT-HELLO for SSL 2.0 alone (RFC 6101 appendix E)",
        v2(0x0002, bytes.fromhex("010080 020080 030080 040080 050080 060040 0700c0"))),
    "sslv2-compatible-tls10": (
        "SSL 2.0 format CLIENT-HELLO that offers up to TLS 1.0, as Java 6 sends",
        v2(0x0301, bytes.fromhex("000004 010080 000005 00002f 000033 000032 00000a 0700c0 000016"
                                 "000013 000009 060040 000015 000012 000003 020080 000008"))),
}

if __name__ == "__main__":
    for name, (what, data) in FILES.items():
        lines = ["# constructed, not captured: " + what]
        lines += [data[i:i + 32].hex() for i in range(0, len(data), 32)]
        (HERE / (name + ".hex")).write_text("\n".join(lines) + "\n")
