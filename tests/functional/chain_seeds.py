#!/usr/bin/env python3
"""Writes certificates of the generated chains as seeds for the fuzzers.

Usage: chain_seeds.py tests/fuzz/corpus/cert
"""

import pathlib
import re
import sys

import certs
import chain_scope  # noqa: F401 (fills RULES, as the modules it builds on)
import chain_shapes  # noqa: F401 (fills RULES)
from chain_plan import Plan

# The certificate of each rule: its index in what is sent; 0 is the leaf, -1 the upper CA.
CHOSEN = (
    ("in order", 0), ("in order", 1), ("lower CA pathLen 2", 1), ("upper CA pathLen -1", -1),
    ("upper CA basicConstraints is not DER", -1), ("leaf keyUsage all", 0),
    ("lower CA extendedKeyUsage clientAuth any", 1), ("leaf extendedKeyUsage empty", 0),
    ("upper CA excluded DNS within permitted", -1), ("upper CA permitted DNS empty", -1),
    ("upper CA permitted directoryName in capitals", -1), ("upper CA empty excludedSubtrees", -1),
    ("lower CA permitted IP mask with a hole", 1), ("lower CA permitted IP of 5 bytes", 1),
    ("upper CA permitted URI, leaf with an address", -1),
    ("upper CA permitted URI, leaf with an address", 0),
    ("upper CA permitted email, leaf without", 0), ("upper CA permitted otherName only", -1),
    ("upper CA permitted DNS with a minimum of 1", -1), ("nameConstraints is not DER", -1),
    ("leaf critical cRLDistributionPoints", 0), ("leaf subjectAltName twice", 0),
    ("require 0, mapped", -1), ("require 0, mapped", 1),
    ("require 0, anyPolicy inhibited after one", -1), ("policies not DER", 0),
    ("leaf for ever", 0), ("leaf GeneralizedTime before 2050", 0), ("leaf version 1", 0),
    ("leaf version 2 with unique ids", 0), ("leaf serial negative", 0), ("leaf subject empty", 0),
    ("leaf in BER lengths", 0), ("leaf of indefinite length", 0), ("leaf cut short", 0),
    ("leaf authorityKeyIdentifier in all three fields", 0), ("leaf key pss-sha256", 0),
    ("leaf key ed25519", 0), ("lower CA key e-full", 1), ("lower CA named in BMPString", 0),
    ("lower CA two attributes in one RDN, other order", 1),
    ("subjectAltName every form beside the host", 0),
    ("subjectAltName address of 5 bytes beside the host", 0), ("subjectAltName not DER", 0),
)


def main(folder):
    ring = certs.Ring("seeds")
    folder.mkdir(parents=True, exist_ok=True)
    for number, (tag, place) in enumerate(CHOSEN):
        raw = Plan(ring, number, (tag,)).sent[place].hex()
        which = {0: "leaf", 1: "lower-ca", -1: "upper-ca"}[place]
        name = re.sub("[^a-z0-9]+", "-", f"{tag} {which}".lower())
        lines = "\n".join(raw[at:at + 72] for at in range(0, len(raw), 72))
        (folder / f"{name}.hex").write_text(f"# {tag}: the {which.replace('-', ' ')}\n{lines}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
