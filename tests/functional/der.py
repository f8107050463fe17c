"""DER as bytes, by hand, so that a test can choose every byte of a certificate (ITU-T X.690). Knows
nothing about certificates."""

PRINTABLE, T61, IA5, UTF8, BMP, UNIVERSAL = 0x13, 0x14, 0x16, 0x0C, 0x1E, 0x1C
ENCODINGS = {PRINTABLE: "ascii", T61: "latin-1", IA5: "ascii", UTF8: "utf-8",
             BMP: "utf-16-be", UNIVERSAL: "utf-32-be"}


def length(size):
    if size < 0x80:
        return bytes([size])
    raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(raw)]) + raw


def tlv(tag, *parts):
    body = b"".join(parts)
    return bytes([tag]) + length(len(body)) + body


def sequence(*parts):
    return tlv(0x30, *parts)


def set_of(*parts):
    return tlv(0x31, *sorted(parts))


def integer(value):
    """Two's complement, as short as possible."""
    return tlv(0x02, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big",
                                    signed=True))


def boolean(value):
    return tlv(0x01, b"\xff" if value else b"\0")


def octets(body):
    return tlv(0x04, body)


def bits(body, unused=0):
    return tlv(0x03, bytes([unused]), body)


def named_bits(numbers):
    """BIT STRING of a named bit list, without trailing zeros (X.690 section 11.2.2)."""
    if not numbers:
        return bits(b"")
    last = max(numbers)
    raw = bytearray(last // 8 + 1)
    for number in numbers:
        raw[number // 8] |= 0x80 >> number % 8
    return bits(bytes(raw), 7 - last % 8)


def oid(dotted):
    first, second, *rest = map(int, dotted.split("."))
    raw = b""
    for arc in (first * 40 + second, *rest):
        part = bytes([arc & 0x7F])
        while arc := arc >> 7:
            part = bytes([0x80 | arc & 0x7F]) + part
        raw += part
    return tlv(0x06, raw)


def string(text, kind=UTF8):
    """One of the character string types; bytes stay unchanged."""
    return tlv(kind, text if isinstance(text, bytes) else text.encode(ENCODINGS[kind]))


def context(number, *parts, constructed=True):
    return tlv(0x80 | (0x20 if constructed else 0) | number, *parts)


def time(when, generalized=None):
    """UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5)."""
    if generalized is None:
        generalized = when.year >= 2050
    text = when.strftime("%Y%m%d%H%M%SZ").rjust(15, "0")
    return tlv(0x18 if generalized else 0x17, (text if generalized else text[2:]).encode())


NULL = b"\x05\x00"
