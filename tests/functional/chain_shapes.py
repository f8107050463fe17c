"""The rules for path validation, continued: keys and signatures, names, the leaf's
subjectAltName, and which certificates are sent in which order."""

import random

import certs
import der
from certs import (AKI, DAY, EKU, KU, NOW, SAN, SKI, address, authority, directory, dns, email,
                   key_usage, name, other_name, purposes, registered, uri)
from chain_plan import rule
from chain_rules import CAS, ROLES, drop, fields, put, several

# ---- keys and signatures ---------------------------------------------------------------------

KEYS = ("rsa1024", "rsa2047", "rsa2048", "rsa3072", "rsa4096", "rsa2048-e3", "ec192", "ec224",
        "ec384", "ec521", "ec256k1", "brainpool256", "pss", "pss-sha256", "pss-sha1", "ed25519")


def keyed(letter, kind):
    return lambda p: setattr(p.level(letter), "key", p.key(letter, kind))


for kind in KEYS:
    for letter in ("a", "y", "l"):
        rule("crypto", f"{ROLES[letter]} key {kind}", keyed(letter, kind))
for kind in ("e-31", "e-64", "e-65", "e-full"):
    for letter in ("a", "y"):
        rule("crypto", f"{ROLES[letter]} key {kind}", keyed(letter, kind))
BELOW = {"a": "x", "x": "y", "y": "l"}
for digest in ("sha1", "sha224", "sha384", "sha512"):
    for letter in ("a", "x", "y", "l"):
        rule("crypto", f"{ROLES[letter]} signature ecdsa {digest}", fields(letter, digest=digest))
for digest in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
    for letter in ("x", "l"):
        above = {"x": "a", "l": "y"}[letter]
        rule("crypto", f"{ROLES[letter]} signature rsa {digest}",
             several(keyed(above, "rsa2048"), fields(letter, digest=digest)))
        if digest != "md5":
            size = certs.HASHES[digest][0].digest_size
            rule("crypto", f"{ROLES[letter]} signature pss {digest}",
                 several(keyed(above, "rsa2048"), fields(letter, digest=digest, pss_salt=size)))
rule("crypto", "anchor signature rsa md5", several(
    keyed("a", "rsa2048"), fields("a", digest="md5")))
rule("crypto", "leaf signature pss sha256 without salt",
     several(keyed("y", "rsa2048"), fields("l", pss_salt=0)))
rule("crypto", "leaf signature pss sha256 salt of 64 bytes",
     several(keyed("y", "rsa2048"), fields("l", pss_salt=64)))
rule("crypto", "leaf signature pss sha1 by a PSS key for sha256",
     several(keyed("y", "pss-sha256"), fields("l", digest="sha1", pss_salt=20)))
rule("crypto", "lower CA PSS key signs sha384",
     several(keyed("y", "pss"), fields("l", digest="sha384", pss_salt=48)))
rule("crypto", "all RSA 2048", several(
    *(keyed(letter, "rsa2048") for letter in ("a", "x", "y", "l"))))
rule("crypto", "all P-384", several(
    *(keyed(letter, "ec384") for letter in ("a", "x", "y", "l")),
    *(fields(letter, digest="sha384") for letter in ("x", "y", "l"))))
rule("crypto", "leaf signed by another key",
     lambda p: setattr(p.l, "signer", p.key("stranger")))
rule("crypto", "anchor sent along, signed with SHA-1", several(
    fields("a", digest="sha1"), lambda p: p.extra.append(p.a)))


def compressed_point(p):
    """The leaf's point in compressed form (RFC 5480 section 2.2 allows it)."""
    raw = p.l.key.spki
    at = raw.index(b"\x03\x42\x00\x04") + 3
    point = bytes([2 + (raw[-1] & 1)]) + raw[at + 1:at + 33]
    p.l.key.spki = der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"),
                                             der.oid("1.2.840.10045.3.1.7")), der.bits(point))


rule("crypto", "leaf key as a compressed point", compressed_point)

# ---- names of issuers and subjects (7.1) -----------------------------------------------------


