"""The rule space of path validation (RFC 5280 sections 4.2 and 6.1): what CAs and leaves say.

Each rule is one line: its category, its tag, and what it changes. The tag is what the table of
differences in test_chains.py refers to.
"""

import dataclasses

import certs
import der
from certs import (AKI, ANY_POLICY, BC, DAY, EKU, INHIBIT_ANY, KU, MAPPINGS, NC, NOW, PC, POLICIES,
                   SAN, SKI, Crl, address, authority, basic_constraints, directory, dns, email,
                   key_identifier, key_usage, name, name_constraints, other_name, policies,
                   policy_constraints, policy_mappings, purposes, registered, uri)
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

# ---- basicConstraints (4.2.1.9) -----------------------------------------------------------------

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
    """The leaf has its CA's name, which counts for nothing (6.1.4 l is about CAs)."""
    p.l.subject = p.y.subject
    p.y.put(BC, basic_constraints(True, 0), True)


rule("ca", "self-issued leaf, pathLen 0", self_issued_leaf)

# ---- keyUsage (4.2.1.3) --------------------------------------------------------------------------

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

# ---- extendedKeyUsage (4.2.1.12), of CAs as everyone reads it ------------------------------------

SETS = (("any",), ("serverAuth",), ("clientAuth",), ("emailProtection",), ("timeStamping",),
        ("codeSigning",), ("unknown",), ("clientAuth", "serverAuth"), ("clientAuth", "any"))
for letter in ("a", "x", "y", "l"):
    role = ROLES[letter]
    for names in SETS:
        if letter != "l" or names != ("serverAuth",):
            rule("purpose", f"{role} extendedKeyUsage {' '.join(names)}",
                 put(letter, EKU, purposes(*names)))
    for names in (("timeStamping",), ("serverAuth",), ("any",)):
        rule("purpose", f"{role} extendedKeyUsage critical {' '.join(names)}",
             put(letter, EKU, purposes(*names), True))
    rule("purpose", f"{role} extendedKeyUsage empty", put(letter, EKU, purposes()))
rule("purpose", "leaf without extendedKeyUsage", drop("l", EKU))
rule("purpose", "upper CA clientAuth, lower CA serverAuth", several(
    put("x", EKU, purposes("clientAuth")), put("y", EKU, purposes("serverAuth"))))
rule("purpose", "every CA serverAuth", several(
    *(put(letter, EKU, purposes("serverAuth")) for letter in CAS)))
rule("purpose", "upper CA clientAuth, leaf without extendedKeyUsage", several(
    put("x", EKU, purposes("clientAuth")), drop("l", EKU)))

# ---- nameConstraints (4.2.1.10) ------------------------------------------------------------------


def constrain(letter, permitted=None, excluded=None, critical=True, before=nothing):
    """permitted and excluded are functions of the plan that give lists, or None."""
    def change(p):
        before(p)
        p.level(letter).put(NC, name_constraints(permitted and permitted(p),
                                                 excluded and excluded(p)), critical)
    return change


def also(*more):
    """The leaf has these names too, functions of the plan."""
    return lambda p: p.san(dns(p.host), *(m(p) for m in more))


def use_address(p):
    p.host = p.ip
    p.san(address(p.ip))


