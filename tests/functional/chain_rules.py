"""The rules for path validation (RFC 5280 sections 4.2 and 6.1): the content of CAs and leaves.

Each rule is one line: its category, its tag, and what it changes. The table of differences in
chain_table.py refers to the tag.
"""

import dataclasses

import certs
import der
from certs import (AKI, BC, DAY, EKU, KU, NC, NOW, SAN, SKI, Crl, authority, basic_constraints, dns,
                   key_identifier, key_usage, name, name_constraints, purposes, uri)
from chain_plan import rule

ROLES = {"a": "anchor", "x": "upper CA", "y": "lower CA", "l": "leaf"}
CAS = ("a", "x", "y")


def put(letter, kind, value, critical=False):
    return lambda p: p.level(letter).put(kind, value, critical)


def drop(letter, kind):
    return lambda p: p.level(letter).drop(kind)


def fields(letter, **values):
    def change(p):
        for field, value in values.items():
            setattr(p.level(letter), field, value)
    return change


def several(*changes):
    def change(p):
        for one in changes:
            one(p)
    return change


def nothing(_plan):
    pass


rule("none", "in order", nothing)

# ---- basicConstraints (4.2.1.9) --------------------------------------------------------------

for letter in CAS:
    role = ROLES[letter]
    rule("ca", f"{role} without basicConstraints", drop(letter, BC))
    rule("ca", f"{role} CA:FALSE", put(letter, BC, basic_constraints(False), True))
    rule("ca", f"{role} basicConstraints not critical", put(letter, BC, basic_constraints(True)))
    for limit in (0, 1, 2):
        rule("ca", f"{role} pathLen {limit}",
             put(letter, BC, basic_constraints(True, limit), True))
    rule("ca", f"{role} pathLen 2^40", put(letter, BC, basic_constraints(True, 1 << 40), True))
    rule("ca", f"{role} pathLen -1", put(letter, BC, basic_constraints(True, -1), True))
    rule("ca", f"{role} basicConstraints is not DER", put(letter, BC, b"\x30\x05\x01", True))
rule("ca", "lower CA CA:FALSE with pathLen 0", put("y", BC, basic_constraints(False, 0), True))
rule("ca", "lower CA CA:TRUE is 01", put("y", BC, bytes.fromhex("3003010101"), True))
rule("ca", "leaf without basicConstraints", drop("l", BC))
rule("ca", "leaf CA:FALSE is written out", put("l", BC, bytes.fromhex("3003010100"), True))
rule("ca", "leaf CA:TRUE", put("l", BC, basic_constraints(True), True))
rule("ca", "leaf CA:TRUE below pathLen 0", several(
    put("l", BC, basic_constraints(True), True), put("y", BC, basic_constraints(True, 0), True)))


def rollover(p, above="x", below="y"):
    """A self-issued certificate: the CA's name with a new key, signed by the old one."""
    ca = p.level(above)
    return p.insert(ca, authority(ca.subject, p.key("rollover"), ca, serial=20), p.level(below))


def rollover_limited(p, letter, limit, above="x", below="y"):
    rollover(p, above, below)
    p.level(letter).put(BC, basic_constraints(True, limit), True)


rule("ca", "self-issued between CAs", rollover)
rule("ca", "self-issued between CAs, pathLen 1 above", lambda p: rollover_limited(p, "x", 1))
rule("ca", "self-issued between CAs, pathLen 0 above", lambda p: rollover_limited(p, "x", 0))
rule("ca", "self-issued between CAs, anchor pathLen 2", lambda p: rollover_limited(p, "a", 2))
rule("ca", "self-issued between CAs, anchor pathLen 1", lambda p: rollover_limited(p, "a", 1))
rule("ca", "self-issued above the leaf, pathLen 0",
     lambda p: rollover_limited(p, "y", 0, "y", "l"))
rule("ca", "self-issued with pathLen 0 above a CA",
     lambda p: rollover(p).put(BC, basic_constraints(True, 0), True))
