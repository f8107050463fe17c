"""Where OpenSSL, GnuTLS and Go differ on a rule, or the gate is stricter: its verdict, and why.

One row per class; fnmatch matches the rule's tag. A row is about chains of servers and of clients,
unless it names one purpose. For a rule without a row all three verdicts are equal, and the gate
agrees.
"""

import collections
import fnmatch

Row = collections.namedtuple("Row", "gate patterns reason purpose", defaults=(None,))
ACCEPT, REFUSE = "accept", "refuse"
SERVER, CLIENT = "serverAuth", "clientAuth"
ANCHOR_PURPOSE = ("policy: extendedKeyUsage of every CA counts, the anchor's as well; GnuTLS skips "
                  "it")

TABLE = (
    # ---- keys and signatures: policy ---------------------------------------------------------
    Row(REFUSE, ("* key rsa1024", "* key rsa2047", "leaf pinned, RSA 1024"),
        "policy: RSA of 2048 bits or more; Go has no lower bound, OpenSSL takes 2047 for 2048"),
    Row(REFUSE, ("* key ec224", "* key ec192", "* key ec256k1", "* key brainpool256",
                 "* key ed25519"),
        "policy: ECDSA with secp256r1, secp384r1, secp521r1, or RSA"),
    Row(ACCEPT, ("anchor signature *", "anchor sent along, signed with SHA-1",
                 "leaf pinned, signed with SHA-1"),
        "an anchor's own signature proves nothing and is not read (RFC 5280 section 6.1.1 d)"),
    Row(REFUSE, ("* signature * sha224", "* signature * sha1", "* signature rsa md5"),
        "policy: signatures with SHA-256 or better"),
    Row(REFUSE, ("leaf key pss-sha1",),
        "RFC 4055 section 1.2: such a key signs with SHA-1 only"),
    Row(ACCEPT, ("anchor key pss", "anchor key pss-sha256", "lower CA key pss",
                 "lower CA key pss-sha256", "lower CA PSS key signs sha384"),
        "RFC 4055 section 1.2: an RSA-PSS key signs certificates; Go does not know such keys"),
    Row(ACCEPT, ("leaf signature pss sha256 without salt",
                 "leaf signature pss sha256 salt of 64 bytes"),
        "RFC 4055 section 3.1 bounds no salt; GnuTLS and Go want the length of the hash"),
    Row(ACCEPT, ("* key e-64",), "exponents up to 64 bits; Go wants 31"),
    Row(REFUSE, ("* key e-65", "* key e-full"),
        "policy: exponents above 64 bits are refused before any arithmetic"),
    Row(REFUSE, ("leaf key pss", "leaf key pss-sha256"),
        "the TLS library offers no rsa_pss_pss scheme, so no handshake comes about (README)"),
    Row(REFUSE, ("leaf serial of 60 bytes",),
        "RFC 5280 section 4.1.2.2: at most 20 octets; the TLS library reads up to 32"),
    Row(REFUSE, ("leaf key as a compressed point",), "RFC 8422 section 5.1.2: uncompressed only"),

    # ---- CAs ---------------------------------------------------------------------------------
    Row(REFUSE, ("anchor without basicConstraints",),
        "policy: an anchor issues only if it is a CA (RFC 5280 section 4.2.1.9)"),
    Row(ACCEPT, ("* pathLen 2^40",), "RFC 5280 section 4.2.1.9: INTEGER (0..MAX)"),
    Row(REFUSE, ("* pathLen -1",), "RFC 5280 section 4.2.1.9: INTEGER (0..MAX)"),
    Row(ACCEPT, ("lower CA CA:TRUE is 01",), "any octet but 0 is TRUE; Go alone insists on DER"),
    Row(ACCEPT, ("self-issued between CAs, pathLen 1 above",
                 "self-issued between CAs, anchor pathLen 2",
                 "self-issued above the leaf, pathLen 0", "self-issued of the anchor, pathLen 2"),
        "RFC 5280 section 6.1.4 l: self-issued certificates do not count"),
    Row(REFUSE, ("* keyUsage empty",), "RFC 5280 section 6.1.4 n: present without keyCertSign"),
    Row(REFUSE, ("leaf keyUsage * alone", "leaf last"),
        "RFC 8422 section 2, RFC 5246 sections 7.4.2 and 7.4.8: the key signs the key exchange or "
        "CertificateVerify, so digitalSignature is needed; the three do not know what it signs"),
    Row(REFUSE, ("* extendedKeyUsage empty",),
        "RFC 5280 section 4.2.1.12: SIZE (1..MAX), and it names no purpose"),
    Row(ACCEPT, ("* extendedKeyUsage any", "* extendedKeyUsage clientAuth any",
                 "* extendedKeyUsage critical any"),
        "RFC 5280 section 4.2.1.12: anyExtendedKeyUsage is every purpose"),
    Row(REFUSE, ("anchor extendedKeyUsage emailProtection", "anchor extendedKeyUsage codeSigning",
                 "anchor extendedKeyUsage unknown", "anchor extendedKeyUsage *timeStamping"),
        ANCHOR_PURPOSE),
    Row(REFUSE, ("anchor extendedKeyUsage clientAuth",
                 "anchor extendedKeyUsage critical clientAuth"),
        ANCHOR_PURPOSE, SERVER),
    Row(REFUSE, ("anchor extendedKeyUsage serverAuth",
                 "anchor extendedKeyUsage critical serverAuth"),
        ANCHOR_PURPOSE, CLIENT),

    # ---- name constraints --------------------------------------------------------------------
    Row(REFUSE, ("* permitted DNS with a dot at the end",),
        "RFC 5280 section 4.2.1.10, RFC 1034 section 3.5: no preferred name syntax"),
    Row(REFUSE, ("* permitted directoryName other", "* leaf has another as a name"),
        "RFC 5280 section 4.2.1.10: outside the permitted subtree; GnuTLS leaves it out"),
    Row(ACCEPT, ("*permitted directoryName*", "* excluded directoryName other",
                 "* excluded directoryName not from the top"),
        "RFC 5280 sections 4.2.1.10 and 7.1; Go does not process directoryName"),
    Row(ACCEPT, ("* permitted otherName only", "* permitted registeredID only*",
                 "* excluded registeredID"),
        "RFC 5280 section 4.2.1.10: constrains only names of that form, and there are none"),
    Row(REFUSE, ("* CA no field", "anchor no field", "* empty permittedSubtrees",
                 "* empty excludedSubtrees"),
        "RFC 5280 section 4.2.1.10: GeneralSubtrees are SIZE (1..MAX), one of them is there"),
    Row(REFUSE, ("* excluded DNS host, wildcard wider",),
        "policy: a wildcard that covers an excluded name; Go learnt it later (CVE-2025-61727)"),
    Row(ACCEPT, ("* permitted DNS only, leaf an address",),
        "RFC 5280 section 4.2.1.10: constrains only names of that form; GnuTLS refuses"),
    Row(REFUSE, ("* permitted IPv6 only, leaf an address",),
        "RFC 5280 section 4.2.1.10: one form, iPAddress, and the address is outside"),
    Row(REFUSE, ("* permitted email, emailAddress in the subject",),
        "RFC 5280 section 4.2.1.10: an address in the subject is constrained too; Go skips it"),
    Row(REFUSE, ("* permitted URI, leaf without", "* permitted URI, leaf with an address",
                 "* permitted URI, leaf without an authority"),
        "RFC 5280 section 4.2.1.10: outside, or no host name at all; GnuTLS skips URIs"),
    Row(REFUSE, ("* permitted DNS with a minimum of 1",),
        "RFC 5280 section 4.2.1.10: minimum is 0"),

    # ---- extensions and policies -------------------------------------------------------------
    Row(REFUSE, ("leaf critical authorityInfoAccess", "leaf critical issuerAltName",
                 "leaf critical nsCertType", "leaf critical TLS feature"),
        "RFC 5280 section 4.2: critical and not processed here"),
    Row(ACCEPT, ("leaf nsCertType",),
        "a server's by Netscape's extension, which extendedKeyUsage replaces; OpenSSL reads it",
        CLIENT),
    Row(ACCEPT, ("leaf critical authorityKeyIdentifier", "leaf critical subjectKeyIdentifier"),
        "RFC 5280 section 4.2.1.1 forbids it to the issuer; it is processed here; OpenSSL refuses"),
    Row(ACCEPT, ("require *", "mapping inhibited, none required",
                 "anyPolicy inhibited, none required"),
        "RFC 5280 section 6.1.3 d to f; GnuTLS and Go do not know these extensions"),
    Row(ACCEPT, ("policies twice the same",),
        "RFC 5280 section 4.2.1.4 forbids it to the issuer; nothing is demanded of them here"),
    Row(REFUSE, ("policies not DER",), "RFC 5280 section 4.2.1.4: well-formed"),

    # ---- form --------------------------------------------------------------------------------
    Row(REFUSE, ("leaf UTCTime without seconds",),
        "RFC 5280 section 4.1.2.5.1: seconds are included"),
    Row(REFUSE, ("* version 1 with extensions",), "RFC 5280 section 4.1.2.9: only in version 3"),
    Row(REFUSE, ("leaf version 4",), "RFC 5280 section 4.1.2.1: v1, v2 and v3"),
    Row(REFUSE, ("* followed by a byte", "* in BER lengths", "leaf of indefinite length"),
        "RFC 5280 section 4.1: DER, and nothing after it"),
    Row(ACCEPT, ("* authorityKeyIdentifier of another key", "leaf authorityKeyIdentifier by *"),
        "RFC 5280 section 4.2.1.1: a help to find the issuer; the signature decides (6.1.3 a 1)"),
    Row(REFUSE, ("leaf authorityKeyIdentifier not DER",), "RFC 5280 section 4.2: DER"),

    # ---- CRLs --------------------------------------------------------------------------------
    Row(REFUSE, ("CRL* leaf revoked*", "CRL* CA revoked"),
        "RFC 5280 section 6.3; Go reads no CRL, and not everyone reads two of one issuer"),
    Row(REFUSE, ("CRLs of all, that of *", "CRLs of all, issuer may not sign CRLs",
                 "CRLs of all, critical extension", "CRLs of all, SHA-1"),
        "policy: an issuer with a CRL here needs a current one that verifies (SHA-256 or better)"),
    Row(ACCEPT, ("CRL of the lower CA alone", "CRL of the anchor alone, another serial revoked"),
        "policy: only issuers that have a CRL here are asked; OpenSSL was told to ask all"),

    # ---- names of issuers --------------------------------------------------------------------
    Row(ACCEPT, ("* named in *", "* named with *", "lower CA accents, UTF8String and *",
                 "lower CA domain components in other case"),
        "RFC 5280 sections 7.1 and 7.3; GnuTLS and Go compare bytes or nearly"),
    Row(REFUSE, ("lower CA two attributes in one RDN, other order",),
        "X.690 section 11.6: a SET OF is sorted in DER; the TLS library reads no other"),
    Row(REFUSE, ("lower CA not UTF-8, same bytes", "lower CA BMPString of odd length"),
        "not a string of its type (RFC 5280 section 4.1.2.4, X.690 section 8.23)"),

    # ---- the leaf's names --------------------------------------------------------------------
    Row(REFUSE, ("subjectAltName wildcard at the * of a label",),
        "RFC 9525 section 6.3: a wildcard is the whole left-most label", SERVER),
    Row(REFUSE, ("subjectAltName wildcard directly below a top-level domain",),
        "policy: a wildcard needs two labels after it", SERVER),
    Row(REFUSE, ("subjectAltName common name only", "subjectAltName host in the common name, an *"),
        "RFC 9525 section 2: the common name is not used", SERVER),
    Row(ACCEPT, ("subjectAltName an empty name and the host",
                 "subjectAltName not ASCII and the host",
                 "subjectAltName unknown form beside the host"),
        "RFC 9525 section 6.1: one name that matches is enough"),
    Row(ACCEPT, ("subjectAltName address of 5 bytes *",),
        "RFC 9525 section 6.1: one name that matches is enough; this one never does"),
    Row(REFUSE, ("subjectAltName address of 16 bytes, mapped",),
        "RFC 9525 section 6.4: octet for octet", SERVER),
    Row(ACCEPT, ("subjectAltName U-label in UTF-8", "subjectAltName an empty name",
                 "subjectAltName network for the address"),
        "a client's names are not read unless a CA constrains them", CLIENT),
    Row(REFUSE, ("subjectAltName empty",), "RFC 5280 section 4.2.1.6: SIZE (1..MAX)"),

    # ---- what is sent ------------------------------------------------------------------------
    Row(REFUSE, ("not a certificate at the end", "an empty entry at the end"),
        "RFC 5246 section 7.4.2: a list of certificates; openssl verify passes over it in a file"),
    Row(ACCEPT, ("cross-signed*", "expired twin of the lower CA first",
                 "*namesake*", "lower CA is the anchor"),
        "there is a path to an anchor, whatever else is sent"),
    Row(ACCEPT, ("leaf pinned", "leaf pinned, alone", "leaf pinned, self-signed",
                 "leaf pinned, another host"),
        "policy: a leaf that equals an anchor byte for byte passes"),

    # ---- two rules that interact -------------------------------------------------------------
    Row(REFUSE, ("subjectAltName not ASCII and the host + * permitted DNS *",
                 "subjectAltName an empty name and the host + * permitted DNS *"),
        "RFC 5280 section 4.2.1.10: every name is held against the constraint, and this is none"),
    Row(REFUSE, ("self-issued above the leaf, pathLen 0 + CRL* of the lower CA *",),
        "policy: the CRL of that name does not verify with the key that issued the leaf"),
)


