"""What is in a process's memory, and the private numbers that are looked for there."""

import contextlib
import re

from pki import openssl


def memory_of(pid):
    """Each writable part: (its flags, its content)."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            if re.match(r"[0-9a-f]+-", line):
                area, rights, *_ = line.split()
            if not line.startswith("VmFlags:") or not rights.startswith("rw"):
                continue
            first, end = (int(x, 16) for x in area.split("-"))
            with contextlib.suppress(OSError):  # a device's
                memory.seek(first)
                yield line.split()[1:], memory.read(end - first)


def private_numbers(key):
    """{name: bytes} of a private key in a file: what tells it from its public half."""
    text = openssl("pkey", "-in", key, "-text", "-noout").decode()
    found = {}
    for name in ("priv", "privateExponent", "prime1", "prime2", "exponent1", "exponent2",
                 "coefficient"):
        digits = re.search(rf"^{name}:((?:\n {{4}}[0-9a-f:]+)+)", text, re.M)
        if digits:
            found[name] = bytes.fromhex(re.sub(r"[\s:]", "", digits[1])).lstrip(b"\0")
    assert found
    return found


def found_in(pid, key):
    """Which private numbers of the key are in the process's memory: big-endian, as in a file, or
    little-endian, as the TLS library computes with them; also a PEM file's lines."""
    wanted = {}
    for name, number in private_numbers(key).items():
        wanted[name] = [number, number[::-1]]
    block = re.search(r"PRIVATE KEY-----\n(.*?)-----END", key.read_text(), re.S)[1]
    wanted["PEM"] = [line.encode() for line in block.split()[:2]]
    return {name for _, content in memory_of(pid) for name, forms in wanted.items()
            if any(form in content for form in forms)}