rule("ca", "self-issued is no CA", lambda p: rollover(p).put(BC, basic_constraints(False), True))
rule("ca", "self-issued of the anchor, pathLen 2",
     lambda p: rollover_limited(p, "a", 2, "a", "x"))
rule("ca", "self-issued of the anchor, pathLen 1",
     lambda p: rollover_limited(p, "a", 1, "a", "x"))


def self_issued_leaf(p):
    """The leaf has its CA's name, which has no effect (6.1.4 l is about CAs)."""
    p.l.subject = p.y.subject
    p.y.put(BC, basic_constraints(True, 0), True)


rule("ca", "self-issued leaf, pathLen 0", self_issued_leaf)

# ---- keyUsage (4.2.1.3) ----------------------------------------------------------------------

for letter in CAS:
    role = ROLES[letter]
    rule("usage", f"{role} without keyUsage", drop(letter, KU))
    rule("usage", f"{role} keyUsage without keyCertSign",
         put(letter, KU, key_usage("digitalSignature", "cRLSign"), True))
    rule("usage", f"{role} keyUsage not critical, without keyCertSign",
         put(letter, KU, key_usage("digitalSignature")))
    rule("usage", f"{role} keyUsage keyCertSign alone", put(letter, KU, key_usage("keyCertSign")))
    rule("usage", f"{role} keyUsage empty", put(letter, KU, key_usage(), True))
rule("usage", "leaf without keyUsage", drop("l", KU))
rule("usage", "leaf keyUsage keyEncipherment alone",
     put("l", KU, key_usage("keyEncipherment"), True))
rule("usage", "leaf keyUsage keyAgreement alone", put("l", KU, key_usage("keyAgreement"), True))
rule("usage", "leaf keyUsage nonRepudiation alone",
     put("l", KU, key_usage("nonRepudiation"), True))
rule("usage", "leaf keyUsage keyCertSign alone", put("l", KU, key_usage("keyCertSign"), True))
rule("usage", "leaf keyUsage all", put("l", KU, key_usage(*certs.USAGES), True))

# ---- extendedKeyUsage (4.2.1.12), of CAs as all verifiers read it ----------------------------

SETS = (("any",), ("serverAuth",), ("clientAuth",), ("emailProtection",), ("timeStamping",),
        ("codeSigning",), ("unknown",), ("clientAuth", "serverAuth"), ("clientAuth", "any"))
for letter in ("a", "x", "y", "l"):
    role = ROLES[letter]
    for names in SETS:
        rule("purpose", f"{role} extendedKeyUsage {' '.join(names)}",
             put(letter, EKU, purposes(*names)))
    for names in (("timeStamping",), ("serverAuth",), ("clientAuth",), ("any",)):
        rule("purpose", f"{role} extendedKeyUsage critical {' '.join(names)}",
             put(letter, EKU, purposes(*names), True))
    rule("purpose", f"{role} extendedKeyUsage empty", put(letter, EKU, purposes()))
rule("purpose", "leaf without extendedKeyUsage", drop("l", EKU))
for one, other in (("clientAuth", "serverAuth"), ("serverAuth", "clientAuth")):
    rule("purpose", f"upper CA {one}, lower CA {other}", several(
        put("x", EKU, purposes(one)), put("y", EKU, purposes(other))))
    rule("purpose", f"every CA {one}", several(
        *(put(letter, EKU, purposes(one)) for letter in CAS)))
    rule("purpose", f"upper CA {one}, leaf without extendedKeyUsage", several(
        put("x", EKU, purposes(one)), drop("l", EKU)))

# ---- critical extensions (4.2) ---------------------------------------------------------------