def issuer_spelt(letter, **changed):
    """The issuer field of what `letter` issued differs in spelling from its subject."""
    role = {"a": "anchor", "x": "upper", "y": "lower"}[letter]
    return lambda p: setattr(p.level(BELOW[letter]), "issuer_name", p.name(role, **changed))


SPELLINGS = {
    "as it is": {},
    "in capitals": {"O": ("CHAINS LTD", der.UTF8)},
    "in small letters": {"O": ("chains ltd", der.UTF8)},
    "with spaces at both ends": {"O": ("  Chains Ltd ", der.UTF8)},
    "with two spaces inside": {"O": ("Chains   Ltd", der.UTF8)},
    "without its space": {"O": ("ChainsLtd", der.UTF8)},
    "in PrintableString": {"O": ("Chains Ltd", der.PRINTABLE)},
    "in T61String": {"O": ("Chains Ltd", der.T61)},
    "in BMPString": {"O": ("Chains Ltd", der.BMP)},
    "in UniversalString": {"O": ("Chains Ltd", der.UNIVERSAL)},
    "in PrintableString and capitals": {"O": ("CHAINS LTD", der.PRINTABLE)},
    "with the country in UTF8String": {"C": ("AX", der.UTF8)},
    "with the country in small letters": {"C": ("ax", der.PRINTABLE)},
    "with another word": {"O": ("Chains Inc", der.UTF8)},
    "with a tab for the space": {"O": ("Chains\tLtd", der.UTF8)},
    "without country": None,
}
for text, changed in SPELLINGS.items():
    for letter in CAS:
        if changed is None:
            short = {"a": "anchor", "x": "upper", "y": "lower"}[letter]
            rule("names", f"{ROLES[letter]} named {text}", lambda p, k=letter, s=short: setattr(
                p.level(BELOW[k]), "issuer_name",
                name(("O", "Chains Ltd"), ("CN", f"Case {p.number} {s}"))))
        elif letter == "y" or text in ("in capitals", "in PrintableString", "in BMPString",
                                       "with two spaces inside"):
            rule("names", f"{ROLES[letter]} named {text}", issuer_spelt(letter, **changed))


def spelt(subject, issuer):
    """The lower CA's organisation in its own certificate and in the leaf's issuer field."""
    def change(p):
        p.y.subject = p.name("lower", O=subject)
        p.l.issuer_name = p.name("lower", O=issuer)
    return change


for tag, pair in {
        "accents, same": (("Čh Ltd", der.UTF8), ("Čh Ltd", der.UTF8)),
        "accents, capitals": (("Čh Ltd", der.UTF8), ("čH LTD", der.UTF8)),
        "accents, UTF8String and BMPString": (("Čh Ltd", der.UTF8), ("Čh Ltd", der.BMP)),
        "accents, UTF8String and T61String": (("Ünï Ltd", der.UTF8), ("Ünï Ltd", der.T61)),
        "accents, decomposed": (("Ü Ltd", der.UTF8), ("U\u0308 Ltd", der.UTF8)),
        "accents, without": (("Čh Ltd", der.UTF8), ("Ch Ltd", der.UTF8)),
        "not UTF-8, same bytes": ((b"\xff\xfe Ltd", der.UTF8), (b"\xff\xfe Ltd", der.UTF8)),
        "empty value, same": (("", der.UTF8), ("", der.UTF8)),
        "zero byte inside": (("Chains\0 Ltd", der.UTF8), ("Chains", der.UTF8)),
        "BMPString of odd length": ((b"\0C\0h\0", der.BMP), (b"\0C\0h\0", der.BMP)),
}.items():
    rule("names", f"lower CA {tag}", spelt(*pair))


def two_in_one(p):
    """Two attributes in one RDN, in the other order in the issuer field (a SET has no order)."""
    one = der.sequence(der.oid("2.5.4.10"), der.string("Chains Ltd"))
    two = der.sequence(der.oid("2.5.4.3"), der.string(f"Case {p.number} lower"))
    p.y.subject = der.sequence(der.tlv(0x31, one, two))
    p.l.issuer_name = der.sequence(der.tlv(0x31, two, one))


