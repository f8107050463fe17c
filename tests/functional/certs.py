"""Certificates and CRLs with one thing wrong at a time.

A Spec describes one certificate; sign() turns it into DER. EC keys come from a seed, RSA keys are
made once per run; a Ring holds them. A library makes the signatures only.
"""

import dataclasses
import datetime
import hashlib
import ipaddress
import random

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

import der

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)

ATTRIBUTES = {"CN": "2.5.4.3", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6",
              "DC": "0.9.2342.19200300.100.1.25", "email": "1.2.840.113549.1.9.1"}
SKI, KU, SAN, BC, NC = "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30"
POLICIES, MAPPINGS, AKI, PC, EKU = ("2.5.29.32", "2.5.29.33", "2.5.29.35", "2.5.29.36",
                                    "2.5.29.37")
INHIBIT_ANY, CRL_NUMBER, CRL_POINT = "2.5.29.54", "2.5.29.20", "2.5.29.31"
ANY_POLICY = "2.5.29.32.0"
PURPOSES = {"any": "2.5.29.37.0", "serverAuth": "1.3.6.1.5.5.7.3.1",
            "clientAuth": "1.3.6.1.5.5.7.3.2", "codeSigning": "1.3.6.1.5.5.7.3.3",
            "emailProtection": "1.3.6.1.5.5.7.3.4", "timeStamping": "1.3.6.1.5.5.7.3.8",
            "OCSPSigning": "1.3.6.1.5.5.7.3.9", "unknown": "1.3.6.1.4.1.99999.1"}
USAGES = ("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
          "keyAgreement", "keyCertSign", "cRLSign")
HASHES = {"md5": (hashes.MD5(), "1.2.840.113549.2.5"), "sha1": (hashes.SHA1(), "1.3.14.3.2.26"),
          "sha224": (hashes.SHA224(), "2.16.840.1.101.3.4.2.4"),
          "sha256": (hashes.SHA256(), "2.16.840.1.101.3.4.2.1"),
          "sha384": (hashes.SHA384(), "2.16.840.1.101.3.4.2.2"),
          "sha512": (hashes.SHA512(), "2.16.840.1.101.3.4.2.3")}
RSA_SIGNATURES = {"md5": 4, "sha1": 5, "sha224": 14, "sha256": 11, "sha384": 12, "sha512": 13}
ECDSA_SIGNATURES = {"sha1": "1.2.840.10045.4.1", "sha224": "1.2.840.10045.4.3.1",
                    "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3",
                    "sha512": "1.2.840.10045.4.3.4"}
RSA_ENCRYPTION, RSA_PSS = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"
CURVES = {"ec192": ec.SECP192R1(), "ec224": ec.SECP224R1(), "ec256": ec.SECP256R1(),
          "ec384": ec.SECP384R1(), "ec521": ec.SECP521R1(), "ec256k1": ec.SECP256K1(),
          "brainpool256": ec.BrainpoolP256R1()}


# ---- keys ---------------------------------------------------------------------------------

class Key:
    def __init__(self, kind, private, spki=None):
        self.kind, self.private = kind, private
        self.spki = spki or private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.identifier = hashlib.sha1(self.spki).digest()  # RFC 5280 section 4.2.1.2: any value

    def sign(self, data, digest, pss_salt=None):
        if self.kind == "ed25519":
            return self.private.sign(data)
        algorithm = HASHES[digest][0]
        if self.kind in CURVES:
            return self.private.sign(data, ec.ECDSA(algorithm))
        if pss_salt is not None:
            return self.private.sign(data, padding.PSS(padding.MGF1(algorithm), pss_salt),
                                     algorithm)
        return self.private.sign(data, padding.PKCS1v15(), algorithm)


