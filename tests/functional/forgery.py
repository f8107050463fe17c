"""Logs changed by somebody with an editor: lines that fit their chain, signatures by another
key."""

import base64
import hashlib
import json
import re

from logs import ZEROS, digest, hash_of, message_of
from pki import openssl


def make_key(folder):
    """Another log key: its private half, and its public half as an administrator notes it."""
    private, public = folder / "strange.key", folder / "strange.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def sealed(line, previous, number):
    """The line as record `number` after a line with the hash `previous`."""
    covered = line.rpartition(b',"sequence":')[0] + b',"sequence":%d,"hash":"' % number
    return covered + digest(previous, covered) + b'"}}\n'


def chained_again(lines, begin=1, sign=None):
    """New numbers and hashes from record number `begin` on, as anybody can compute them."""
    done = lines[:begin - 1]
    for number, line in enumerate(lines[begin - 1:], begin):
        previous = hash_of(done[-1]) if done else ZEROS
        if sign and b'"action":"log-checkpoint"' in line:
            line = sign(line, number - 1, previous)
        done.append(sealed(line, previous, number))
    return done


def with_member(line, name, value):
    changed, count = re.subn(b'("%s":)("[^"]*"|[0-9]+)' % name,
                             lambda found: found[1] + json.dumps(value).encode(), line)
    assert count == 1
    return changed


def with_head(line, number, previous):
    """The checkpoint names the record that is now before it; its signature stays."""
    return with_member(with_member(line, b"head_sequence", number), b"head_hash",
                       previous.decode())


class Forger:
    """Signs with another key and names that key in these members of the checkpoint."""

    def __init__(self, folder, *members):
        self.folder = folder
        self.private, public = make_key(folder)
        der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
        self.id, self.public = hashlib.sha256(der).hexdigest(), base64.b64encode(der).decode()
        own = {"public_key": self.public, "key_id": self.id}
        self.said = {name.encode(): own[name] for name in members}

    def __call__(self, line, number, previous):
        line = with_head(line, number, previous)
        for name, value in self.said.items():
            line = with_member(line, name, value)
        message = self.folder / "forged"
        message.write_text(message_of(json.loads(line)))
        signature = openssl("dgst", "-sha256", "-sign", self.private, message)
        return with_member(line, b"signature", base64.b64encode(signature).decode())