FORMS = {
    "permitted DNS domain": dict(permitted=lambda p: [dns(p.domain)]),
    "permitted DNS host": dict(permitted=lambda p: [dns(p.host)]),
    "permitted DNS in capitals": dict(permitted=lambda p: [dns(p.domain.upper())]),
    "permitted DNS other": dict(permitted=lambda p: [dns("other.example")]),
    "permitted DNS other of two": dict(
        permitted=lambda p: [dns("other.example"), dns(p.domain)]),
    "permitted DNS suffix of a label": dict(permitted=lambda p: [dns(p.domain[1:])]),
    "permitted DNS with a leading dot": dict(permitted=lambda p: [dns("." + p.domain)]),
    "permitted DNS host with a leading dot": dict(permitted=lambda p: [dns("." + p.host)]),
    "permitted DNS with a dot at the end": dict(permitted=lambda p: [dns(p.domain + ".")]),
    "permitted DNS empty": dict(permitted=lambda p: [dns("")]),
    "excluded DNS domain": dict(excluded=lambda p: [dns(p.domain)]),
    "excluded DNS in capitals": dict(excluded=lambda p: [dns(p.domain.upper())]),
    "excluded DNS other": dict(excluded=lambda p: [dns("other.example")]),
    "excluded DNS with a leading dot": dict(excluded=lambda p: [dns("." + p.domain)]),
    "excluded DNS empty": dict(excluded=lambda p: [dns("")]),
    "excluded DNS within permitted": dict(permitted=lambda p: [dns(p.domain)],
                                          excluded=lambda p: [dns(p.host)]),
    "permitted IP only": dict(permitted=lambda p: [address("10.0.0.0/8")]),
    "excluded IP all": dict(excluded=lambda p: [address("0.0.0.0/0"), address("::/0")]),
    "permitted directoryName": dict(
        permitted=lambda p: [directory(name(("C", "AX"), ("O", "Chains Ltd")))]),
    "permitted directoryName in capitals": dict(
        permitted=lambda p: [directory(name(("C", "ax"), ("O", "CHAINS  LTD")))]),
    "permitted directoryName of other types": dict(permitted=lambda p: [directory(
        name(("C", "AX", der.UTF8), ("O", "Chains Ltd", der.PRINTABLE)))]),
    "permitted directoryName other": dict(
        permitted=lambda p: [directory(name(("C", "AX"), ("O", "Other Ltd")))]),
    "permitted directoryName empty": dict(permitted=lambda p: [directory(name())]),
    "excluded directoryName": dict(
        excluded=lambda p: [directory(name(("C", "AX"), ("O", "chains ltd")))]),
    "excluded directoryName other": dict(
        excluded=lambda p: [directory(name(("C", "AX"), ("O", "Other Ltd")))]),
    "excluded directoryName not from the top": dict(
        excluded=lambda p: [directory(name(("O", "Chains Ltd")))]),
    "permitted email only": dict(permitted=lambda p: [email("mail.example")]),
    "permitted URI only": dict(permitted=lambda p: [uri(".example")]),
    "permitted otherName only": dict(permitted=lambda p: [other_name("1.3.6.1.4.1.99999.7")]),
    "permitted registeredID only": dict(permitted=lambda p: [registered("1.3.6.1.4.1")]),
    "excluded registeredID": dict(excluded=lambda p: [registered("1.3.6.1.4.1")]),
    "no field": dict(),
    "empty permittedSubtrees": dict(permitted=lambda p: []),
    "empty excludedSubtrees": dict(excluded=lambda p: []),
}
USES = {
    "permitted IP": dict(permitted=lambda p: [address(p.ip + "/24")], before=use_address),
    "permitted IP other": dict(permitted=lambda p: [address("10.0.0.0/8")], before=use_address),
    "permitted DNS only, leaf an address": dict(permitted=lambda p: [dns(p.domain)],
                                                before=use_address),
    "permitted IPv6 only, leaf an address": dict(permitted=lambda p: [address("::/0")],
                                                 before=use_address),
    "excluded IP": dict(excluded=lambda p: [address(p.ip + "/16")], before=use_address),
    "excluded IP other": dict(excluded=lambda p: [address("10.0.0.0/8")], before=use_address),
    "permitted IP mask with a hole": dict(
        permitted=lambda p: [address(bytes([127, 0, 0, 0, 255, 0, 255, 0]))],
        before=use_address),
    "permitted IP of 5 bytes": dict(permitted=lambda p: [address(bytes(5))], before=use_address),
    "permitted email, leaf within": dict(
        permitted=lambda p: [email("mail.example")], before=also(lambda p: email("a@mail.example"))),
    "permitted email, leaf without": dict(
        permitted=lambda p: [email("mail.example")], before=also(lambda p: email("a@other.example"))),
    "permitted email domain, leaf within": dict(
        permitted=lambda p: [email(".example")], before=also(lambda p: email("a@mail.example"))),
    "permitted email mailbox, leaf another": dict(
        permitted=lambda p: [email("a@mail.example")],
        before=also(lambda p: email("b@mail.example"))),
    "excluded email, leaf within": dict(
        excluded=lambda p: [email("mail.example")], before=also(lambda p: email("a@mail.example"))),
    "permitted email, emailAddress in the subject": dict(
        permitted=lambda p: [email("mail.example")],
        before=lambda p: setattr(p.l, "subject", p.name("leaf", ("email", "a@other.example")))),
    "permitted URI, leaf within": dict(
        permitted=lambda p: [uri(".example")], before=also(lambda p: uri("https://a.example/"))),
    "permitted URI, leaf without": dict(
        permitted=lambda p: [uri("a.example")], before=also(lambda p: uri("https://b.example/x"))),
    "excluded URI, leaf within": dict(
        excluded=lambda p: [uri("a.example")], before=also(lambda p: uri("https://a.example:8/"))),
    "permitted URI, leaf with an address": dict(
        permitted=lambda p: [uri(".example")], before=also(lambda p: uri("https://10.0.0.1/"))),
    "permitted URI, leaf without an authority": dict(
        permitted=lambda p: [uri(".example")], before=also(lambda p: uri("urn:a:b"))),
    "permitted otherName, leaf has one": dict(
        permitted=lambda p: [other_name("1.3.6.1.4.1.99999.7")],
        before=also(lambda p: other_name("1.3.6.1.4.1.99999.7"))),
    "excluded otherName, leaf has one": dict(
        excluded=lambda p: [other_name("1.3.6.1.4.1.99999.7")],
        before=also(lambda p: other_name("1.3.6.1.4.1.99999.7"))),
    "permitted registeredID, leaf has one": dict(
        permitted=lambda p: [registered("1.3.6.1.4.1")],
        before=also(lambda p: registered("1.3.6.1.4.1.99999"))),
    "permitted directoryName, leaf has another as a name": dict(
        permitted=lambda p: [directory(name(("C", "AX"), ("O", "Chains Ltd")))],
        before=also(lambda p: directory(name(("C", "AX"), ("O", "Other Ltd"))))),
    "permitted DNS, wildcard within": dict(
        permitted=lambda p: [dns(p.domain)], before=lambda p: p.san(dns("*." + p.domain))),
    "permitted DNS host, wildcard wider": dict(
        permitted=lambda p: [dns(p.host)], before=lambda p: p.san(dns("*." + p.domain))),
    "excluded DNS host, wildcard wider": dict(
        excluded=lambda p: [dns(p.host)], before=lambda p: p.san(dns("*." + p.domain))),
    "permitted DNS, second name without": dict(
        permitted=lambda p: [dns(p.domain)], before=also(lambda p: dns("other.example"))),
    "excluded DNS, second name within": dict(
        excluded=lambda p: [dns("other.example")], before=also(lambda p: dns("x.other.example"))),
}
for text, how in FORMS.items():
    for letter in CAS:
        rule("constraints", f"{ROLES[letter]} {text}", constrain(letter, **how))
    if text in ("permitted DNS other", "excluded DNS domain", "permitted registeredID only"):
        rule("constraints", f"upper CA {text}, not critical", constrain("x", critical=False, **how))