class BigExponent(Key):
    """An RSA key with a public exponent that no library makes: signs by arithmetic."""

    def __init__(self, exponent, base):
        numbers = base.private_numbers()
        self.modulus = numbers.public_numbers.n
        phi = (numbers.p - 1) * (numbers.q - 1)
        while True:
            try:
                self.secret = pow(exponent, -1, phi)
                break
            except ValueError:
                exponent += 2
        super().__init__("rsa2048", None, rsa_spki(self.modulus, exponent))

    def sign(self, data, digest, pss_salt=None):
        assert pss_salt is None
        size = (self.modulus.bit_length() + 7) // 8
        info = der.sequence(der.sequence(der.oid(HASHES[digest][1]), der.NULL),
                            der.octets(hashlib.new(digest, data).digest()))
        block = b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
        return pow(int.from_bytes(block, "big"), self.secret, self.modulus).to_bytes(size, "big")


def rsa_spki(modulus, exponent, algorithm=None):
    return der.sequence(algorithm or der.sequence(der.oid(RSA_ENCRYPTION), der.NULL),
                        der.bits(der.sequence(der.integer(modulus), der.integer(exponent))))


def pss_algorithm(digest, salt):
    """RSASSA-PSS with its parameters (RFC 4055 section 3.1); digest None omits them."""
    if digest is None:
        return der.sequence(der.oid(RSA_PSS))
    algorithm = der.sequence(der.oid(HASHES[digest][1]), der.NULL)
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), algorithm)
    return der.sequence(der.oid(RSA_PSS), der.sequence(
        der.context(0, algorithm), der.context(1, mask), der.context(2, der.integer(salt))))


class Ring:
    """The keys of a run. Each EC key has its own name; the few RSA keys are shared."""

    def __init__(self, seed):
        self.seed, self._rsa = seed, {}

    def get(self, kind, name):
        if kind == "ed25519":
            return Key(kind, ed25519.Ed25519PrivateKey.from_private_bytes(
                hashlib.sha256(f"{self.seed} {name}".encode()).digest()))
        if kind in CURVES:
            size = CURVES[kind].key_size - 1
            number = random.Random(f"{self.seed} {kind} {name}").getrandbits(size) | 1
            return Key(kind, ec.derive_private_key(number, CURVES[kind]))
        if kind not in self._rsa:
            self._rsa[kind] = self._make_rsa(kind)
        return self._rsa[kind]

    def _make_rsa(self, kind):
        """rsaBITS, rsaBITS-e3, rsaBITS-copy; pss, pss-sha256, pss-sha1; e-64, e-65, e-full."""
        if kind.startswith("pss"):
            digest = kind.partition("-")[2] or None
            base = self.get("rsa2048", None).private
            public = base.public_key().public_numbers()
            return Key(kind, base, rsa_spki(
                public.n, public.e, pss_algorithm(digest, hashes_size(digest))))
        if kind.startswith("e-"):
            base = self.get("rsa2048", None).private
            exponent = {"e-31": (1 << 31) - 1, "e-64": (1 << 63) + 29, "e-65": (1 << 64) + 1,
                        "e-full": base.public_key().public_numbers().n - 2}[kind]
            return BigExponent(exponent, base)
        size, _, variant = kind[3:].partition("-")
        private = rsa.generate_private_key(3 if variant == "e3" else 65537, int(size))
        return Key(f"rsa{size}", private)


def hashes_size(digest):
    return HASHES[digest][0].digest_size if digest else 0


# ---- names and general names ----------------------------------------------------------------

def name(*attributes):
    """name(("O", "x"), ("CN", "y", der.PRINTABLE), ...): one attribute per RDN."""
    rdns = []
    for kind, value, *tag in attributes:
        usual = der.IA5 if kind in ("DC", "email") else der.PRINTABLE if kind == "C" else der.UTF8
        rdns.append(der.set_of(der.sequence(der.oid(ATTRIBUTES[kind]),
                                            der.string(value, tag[0] if tag else usual))))
    return der.sequence(*rdns)


def dns(text):
    return der.context(2, text if isinstance(text, bytes) else text.encode(), constructed=False)


def email(text):
    return der.context(1, text.encode(), constructed=False)


def uri(text):
    return der.context(6, text.encode(), constructed=False)


def address(text):
    """An address, or a network as its address and mask (RFC 5280 section 4.2.1.10)."""
    if isinstance(text, bytes):
        return der.context(7, text, constructed=False)
    if "/" in text:
        net = ipaddress.ip_network(text, strict=False)
        return der.context(7, net.network_address.packed + net.netmask.packed, constructed=False)
    return der.context(7, ipaddress.ip_address(text).packed, constructed=False)