UNKNOWN = "1.3.6.1.4.1.99999.5"
KNOWN = {
    "cRLDistributionPoints": ("2.5.29.31", der.sequence(der.sequence(der.context(
        0, der.context(0, uri("http://c.example/c.crl")))))),
    "authorityInfoAccess": ("1.3.6.1.5.5.7.1.1", der.sequence(der.sequence(
        der.oid("1.3.6.1.5.5.7.48.1"), uri("http://o.example/")))),
    "issuerAltName": ("2.5.29.18", der.sequence(dns("ca.example"))),
    "nsCertType": ("2.16.840.1.113730.1.1", der.bits(b"\x40", 6)),
    "TLS feature": ("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(5))),
    "precertificate poison": ("1.3.6.1.4.1.11129.2.4.3", der.NULL),
    "freshestCRL": ("2.5.29.46", der.sequence(der.sequence(der.context(
        0, der.context(0, uri("http://c.example/d.crl")))))),
}
for letter in ("a", "x", "y", "l"):
    role = ROLES[letter]
    rule("critical", f"{role} unknown critical extension", put(letter, UNKNOWN, der.NULL, True))
    rule("critical", f"{role} unknown extension", put(letter, UNKNOWN, der.NULL))
for text, (kind, value) in KNOWN.items():
    rule("critical", f"leaf critical {text}", put("l", kind, value, True))
    rule("critical", f"leaf {text}", put("l", kind, value))
rule("critical", "upper CA critical cRLDistributionPoints",
     put("x", *KNOWN["cRLDistributionPoints"], True))
rule("critical", "leaf critical subjectAltName",
     lambda p: p.l.put(SAN, der.sequence(dns(p.host)), True))
rule("critical", "leaf critical authorityKeyIdentifier", lambda p: setattr(
    next(e for e in p.l.extensions if e.kind == AKI), "critical", True))
rule("critical", "leaf critical subjectKeyIdentifier", lambda p: setattr(
    next(e for e in p.l.extensions if e.kind == SKI), "critical", True))
for letter, kind in (("l", SAN), ("l", BC), ("y", BC), ("x", KU), ("y", EKU), ("x", NC)):
    def twice(p, letter=letter, kind=kind):
        spec = p.level(letter)
        if kind == EKU:
            spec.put(EKU, purposes(p.purpose))
        if kind == NC:
            spec.put(NC, name_constraints([dns(p.domain)]), True)
        found = next(e for e in spec.extensions if e.kind == kind)
        spec.extensions.append(dataclasses.replace(found))
    label = {SAN: "subjectAltName", BC: "basicConstraints", KU: "keyUsage",
             EKU: "extendedKeyUsage", NC: "nameConstraints"}[kind]
    rule("critical", f"{ROLES[letter]} {label} twice", twice)

# ---- dates (4.1.2.5) -------------------------------------------------------------------------

for letter in ("a", "x", "y", "l"):
    role = ROLES[letter]
    rule("dates", f"{role} expired", fields(letter, not_before=NOW - 20 * DAY,
                                           not_after=NOW - 2 * DAY))
    rule("dates", f"{role} expired a second ago", fields(letter, not_after=NOW - DAY / 86400))
    rule("dates", f"{role} not yet valid", fields(letter, not_before=NOW + 2 * DAY,
                                                 not_after=NOW + 20 * DAY))
rule("dates", "leaf valid from now on", fields("l", not_before=NOW))
rule("dates", "leaf outlives its CA", fields("l", not_after=NOW + 4000 * DAY))
rule("dates", "leaf for ever", fields(
    "l", not_after=NOW.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59)))
rule("dates", "leaf until 2050", fields("l", not_after=NOW.replace(year=2050, month=1, day=1)))
rule("dates", "leaf until the end of 2049", fields(
    "l", not_after=NOW.replace(year=2049, month=12, day=31)))
rule("dates", "leaf since 1950", fields("l", not_before=NOW.replace(year=1950)))
rule("dates", "leaf GeneralizedTime before 2050", fields("l", generalized=True))
rule("dates", "leaf ends before it begins", fields("l", not_before=NOW - 2 * DAY,
                                                   not_after=NOW - 3 * DAY))


def unwrapped(tbs):
    """The content of the outermost SEQUENCE."""
    return tbs[2 + (tbs[1] & 0x7F if tbs[1] & 0x80 else 0):]