def order_of_rdns(p):
    p.y.subject = name(("O", "Chains Ltd"), ("CN", f"Case {p.number} lower"))
    p.l.issuer_name = name(("CN", f"Case {p.number} lower"), ("O", "Chains Ltd"))


def domain_components(p):
    p.y.subject = name(("DC", "example"), ("DC", f"C{p.number}"), ("CN", "lower"))
    p.l.issuer_name = name(("DC", "EXAMPLE"), ("DC", f"c{p.number}"), ("CN", "lower"))


rule("names", "lower CA two attributes in one RDN, other order", two_in_one)
rule("names", "lower CA RDNs in another order", order_of_rdns)
rule("names", "lower CA domain components in other case", domain_components)

# ---- the leaf's names (RFC 9525, RFC 5280 section 4.2.1.6) -----------------------------------


def named(*makers, host=None, subject=None):
    """makers are functions of the plan; host too."""
    def change(p):
        if host:
            p.host = host(p)
        if subject:
            p.l.subject = subject(p)
        if makers:
            p.san(*(m(p) for m in makers))
    return change


def unnamed(p):
    p.l.drop(SAN)
    p.l.subject = p.name("leaf", ("CN", p.host))


def own_address(p):
    return p.ip


DEEP = dict(host=lambda p: f"a.b.{p.domain}")
LABEL = dict(host=lambda p: f"xn--bcher-kva.{p.domain}")
for tag, change in {
        "other host": named(lambda p: dns("other.example")),
        "in capitals": named(lambda p: dns(p.host.upper())),
        "a dot at the end": named(lambda p: dns(p.host + ".")),
        "a dot in front": named(lambda p: dns("." + p.domain)),
        "wildcard": named(lambda p: dns("*." + p.domain)),
        "wildcard with a dot at the end": named(lambda p: dns("*." + p.domain + ".")),
        "wildcard of the host": named(lambda p: dns("*." + p.host)),
        "wildcard two levels up": named(lambda p: dns("*." + p.domain), **DEEP),
        "two wildcards": named(lambda p: dns("*.*." + p.domain), **DEEP),
        "wildcard in the second label": named(lambda p: dns("a.*." + p.domain), **DEEP),
        "wildcard alone": named(lambda p: dns("*")),
        "wildcard at the start of a label": named(lambda p: dns("*w." + p.domain)),
        "wildcard at the end of a label": named(lambda p: dns("w*." + p.domain)),
        "wildcard inside a label": named(lambda p: dns("w*w." + p.domain)),
        "wildcard directly below a top-level domain": named(
            lambda p: dns("*.example"), host=lambda p: p.domain),
        "wildcard for an A-label": named(lambda p: dns("*." + p.domain), **LABEL),
        "A-label": named(lambda p: dns(p.host), **LABEL),
        "A-label in capitals": named(lambda p: dns(p.host.upper()), **LABEL),
        "wildcard in an A-label": named(lambda p: dns("xn--bcher-*." + p.domain), **LABEL),
        "U-label in UTF-8": named(
            lambda p: dns(f"bücher.{p.domain}".encode()), **LABEL),
        "underscore": named(lambda p: dns(p.host), host=lambda p: f"a_b.{p.domain}"),
        "digits only": named(lambda p: dns(p.host), host=lambda p: f"123.{p.domain}"),
        "label of 63": named(lambda p: dns(p.host), host=lambda p: f"{'a' * 63}.{p.domain}"),
        "common name only": unnamed,
        "host in the common name, another as subjectAltName": named(
            lambda p: dns("other.example"), subject=lambda p: p.name("leaf", ("CN", p.host))),
        "host in the common name, an address as subjectAltName": named(
            lambda p: address("10.1.1.1"), subject=lambda p: p.name("leaf", ("CN", p.host))),
        "host in the common name, an email as subjectAltName": named(
            lambda p: email("a@b.example"), subject=lambda p: p.name("leaf", ("CN", p.host))),
        "1,000 names": named(*(lambda p, n=n: dns(f"h{n}.{p.domain}") for n in range(999)),
                             lambda p: dns(p.host)),
        "1,000 names of others": named(
            *(lambda p, n=n: dns(f"h{n}.{p.domain}") for n in range(1000))),
        "empty": lambda p: p.l.put(SAN, der.sequence()),
        "not DER": lambda p: p.l.put(SAN, b"\x30\x10\x82"),
        "not a SEQUENCE": lambda p: p.l.put(SAN, dns(p.host)),
        "followed by a byte": lambda p: p.l.put(SAN, der.sequence(dns(p.host)) + b"\0"),
        "a zero byte after the host": named(lambda p: dns(p.host.encode() + b"\0.other.example")),
        "a space after the host": named(lambda p: dns(p.host + " ")),
        "an empty name": named(lambda p: dns("")),
        "an empty name and the host": named(lambda p: dns(""), lambda p: dns(p.host)),
        "not ASCII and the host": named(lambda p: dns(b"\xc3\xa4.example"), lambda p: dns(p.host)),
        "host as URI": named(lambda p: uri(f"https://{p.host}/")),
        "host as email domain": named(lambda p: email(f"root@{p.host}")),
        "every form beside the host": named(
            lambda p: other_name("1.3.6.1.4.1.99999.7"), lambda p: email("a@b.example"),
            lambda p: dns(p.host), lambda p: directory(p.name("x")),
            lambda p: uri("https://a.example/"), lambda p: address("10.0.0.1"),
            lambda p: registered("1.3.6.1.4.1.99999")),
        "unknown form beside the host": named(lambda p: der.context(9, b"x", constructed=False),
                                              lambda p: dns(p.host)),
        "address": named(lambda p: address(p.ip), host=own_address),
        "another address": named(lambda p: address("127.0.0.1"), host=own_address),
        "address as dNSName": named(lambda p: dns(p.ip), host=own_address),
        "address in the common name": several(
            drop("l", SAN), lambda p: setattr(p, "host", p.ip),
            lambda p: setattr(p.l, "subject", p.name("leaf", ("CN", p.ip)))),
        "address as URI": named(lambda p: uri(f"https://{p.ip}/"), host=own_address),
        "address of 5 bytes beside the host": named(lambda p: address(bytes(5)),
                                                    lambda p: dns(p.host)),
        "address of 5 bytes beside the address": named(
            lambda p: address(bytes(5)), lambda p: address(p.ip), host=own_address),
        "address of 16 bytes, mapped": named(
            lambda p: address("::ffff:" + p.ip), host=own_address),
        "network for the address": named(lambda p: address(p.ip + "/24"), host=own_address),
        "wildcard for an address": named(
            lambda p: dns("*." + p.ip.partition(".")[2]), host=own_address),
        "IPv6 address": named(lambda p: address("::1"), host=lambda p: "::1"),
        "another IPv6 address": named(lambda p: address("::2"), host=lambda p: "::1"),
        "host of 253": named(lambda p: dns(p.host), host=lambda p: ".".join(
            ["a" * 60] * 3 + ["b" * (253 - 183 - len(p.domain) - 1), p.domain])),
}.items():
    rule("leaf names", f"subjectAltName {tag}", change)

