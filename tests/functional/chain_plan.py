"""One generated case: a correct path of four certificates, changed by rules.

A Plan starts as anchor a, CAs x and y and leaf l, a server's or a client's. A rule changes one
thing in it. Nothing is signed before build(), so rules can be combined. Every name and every EC key
belongs to one case: the anchors of all servers are in one trust file, those of all clients in
another.
"""

import copy
import hashlib
import ipaddress
import random

import certs
import der
from certs import EKU, authority, dns, name, purposes

RULES = {}  # tag -> (category, change(plan))


def rule(category, tag, change):
    """Rules of one category change the same fields and are never combined."""
    assert tag not in RULES, tag
    RULES[tag] = (category, change)


# Rules that keep the path as it is and can be combined with rules about its certificates.
ARRANGEMENTS = ("CAs the other way round", "each CA twice", "all twice", "leaf again at the end",
                "anchor sent", "a stranger at the end", "three strangers, shuffled",
                "cross-signed", "cross-signed in a loop, first", "cross-signed, shuffled",
                "expired twin of the lower CA first", "namesake of the lower CA first")
LARGE = "1,000 names"
# Two rules that interact: the table has a row about both.
INTERACTING = (("subjectAltName not ASCII and the host", "upper CA permitted DNS domain"),
               ("self-issued above the leaf, pathLen 0", "CRL of the lower CA alone"))


def pairs(count, seed):
    """Tags of rules of different categories: those that interact, and others, drawn at random but
    equal for equal seeds."""
    tags = sorted(tag for tag, (category, _) in RULES.items()
                  if tag != "in order" and LARGE not in tag
                  and (category != "set" or tag in ARRANGEMENTS))
    draw, chosen = random.Random(seed), set(INTERACTING)
    while len(chosen) < count:
        # An arrangement in every third pair, since only few rules are arrangements.
        one = draw.choice(ARRANGEMENTS if len(chosen) % 3 == 0 else tags)
        other = draw.choice(tags)
        if RULES[one][0] != RULES[other][0] and (other, one) not in chosen:
            chosen.add((one, other))
    return sorted(chosen)


class Plan:
    def __init__(self, ring, number, tags=(), purpose="serverAuth"):
        self.ring, self.number, self.tags, self.purpose = ring, number, tuple(tags), purpose
        self.domain = f"c{number}.example"
        self.host = f"www.{self.domain}"
        self.a = authority(self.name("anchor"), self.key("a"))
        self.x = authority(self.name("upper"), self.key("x"), self.a, serial=2)
        self.y = authority(self.name("lower"), self.key("y"), self.x, serial=3)
        self.l = self.end_entity("leaf", self.key("l"), self.y, dns(self.host), serial=4)
        self.path = [self.a, self.x, self.y, self.l]
        self.anchors = [self.a]
        self.extra = []          # more certificates, sent after the path
        self.crls = []
        self.arrange = list      # changes the list that is sent
        for tag in self.tags:
            RULES[tag][1](self)
        self.build()

    # ---- for rules ------------------------------------------------------------------------

    def key(self, what, kind="ec256"):
        """A key with its own identifier, though cases share RSA keys."""
        key = copy.copy(self.ring.get(kind, f"{self.number} {what}"))
        key.identifier = hashlib.sha1(key.spki + f"{self.number} {what}".encode()).digest()
        return key

    def name(self, role, *more, **changed):
        """The subject of a role; changed: {"O": (value, type)} instead of the usual."""
        usual = {"C": ("AX", der.PRINTABLE), "O": ("Chains Ltd", der.UTF8),
                 "CN": (f"Case {self.number} {role}", der.UTF8), **changed}
        return name(*((k, *v) for k, v in usual.items()), *more)

    def end_entity(self, role, key, issuer, *names, **fields):
        """A correct certificate for this plan's purpose."""
        spec = certs.end_entity(self.name(role), key, issuer, *names, **fields)
        return spec.put(EKU, purposes(self.purpose))

    def level(self, letter):
        return getattr(self, letter)

    @property
    def ip(self):
        """A loopback address that only this case uses."""
        n = self.number
        return f"127.{80 + n // 62500}.{n // 250 % 250 + 1}.{n % 250 + 1}"

    def san(self, *names):
        self.l.put(certs.SAN, der.sequence(*names))

    def insert(self, below, spec, issues):
        """spec, issued by `below`, comes between `below` and `issues`."""
        spec.issuer, issues.issuer = below, spec
        self.path.insert(self.path.index(below) + 1, spec)
        return spec

    def remove(self, spec):
        """Removes a CA from the path; the CA above issues what it issued."""
        for other in self.path:
            if other.issuer is spec:
                other.issuer = spec.issuer
        self.path.remove(spec)

    def other_root(self, what="other"):
        """An authority that nobody trusts."""
        return authority(self.name(f"{what} root"), self.key(what), serial=90)

    # ---- the outcome ----------------------------------------------------------------------

    def build(self):
        """sent, trusted and lists are DER from now on; key is the leaf's."""
        chosen = self.arrange([*reversed([s for s in self.path if s is not self.a]), *self.extra])
        self.sent = [s if isinstance(s, bytes) else certs.sign(s) for s in chosen]
        self.trusted = [certs.sign(s) for s in self.anchors]
        self.lists = [c.encode() for c in self.crls]
        self.key_of_leaf = self.l.key

    @property
    def is_client(self):
        return self.purpose == "clientAuth"

    @property
    def expected_host(self):
        """The name that the leaf must have, None for a client."""
        return None if self.is_client else self.host

    @property
    def is_address(self):
        try:
            return bool(ipaddress.ip_address(self.host))
        except ValueError:
            return False