def shortened(tbs):
    """The second date without its seconds (forbidden by X.690 section 11.8)."""
    first, last = der.time(NOW - DAY), NOW + 30 * DAY
    short = der.tlv(0x17, last.strftime("%y%m%d%H%MZ").encode())
    return der.sequence(unwrapped(tbs).replace(der.sequence(first, der.time(last)),
                                               der.sequence(first, short)))


rule("dates", "leaf UTCTime without seconds", fields("l", mangle_tbs=shortened))

# ---- versions, serial numbers and the rest of the form (4.1) ---------------------------------


def old_version(letter, version=None):
    def change(p):
        spec = p.level(letter)
        spec.version, spec.extensions = version, []
    return change


for letter in ("a", "x", "y", "l"):
    role = ROLES[letter]
    rule("form", f"{role} version 1", old_version(letter))
    rule("form", f"{role} version 1 with extensions", fields(letter, version=None))
    rule("form", f"{role} serial 0", fields(letter, serial=0))
    rule("form", f"{role} serial negative", fields(letter, serial=-77))
    rule("form", f"{role} serial of 21 bytes", fields(letter, serial=(1 << 166) + 5))
rule("form", "leaf serial of 20 bytes", fields("l", serial=(1 << 158) + 5))
rule("form", "leaf serial of 60 bytes", fields("l", serial=(1 << 470) + 5))
rule("form", "leaf version 4", fields("l", version=3))
rule("form", "leaf version 2 with unique ids", fields("l", unique_ids=True))
rule("form", "leaf subject empty", fields("l", subject=name()))
rule("form", "leaf subject empty, names critical", several(
    fields("l", subject=name()), lambda p: p.l.put(SAN, der.sequence(dns(p.host)), True)))
rule("form", "lower CA subject empty", fields("y", subject=name()))
rule("form", "lower CA has the leaf's subject",
     lambda p: setattr(p.l, "subject", p.y.subject))
rule("form", "leaf inner algorithm differs", fields(
    "l", inner_algorithm=der.sequence(der.oid(certs.ECDSA_SIGNATURES["sha384"]))))
rule("form", "lower CA inner algorithm differs", fields(
    "y", inner_algorithm=der.sequence(der.oid(certs.ECDSA_SIGNATURES["sha384"]))))


def flipped(letter):
    return fields(letter, mangle=lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))


for letter in ("x", "y", "l"):
    rule("form", f"{ROLES[letter]} signature broken", flipped(letter))
rule("form", "leaf followed by a byte", fields("l", mangle=lambda raw: raw + b"\0"))
rule("form", "lower CA followed by a byte", fields("y", mangle=lambda raw: raw + b"\0"))
rule("form", "leaf cut short", fields("l", mangle=lambda raw: raw[:-5]))
rule("form", "lower CA cut short", fields("y", mangle=lambda raw: raw[:-5]))


def long_length(raw):
    """The outermost length in one byte more than necessary: BER, not DER."""
    assert raw[1] == 0x82
    return bytes([0x30, 0x83, 0]) + raw[2:]


rule("form", "leaf in BER lengths", fields("l", mangle=long_length))
rule("form", "lower CA in BER lengths", fields("y", mangle=long_length))
rule("form", "leaf of indefinite length", fields(
    "l", mangle=lambda raw: b"\x30\x80" + raw[4:] + b"\0\0"))


rule("form", "leaf signed in BER lengths", fields("l", mangle_tbs=long_length))
rule("form", "leaf extension critical FALSE written out", lambda p: p.l.extensions.append(
    certs.Extension(UNKNOWN, der.NULL, default_written=True)))

# ---- key identifiers (4.2.1.1, 4.2.1.2) ------------------------------------------------------

for letter in ("x", "y", "l"):
    role = ROLES[letter]
    rule("identifier", f"{role} without authorityKeyIdentifier", drop(letter, AKI))
    rule("identifier", f"{role} authorityKeyIdentifier of another key",
         put(letter, AKI, key_identifier(b"\x66" * 20)))
    rule("identifier", f"{role} authorityKeyIdentifier empty", put(letter, AKI, key_identifier()))
for letter in CAS:
    rule("identifier", f"{ROLES[letter]} without subjectKeyIdentifier", drop(letter, SKI))