# ---- what is sent, and in which order --------------------------------------------------------


def arranged(how):
    return lambda p: setattr(p, "arrange", how)


def shuffled(p):
    def how(sent):
        rest = list(sent[1:])
        random.Random(p.number).shuffle(rest)
        return [sent[0], *rest]
    p.arrange = how


def extra(*makers):
    def change(p):
        p.extra += [m(p) for m in makers]
    return change


def stranger(p):
    return p.other_root()


def strangers(p):
    root = p.other_root()
    middle = authority(p.name("other middle"), p.key("middle"), root, serial=91)
    return [p.end_entity("other leaf", p.key("other leaf"), middle, dns("o.example")), middle, root]


def cross(p, first=False, loop=False):
    """The lower CA has a second certificate from an untrusted root (which the lower CA itself may
    have issued)."""
    root = p.other_root()
    if loop:
        root.issuer = p.y
    second = authority(p.y.subject, p.y.key, root, serial=30)
    p.extra += [second, root]
    if first:
        p.arrange = lambda sent: [sent[0], second, root, *[s for s in sent[1:]
                                                           if s not in (second, root)]]


def expired_twin(p, first=True):
    """Another certificate of the lower CA, equal but expired."""
    old = authority(p.y.subject, p.y.key, p.x, serial=31, not_before=NOW - 9 * DAY)
    old.not_after = NOW - DAY
    p.extra.append(old)
    if first:
        p.arrange = lambda sent: [sent[0], old, *[s for s in sent[1:] if s is not old]]