for text, how in USES.items():
    for letter in ("a", "y") if "IP" in text else ("x",):
        rule("constraints", f"{ROLES[letter]} {text}", constrain(letter, **how))
rule("constraints", "permitted twice, once without", several(
    constrain("x", permitted=lambda p: [dns("other.example")]),
    constrain("y", permitted=lambda p: [dns(p.domain)])))
rule("constraints", "permitted twice, both within", several(
    constrain("x", permitted=lambda p: [dns("example")]),
    constrain("y", permitted=lambda p: [dns(p.domain)])))
rule("constraints", "permitted above, excluded below", several(
    constrain("x", permitted=lambda p: [dns("example")]),
    constrain("y", excluded=lambda p: [dns(p.host)])))
rule("constraints", "nameConstraints in the leaf",
     constrain("l", permitted=lambda p: [dns("other.example")]))
rule("constraints", "nameConstraints is not DER", put("x", NC, b"\x30\x09\xa0", True))


def minimum(p):
    """minimum has to be 0 (4.2.1.10)."""
    subtree = der.sequence(dns(p.domain), der.context(0, b"\1", constructed=False))
    p.x.put(NC, der.sequence(der.context(0, subtree)), True)


rule("constraints", "upper CA permitted DNS with a minimum of 1", minimum)