def directory(encoded):
    return der.context(4, encoded)


def registered(dotted):
    return der.context(8, der.oid(dotted)[2:], constructed=False)


def other_name(dotted, value=None):
    return der.context(0, der.oid(dotted), der.context(0, value or der.string("someone")))


# ---- extensions ------------------------------------------------------------------------------

@dataclasses.dataclass
class Extension:
    kind: str
    value: bytes
    critical: bool = False
    default_written: bool = False  # DEFAULT FALSE encoded explicitly: not DER

    def encode(self):
        written = self.critical or self.default_written
        return der.sequence(der.oid(self.kind), der.boolean(self.critical) if written else b"",
                            der.octets(self.value))


def basic_constraints(ca, path_length=None):
    return der.sequence(der.boolean(True) if ca else b"",
                        b"" if path_length is None else der.integer(path_length))


def key_usage(*names):
    return der.named_bits([USAGES.index(n) for n in names])


def purposes(*names):
    return der.sequence(*(der.oid(PURPOSES[n]) for n in names))


def name_constraints(permitted=None, excluded=None):
    """Lists of general names; None omits the field, [] is an empty list."""
    parts = []
    for number, bases in ((0, permitted), (1, excluded)):
        if bases is not None:
            parts.append(der.context(number, *(der.sequence(b) for b in bases)))
    return der.sequence(*parts)


def policies(*dotted):
    return der.sequence(*(der.sequence(der.oid(d)) for d in dotted))


def policy_mappings(*pairs):
    return der.sequence(*(der.sequence(der.oid(a), der.oid(b)) for a, b in pairs))


def policy_constraints(require=None, inhibit=None):
    return der.sequence(*(der.context(number, der.integer(value)[2:], constructed=False)
                          for number, value in ((0, require), (1, inhibit)) if value is not None))


def key_identifier(identifier=None, issuer=None, serial=None):
    """authorityKeyIdentifier with any of its three fields."""
    parts = []
    if identifier is not None:
        parts.append(der.context(0, identifier, constructed=False))
    if issuer is not None:
        parts.append(der.context(1, directory(issuer)))
        parts.append(der.context(2, der.integer(serial)[2:], constructed=False))
    return der.sequence(*parts)


# ---- certificates ----------------------------------------------------------------------------

@dataclasses.dataclass(eq=False)
class Spec:
    """The content of one certificate. issuer is the Spec that signs (None: itself)."""

    subject: bytes
    key: Key
    issuer: "Spec" = None
    serial: int = 1
    version: int = 2                     # v3 is 2; None omits the field, which means v1
    not_before: datetime.datetime = NOW - DAY
    not_after: datetime.datetime = NOW + 30 * DAY
    generalized: bool = None             # both dates as GeneralizedTime
    digest: str = "sha256"
    pss_salt: int = None                 # RSA issuers: PSS instead of PKCS#1
    issuer_name: bytes = None            # other than the issuer's subject
    signer: Key = None                   # other than the issuer's key
    identifier: bytes = None             # subjectKeyIdentifier other than the key's
    inner_algorithm: bytes = None        # other than the outer one
    extensions: list = dataclasses.field(default_factory=list)
    mangle_tbs: object = None            # bytes -> bytes before the signature
    mangle: object = None                # bytes -> bytes of the finished certificate
    unique_ids: bool = False
    encoded: bytes = None                # sign() stores its result here

    def put(self, kind, value, critical=False):
        """Replaces the extension of this kind in place, or adds it."""
        for extension in self.extensions:
            if extension.kind == kind:
                extension.value, extension.critical = value, critical
                return self
        self.extensions.append(Extension(kind, value, critical))
        return self

    def add(self, kind, value, critical=False):
        self.extensions.append(Extension(kind, value, critical))
        return self

    def drop(self, kind):
        self.extensions = [e for e in self.extensions if e.kind != kind]
        return self

    def own_identifier(self):
        return self.identifier or self.key.identifier