def namesake(p, identified=True, count=1):
    """Other CAs with the lower CA's name and other keys, sent before it."""
    fakes = [authority(p.y.subject, p.key(f"fake {n}"), p.x, serial=40 + n) for n in range(count)]
    if not identified:
        for spec in (*fakes, p.y):
            spec.drop(SKI)
        p.l.drop(AKI)
    p.arrange = lambda sent: [sent[0], *fakes, *sent[1:]]


def false_namesakes(p, kind, count):
    """As many CAs with RSA keys that claim the lower CA's key identifier."""
    fakes = []
    for n in range(count):
        fake = authority(p.y.subject, p.key("fake", kind), p.x, serial=50 + n)
        fake.identifier = p.y.own_identifier()
        fakes.append(fake)
    p.arrange = lambda sent: [sent[0], *fakes, *sent[1:]]


def namesake_anchor(p):
    """Two anchors with one name; the first has another key and the same key identifier."""
    other = authority(p.a.subject, p.key("namesake anchor"), serial=60,
                      identifier=p.a.own_identifier())
    p.anchors.insert(0, other)


def anchor_in_the_middle(p, letter="x"):
    """The trust file has an intermediate, but not its issuer."""
    p.anchors = [p.level(letter)]


def pinned(p, **changed):
    """The trust file has the leaf itself, but not its CAs."""
    for field, value in changed.items():
        setattr(p.l, field, value)
    p.anchors = [p.l]


def of_other_purpose(p):
    p.l.put(EKU, purposes("serverAuth" if p.is_client else "clientAuth"))


def self_signed(p, trusted):
    p.l.issuer = None
    p.l.drop(AKI)
    p.path = [p.a, p.l]
    p.anchors = [p.l] if trusted else [p.a]


def trusted_signer(how):
    """The leaf's issuer is an anchor without the right to sign."""
    def change(p):
        how(p)
        p.path = [p.a, p.l]
        p.l.issuer = p.a
    return change


def entity_as_anchor(p):
    """A trusted end entity signs a leaf for any name."""
    p.a = p.end_entity("anchor", p.key("a"), None, dns("pinned.example"), serial=61)
    trusted_signer(lambda q: None)(p)
    p.anchors = [p.a]


def lookalike(p):
    """An anchor's subject, key and serial in another certificate: other bytes."""
    self_signed(p, True)
    p.anchors = [p.end_entity("leaf", p.l.key, None, dns(p.host), serial=p.l.serial,
                              not_after=NOW + 29 * DAY)]


def fork(p):
    """Two paths from the upper CA: to an anchor, and to an expired certificate of that anchor."""
    old = authority(p.a.subject, p.a.key, serial=70, not_before=NOW - 9 * DAY)
    old.not_after = NOW - DAY
    p.extra.insert(0, old)


def long_path(p, count):
    above = p.y
    for n in range(count):
        above = p.insert(above, authority(p.name(f"middle {n}"), p.key(f"m{n}"), None,
                                          serial=100 + n), p.l)


def short_path(p):
    p.remove(p.y)


def root_only(p):
    p.remove(p.y)
    p.remove(p.x)


def leaf_signs(p):
    """The real leaf of the path signs another one for the host."""
    p.l.subject = p.name("first leaf")
    below = p.end_entity("second leaf", p.key("second"), p.l, dns(p.host), serial=80)
    p.path.append(below)
    p.l = below