def twin(p, where="y", twin_limit=None):
    """A self-signed certificate with the name and key of a constrained CA, and another SKI: the
    leaf names it, the constraint stands above it."""
    ca = p.level(where)
    ca.put(NC, name_constraints([dns("other.example")]), True)
    if twin_limit is not None:
        ca.put(BC, basic_constraints(True, twin_limit), True)
    below = p.path[p.path.index(ca) + 1]
    p.insert(ca, authority(ca.subject, ca.key, ca, serial=21, identifier=b"\x55" * 20), below)


rule("constraints", "self-issued twin of a constrained lower CA", twin)
rule("constraints", "self-issued twin of a constrained lower CA, pathLen 0",
     lambda p: twin(p, "y", 0))
rule("constraints", "self-issued twin of a constrained upper CA", lambda p: twin(p, "x"))


def rollover_without(p):
    """Names of a self-issued CA are not held against constraints (6.1.3 b)."""
    constrain("a", permitted=lambda q: [directory(name(("C", "AX"), ("O", "Chains Ltd")))])(p)
    p.x.subject = p.name("upper", O=("Chains Ltd", der.UTF8))
    rollover(p)


rule("constraints", "permitted directoryName above a self-issued CA", rollover_without)

# ---- critical extensions (4.2) --------------------------------------------------------------------

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
            spec.put(EKU, purposes("serverAuth"))
        if kind == NC:
            spec.put(NC, name_constraints([dns(p.domain)]), True)
        found = next(e for e in spec.extensions if e.kind == kind)
        spec.extensions.append(dataclasses.replace(found))
    label = {SAN: "subjectAltName", BC: "basicConstraints", KU: "keyUsage",
             EKU: "extendedKeyUsage", NC: "nameConstraints"}[kind]
    rule("critical", f"{ROLES[letter]} {label} twice", twice)

# ---- policies (4.2.1.4, 4.2.1.5, 4.2.1.11, 4.2.1.14) -------------------------------------------------

P1, P2 = "1.3.6.1.4.1.99999.101", "1.3.6.1.4.1.99999.102"


def policy(a=None, x=None, y=None, l=None, mapped=None, **more):
    """Policies of each level, a mapping in y; more: pc_LEVEL=(require, inhibit), any_LEVEL=skip."""
    def change(p):
        for letter, given in (("a", a), ("x", x), ("y", y), ("l", l)):
            if given:
                p.level(letter).put(POLICIES, policies(*given))
        if mapped:
            p.y.put(MAPPINGS, policy_mappings(*mapped), True)
        for key, value in more.items():
            what, _, letter = key.partition("_")
            if what == "pc":
                p.level(letter).put(PC, policy_constraints(*value), True)
            else:
                p.level(letter).put(INHIBIT_ANY, der.integer(value), True)
    return change