def matching(tags, purpose, *, together):
    """The rows that match one of these tags; together: those about two rules."""
    return [row for row in TABLE if row.purpose in (None, purpose)
            and any(fnmatch.fnmatchcase(tag, p) for p in row.patterns if ("+" in p) == together
                    for tag in tags)]


def rows(tags, purpose):
    """The rows of one or two rules, the first of each; a row about both comes first and alone."""
    both = matching((" + ".join(tags), " + ".join(tags[::-1])), purpose, together=True)
    return both[:1] or [row for tag in tags
                        for row in matching((tag,), purpose, together=False)[:1]]


# The code of a refusal, for the rules that allow only one.
CODES = {
    "upstream_revocation_unknown": ("CRLs of all, that of *", "CRLs of all, SHA-1"),
    "upstream_certificate_expired": ("* expired", "* expired a second ago",
                                     "leaf ends before it begins"),
    "upstream_certificate_not_yet_valid": ("* not yet valid",),
    "upstream_certificate_weak": ("* key rsa1024", "* key rsa2047", "* key ec224",
                                  "* signature * sha1", "* signature * sha224"),
    "upstream_certificate_revoked": ("CRL* leaf revoked*", "CRL* CA revoked"),
    "upstream_certificate_untrusted": (
        "nothing trusted", "leaf self-signed, not pinned", "upper CA left out",
        "lower CA left out", "leaf alone", "anchor named with another word"),
    "upstream_certificate_name_mismatch": (
        "subjectAltName wildcard *", "subjectAltName other host", "subjectAltName common *",
        "subjectAltName host in *", "subjectAltName another *", "leaf pinned, another host"),
}
# The same of clients: the code, and what the record says about the certificate.
INVALID = "client_certificate_invalid: It"
CLIENT_NAMES = {
    "upstream_revocation_unknown": "client_revocation_unknown",
    "upstream_certificate_expired": f"{INVALID}, or a CA above it, has expired.",
    "upstream_certificate_not_yet_valid": f"{INVALID}, or a CA above it, is not yet valid.",
    "upstream_certificate_weak":
        f"{INVALID}, or a CA above it, has a key or a signature that the policy does not allow.",
    "upstream_certificate_revoked": f"{INVALID}, or a CA above it, is revoked.",
    "upstream_certificate_untrusted": f"{INVALID} comes from no CA in client_ca.",
}
# The path is valid, but the TLS library cannot read the leaf's key, or nobody the message.
KEY_UNREAD = ("leaf serial of 60 bytes", "leaf key as a compressed point",
              "lower CA two attributes in one RDN, other order")
MESSAGE_UNREAD = ("an empty entry at the end",)
REFUSALS = {SERVER: {*CODES, "upstream_certificate_invalid", "upstream_no_approved_suite"},
            CLIENT: {"client_certificate_required", "client_certificate_invalid",
                     "client_revocation_unknown"}}


def name_of(tag, purpose):
    """What a refusal by this rule must be called, or None if several names are possible."""
    if purpose == CLIENT and tag in MESSAGE_UNREAD:
        return "client_handshake_failed"
    if purpose == CLIENT and tag in KEY_UNREAD:
        return (f"{INVALID}s key is not proved to be the client's: the signature is wrong, or the "
                "key cannot be read.")
    code = next((code for code, patterns in CODES.items()
                 if any(fnmatch.fnmatchcase(tag, p) for p in patterns)), None)
    return code if purpose == SERVER else CLIENT_NAMES.get(code)


def may_be_called(said, tags, purpose):
    """Whether a refusal of a chain with these rules may be called so."""
    names = {name_of(tag, purpose) for tag in tags} - {None}
    if names and len(tags) == 1:
        return said in names
    return said.partition(":")[0] in REFUSALS[purpose] or said in names