for tag, change in {
        "CAs the other way round": arranged(lambda sent: [sent[0], *reversed(sent[1:])]),
        "each CA twice": arranged(lambda sent: [sent[0], *(s for s in sent[1:] for _ in (0, 1))]),
        "all twice": arranged(lambda sent: [*sent, *sent]),
        "leaf again at the end": arranged(lambda sent: [*sent, sent[0]]),
        "leaf last": arranged(lambda sent: [*sent[1:], sent[0]]),
        "leaf alone": arranged(lambda sent: sent[:1]),
        "upper CA left out": arranged(lambda sent: [s for s in sent[:2]]),
        "lower CA left out": arranged(lambda sent: [sent[0], *sent[2:]]),
        "anchor sent": lambda p: p.extra.append(p.a),
        "anchor sent first of the CAs": several(
            lambda p: p.extra.append(p.a), arranged(lambda sent: [sent[0], sent[-1], *sent[1:-1]])),
        "a stranger at the end": extra(stranger),
        "a stranger in the middle": several(
            extra(stranger), arranged(lambda sent: [sent[0], sent[-1], *sent[1:-1]])),
        "three strangers, shuffled": several(
            lambda p: p.extra.extend(strangers(p)), shuffled),
        "not a certificate at the end": arranged(lambda sent: [*sent, b"\x30\x03\x02\x01\x05"]),
        "an empty entry at the end": arranged(lambda sent: [*sent, b""]),
        "cross-signed": cross,
        "cross-signed, the untrusted way first": lambda p: cross(p, first=True),
        "cross-signed in a loop": lambda p: cross(p, loop=True),
        "cross-signed in a loop, first": lambda p: cross(p, first=True, loop=True),
        "cross-signed, shuffled": several(cross, shuffled),
        "expired twin of the lower CA first": expired_twin,
        "expired twin of the lower CA last": lambda p: expired_twin(p, False),
        "expired anchor of the same key sent": fork,
        "namesake of the lower CA first": namesake,
        "namesake of the lower CA first, no identifiers": lambda p: namesake(p, False),
        "seven namesakes, no identifiers": lambda p: namesake(p, False, 7),
        "three false namesakes of RSA 2048": lambda p: false_namesakes(p, "rsa2048", 3),
        "seven false namesakes of full exponents": lambda p: false_namesakes(p, "e-full", 7),
        "namesake anchor": namesake_anchor,
        "upper CA is the anchor": anchor_in_the_middle,
        "lower CA is the anchor": lambda p: anchor_in_the_middle(p, "y"),
        "upper CA is an anchor too": lambda p: p.anchors.append(p.x),
        "nothing trusted": lambda p: setattr(p, "anchors", [p.other_root()]),
        "leaf pinned": pinned,
        "leaf pinned, alone": several(pinned, arranged(lambda sent: sent[:1])),
        "leaf pinned, expired": lambda p: pinned(p, not_before=NOW - 9 * DAY,
                                                 not_after=NOW - DAY),
        "leaf pinned, another host": several(
            pinned, lambda p: p.san(dns("other.example"))),
        "leaf pinned, signed with SHA-1": lambda p: pinned(p, digest="sha1"),
        "leaf pinned, of the other purpose": several(pinned, of_other_purpose),
        "leaf pinned, RSA 1024": lambda p: pinned(p, key=p.key("l", "rsa1024")),
        "leaf pinned, self-signed": lambda p: self_signed(p, True),
        "leaf self-signed, not pinned": lambda p: self_signed(p, False),
        "leaf alike a pinned one": lookalike,
        "trusted end entity signs": entity_as_anchor,
        "trusted CA without keyCertSign signs the leaf": trusted_signer(
            put("a", KU, key_usage("digitalSignature"), True)),
        "leaf signs": leaf_signs,
        "two certificates": root_only,
        "three certificates": short_path,
        "six certificates": lambda p: long_path(p, 2),
        "nine certificates": lambda p: long_path(p, 5),
        "nine certificates, shuffled": several(lambda p: long_path(p, 5), shuffled),
        "twelve certificates": lambda p: long_path(p, 8),
}.items():
    rule("set", tag, change)