ANY, ONE, TWO = (ANY_POLICY,), (P1,), (P2,)
for tag, how in {
        "policies in order, none required": dict(x=ONE, y=ONE, l=ONE),
        "policies differ, none required": dict(x=ONE, y=TWO, l=ONE),
        "require 0 without policies": dict(pc_x=(0, None)),
        "require 0 in the lower CA without policies": dict(pc_y=(0, None)),
        "require 0 in the anchor without policies": dict(pc_a=(0, None)),
        "require 0 in the leaf without policies": dict(pc_l=(0, None)),
        "require 1 without policies": dict(pc_x=(1, None)),
        "require 2 without policies": dict(pc_x=(2, None)),
        "require 3 without policies": dict(pc_x=(3, None)),
        "require 0 with anyPolicy": dict(x=ANY, y=ANY, l=ANY, pc_x=(0, None)),
        "require 0 with one policy": dict(x=ONE, y=ONE, l=ONE, pc_x=(0, None)),
        "require 0 with anyPolicy above": dict(x=ANY, y=ANY, l=ONE, pc_x=(0, None)),
        "require 0 with anyPolicy below": dict(x=ONE, y=ANY, l=ANY, pc_x=(0, None)),
        "require 0 with another policy below": dict(x=ONE, y=ONE, l=TWO, pc_x=(0, None)),
        "require 0, the lower CA without": dict(x=ONE, l=ONE, pc_x=(0, None)),
        "require 0, the leaf without": dict(x=ONE, y=ONE, pc_x=(0, None)),
        "require 0, the anchor without": dict(a=TWO, x=ONE, y=ONE, l=ONE, pc_x=(0, None)),
        "require 0, mapped": dict(x=ONE, y=ONE, l=TWO, mapped=((P1, P2),), pc_x=(0, None)),
        "require 0, mapped the wrong way": dict(x=ONE, y=ONE, l=TWO, mapped=((P2, P1),),
                                                pc_x=(0, None)),
        "require 0, mapped and not used": dict(x=ONE, y=ONE, l=ONE, mapped=((P1, P2),),
                                               pc_x=(0, None)),
        "require 0, mapping inhibited": dict(x=ONE, y=ONE, l=TWO, mapped=((P1, P2),),
                                             pc_x=(0, 0)),
        "require 0, mapping inhibited from the next on": dict(
            x=ONE, y=ONE, l=TWO, mapped=((P1, P2),), pc_x=(0, 1)),
        "mapping inhibited, none required": dict(x=ONE, y=ONE, l=TWO, mapped=((P1, P2),),
                                                 pc_x=(None, 0)),
        "mapping of anyPolicy": dict(x=ONE, y=ONE, l=ONE, mapped=((ANY_POLICY, P2),)),
        "mapping to anyPolicy": dict(x=ONE, y=ONE, l=ONE, mapped=((P1, ANY_POLICY),)),
        "require 0, anyPolicy inhibited": dict(x=ANY, y=ANY, l=ANY, pc_x=(0, None), any_x=0),
        "require 0, anyPolicy inhibited after one": dict(x=ANY, y=ANY, l=ANY, pc_x=(0, None),
                                                         any_x=1),
        "require 0, anyPolicy inhibited, one policy": dict(x=ONE, y=ONE, l=ONE, pc_x=(0, None),
                                                           any_x=0),
        "anyPolicy inhibited, none required": dict(x=ANY, y=ANY, l=ANY, any_x=0),
        "require 0 in the anchor, anyPolicy": dict(a=ANY, x=ANY, y=ANY, l=ANY, pc_a=(0, None)),
        "require 5 above, 0 below": dict(pc_x=(5, None), pc_y=(0, None)),
}.items():
    rule("policy", tag, policy(**how))
rule("policy", "policyConstraints is not DER", put("x", PC, b"\x30\x03\x80\x01", True))
rule("policy", "policies twice the same", put("l", POLICIES, policies(P1, P1)))
rule("policy", "policies not DER", put("l", POLICIES, b"\x30\x04\x30\x05\x06"))
rule("policy", "policies critical", put("l", POLICIES, policies(P1), True))


def require_with_rollover(p):
    """Self-issued certificates do not count down (6.1.4 h)."""
    rollover(p)
    p.x.put(PC, policy_constraints(2), True)


rule("policy", "require 2 above a self-issued CA", require_with_rollover)

# ---- dates (4.1.2.5) ---------------------------------------------------------------------------------

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
    """The second date without its seconds (X.690 section 11.8 forbids it)."""
    first, last = der.time(NOW - DAY), NOW + 30 * DAY
    short = der.tlv(0x17, last.strftime("%y%m%d%H%MZ").encode())
    return der.sequence(unwrapped(tbs).replace(der.sequence(first, der.time(last)),
                                               der.sequence(first, short)))


rule("dates", "leaf UTCTime without seconds", fields("l", mangle_tbs=shortened))

# ---- versions, serial numbers and the rest of the form (4.1) --------------------------------------------


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
    """The outermost length in one byte more than it takes: BER, not DER."""
    assert raw[1] == 0x82
    return bytes([0x30, 0x83, 0]) + raw[2:]


rule("form", "leaf in BER lengths", fields("l", mangle=long_length))
rule("form", "lower CA in BER lengths", fields("y", mangle=long_length))
rule("form", "leaf of indefinite length", fields(
    "l", mangle=lambda raw: b"\x30\x80" + raw[4:] + b"\0\0"))


rule("form", "leaf signed in BER lengths", fields("l", mangle_tbs=long_length))
rule("form", "leaf extension critical FALSE written out", lambda p: p.l.extensions.append(
    certs.Extension(UNKNOWN, der.NULL, default_written=True)))

# ---- key identifiers (4.2.1.1, 4.2.1.2) -------------------------------------------------------------------

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

# ---- CRLs (section 5) -----------------------------------------------------------------------------------------


def crl(*lists):
    """Each is (issuer's letter, revoked letters, further fields of Crl)."""
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