def algorithm(key, digest, pss_salt):
    if key.kind == "ed25519":
        return der.sequence(der.oid("1.3.101.112"))
    if key.kind in CURVES:
        return der.sequence(der.oid(ECDSA_SIGNATURES[digest]))
    if pss_salt is not None:
        return pss_algorithm(digest, pss_salt)
    return der.sequence(der.oid(f"1.2.840.113549.1.1.{RSA_SIGNATURES[digest]}"), der.NULL)


def sign(spec):
    """The certificate as DER; extensions whose value is a function get the Spec."""
    if spec.encoded is not None:
        return spec.encoded
    issuer = spec.issuer or spec
    signer = spec.signer or issuer.key
    salt = spec.pss_salt
    if signer.kind.startswith("pss") and salt is None:
        salt = 32
    outer = algorithm(signer, spec.digest, salt)
    extensions = b"".join(
        dataclasses.replace(e, value=e.value(spec)).encode() if callable(e.value) else e.encode()
        for e in spec.extensions)
    tbs = der.sequence(
        b"" if spec.version is None else der.context(0, der.integer(spec.version)),
        der.integer(spec.serial), spec.inner_algorithm or outer,
        spec.issuer_name or issuer.subject,
        der.sequence(der.time(spec.not_before, spec.generalized),
                     der.time(spec.not_after, spec.generalized)),
        spec.subject, spec.key.spki,
        der.tlv(0x81, b"\0\1") if spec.unique_ids else b"",
        der.context(3, der.sequence(extensions)) if spec.extensions else b"")
    if spec.mangle_tbs:
        tbs = spec.mangle_tbs(tbs)
    made = der.sequence(tbs, outer, der.bits(signer.sign(tbs, spec.digest, salt)))
    spec.encoded = spec.mangle(made) if spec.mangle else made
    return spec.encoded


def usual_identifiers(spec):
    """SKI, and AKI if another key signs: functions, since issuers may still change."""
    spec.put(SKI, lambda s: der.octets(s.own_identifier()))
    if spec.issuer:
        spec.put(AKI, lambda s: key_identifier((s.issuer or s).own_identifier()))
    return spec


def authority(subject, key, issuer=None, **fields):
    """A correct CA."""
    spec = Spec(subject, key, issuer, not_after=NOW + 3650 * DAY, **fields)
    spec.put(BC, basic_constraints(True), critical=True)
    spec.put(KU, key_usage("keyCertSign", "cRLSign"), critical=True)
    return usual_identifiers(spec)


def end_entity(subject, key, issuer, *names, **fields):
    """A correct server certificate for these general names."""
    spec = Spec(subject, key, issuer, **fields)
    spec.put(BC, basic_constraints(False), critical=True)
    spec.put(KU, key_usage("digitalSignature"), critical=True)
    spec.put(EKU, purposes("serverAuth"))
    usual_identifiers(spec)
    if names:
        spec.put(SAN, der.sequence(*names))
    return spec


# ---- CRLs ------------------------------------------------------------------------------------

@dataclasses.dataclass(eq=False)
class Crl:
    """A CRL of issuer. revoked: serial numbers."""

    issuer: Spec
    revoked: tuple = ()
    this_update: datetime.datetime = NOW - DAY
    next_update: datetime.datetime = NOW + 10 * DAY
    signer: Key = None
    issuer_name: bytes = None
    digest: str = "sha256"
    extensions: tuple = ()

    def encode(self):
        signer = self.signer or self.issuer.key
        outer = algorithm(signer, self.digest, None)
        entries = b"".join(der.sequence(der.integer(s), der.time(self.this_update))
                           for s in self.revoked)
        more = (Extension(CRL_NUMBER, der.integer(1)),
                Extension(AKI, key_identifier(self.issuer.own_identifier())), *self.extensions)
        tbs = der.sequence(
            der.integer(1), outer, self.issuer_name or self.issuer.subject,
            der.time(self.this_update), der.time(self.next_update),
            der.sequence(entries) if entries else b"",
            der.context(0, der.sequence(*(e.encode() for e in more))))
        return der.sequence(tbs, outer, der.bits(signer.sign(tbs, self.digest)))
