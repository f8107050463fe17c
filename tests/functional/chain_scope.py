"""The rules for path validation, continued: name constraints and policies (RFC 5280 sections
4.2.1.10 to 4.2.1.14)."""

import der
from certs import (ANY_POLICY, BC, INHIBIT_ANY, MAPPINGS, NC, PC, POLICIES, address, authority,
                   basic_constraints, directory, dns, email, name, name_constraints, other_name,
                   policies, policy_constraints, policy_mappings, registered, uri)
from chain_plan import rule
from chain_rules import CAS, ROLES, nothing, put, rollover, several

# ---- nameConstraints (4.2.1.10) --------------------------------------------------------------


def constrain(letter, permitted=None, excluded=None, critical=True, before=nothing):
    """permitted and excluded are functions of the plan that return lists, or None."""
    def change(p):
        before(p)
        p.level(letter).put(NC, name_constraints(permitted and permitted(p),
                                                 excluded and excluded(p)), critical)
    return change


def also(*more):
    """Adds these names to the leaf; names are functions of the plan."""
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
        permitted=lambda p: [email("mail.example")],
        before=also(lambda p: email("a@mail.example"))),
    "permitted email, leaf without": dict(
        permitted=lambda p: [email("mail.example")],
        before=also(lambda p: email("a@other.example"))),
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
    """A self-signed certificate with the name and key of a constrained CA, but another SKI. The
    leaf refers to it; the constraint is above it."""
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
    """Constraints do not apply to names of a self-issued CA (6.1.3 b)."""
    constrain("a", permitted=lambda q: [directory(name(("C", "AX"), ("O", "Chains Ltd")))])(p)
    p.x.subject = p.name("upper", O=("Chains Ltd", der.UTF8))
    rollover(p)


rule("constraints", "permitted directoryName above a self-issued CA", rollover_without)

# ---- policies (4.2.1.4, 4.2.1.5, 4.2.1.11, 4.2.1.14) -----------------------------------------

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