rule("identifier", "leaf without subjectKeyIdentifier", drop("l", SKI))
rule("identifier", "leaf authorityKeyIdentifier by issuer and serial", put("l", AKI, lambda s:
     key_identifier(None, s.issuer.issuer.subject, s.issuer.serial)))
rule("identifier", "leaf authorityKeyIdentifier by issuer and another serial",
     put("l", AKI, lambda s: key_identifier(None, s.issuer.issuer.subject, 4711)))
rule("identifier", "leaf authorityKeyIdentifier by another issuer and serial",
     put("l", AKI, lambda s: key_identifier(None, name(("CN", "nobody")), s.issuer.serial)))
rule("identifier", "leaf authorityKeyIdentifier in all three fields",
     put("l", AKI, lambda s: key_identifier(s.issuer.own_identifier(), s.issuer.issuer.subject,
                                            s.issuer.serial)))
rule("identifier", "no identifiers at all", several(
    *(drop(letter, AKI) for letter in ("x", "y", "l")), *(drop(letter, SKI) for letter in CAS)))
rule("identifier", "leaf authorityKeyIdentifier not DER", put("l", AKI, b"\x30\x09\x80"))

# ---- CRLs (section 5) ------------------------------------------------------------------------


def crl(*lists):
    """Each is (issuer's letter, revoked letters, more fields of Crl)."""
    def change(p):
        for letter, revoked, more in lists:
            p.crls.append(Crl(p.level(letter), tuple(p.level(r).serial for r in revoked), **more))
    return change


WHOLE = (("a", (), {}), ("x", (), {}), ("y", (), {}))
STALE = dict(this_update=NOW - 9 * DAY, next_update=NOW - 2 * DAY)
rule("crl", "CRLs of all, none revoked", crl(*WHOLE))
rule("crl", "CRLs of all, leaf revoked", crl(*WHOLE[:2], ("y", "l", {})))
rule("crl", "CRLs of all, lower CA revoked", crl(WHOLE[0], ("x", "y", {}), WHOLE[2]))
rule("crl", "CRLs of all, upper CA revoked", crl(("a", "x", {}), *WHOLE[1:]))
rule("crl", "CRLs of all, that of the lower CA expired", crl(*WHOLE[:2], ("y", (), STALE)))
rule("crl", "CRLs of all, that of the anchor expired", crl(("a", (), STALE), *WHOLE[1:]))
rule("crl", "CRLs of all, that of the lower CA not yet valid", crl(
    *WHOLE[:2], ("y", (), dict(this_update=NOW + DAY))))
rule("crl", "CRL of the lower CA alone", crl(WHOLE[2]))
rule("crl", "CRL of the lower CA alone, leaf revoked", crl(("y", "l", {})))
rule("crl", "CRL of the anchor alone, upper CA revoked", crl(("a", "x", {})))
rule("crl", "CRL of the anchor alone, another serial revoked", crl(("a", "l", {})))
rule("crl", "CRLs of all, SHA-1", crl(*WHOLE[:2], ("y", (), dict(digest="sha1"))))
rule("crl", "CRLs of all, that of the lower CA signed by another", lambda p: crl(
    *WHOLE[:2], ("y", (), dict(signer=p.key("stranger"))))(p))
rule("crl", "CRLs of all, leaf revoked under a name in other types", lambda p: crl(
    *WHOLE[:2], ("y", "l", dict(issuer_name=p.name("lower", O=("CHAINS  ltd", der.PRINTABLE)))))(p))
rule("crl", "CRLs of all, issuer may not sign CRLs", lambda p: (
    crl(*WHOLE)(p), p.y.put(KU, key_usage("keyCertSign"), True)))
rule("crl", "CRLs of all, critical extension", crl(*WHOLE[:2], ("y", (), dict(
    extensions=(certs.Extension("2.5.29.28", der.sequence(der.context(
        2, b"\xff", constructed=False)), True),)))))
rule("crl", "CRLs of all, leaf revoked in one of two lists", crl(*WHOLE, ("y", "l", {})))
