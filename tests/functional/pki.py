"""Certificates for the upstreams of these tests, minted with the openssl command line.

Pki(dir) owns everything under dir. It mints a certificate when it is first asked for, and each
name once. It uses `openssl ca` throughout because only that sets exact start and end times and
keeps the database for CRLs.
"""

import datetime
import pathlib
import shutil
import subprocess

LOOPBACK = ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
DAY = 24 * 3600


def openssl(*args, **kwargs):
    done = subprocess.run(
        ["openssl", *map(str, args)], capture_output=True, stdin=subprocess.DEVNULL, **kwargs
    )
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def asn1_time(seconds):
    """The time `seconds` from now, in the form that `openssl ca` takes."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y%m%d%H%M%SZ")


# What nearly every test file needs, made once for all of them by .make/functional.py.
TEMPLATE = None
ORIGIN = (*LOOPBACK, "DNS:*.example.test")


def prepare(directory):
    """A Pki with the usual certificates."""
    pki = Pki(directory)
    pki.leaf("origin-ec", san=ORIGIN)
    pki.leaf("origin-rsa", san=ORIGIN, key="rsa2048")
    assert pki.ec and pki.rsa
    return pki


class Issuer:
    """A CA: its certificate, its key and its `openssl ca` database."""

    def __init__(self, name, home, cert, key, chain):
        self.name, self.home, self.cert, self.key = name, home, cert, key
        self.chain = chain  # certificates to send after the leaf, nearest first, no root

    @property
    def config(self):
        return self.home / "ca.cnf"


class Leaf:
    """cert is the leaf alone, chain the leaf with its intermediates, key its private key."""

    def __init__(self, name, cert, chain, key):
        self.name, self.cert, self.chain, self.key = name, cert, chain, key

    @property
    def der(self):
        return openssl("x509", "-in", self.cert, "-outform", "DER")


class Pki:
    def __init__(self, directory, template=None):
        """template: another one, of which this begins as a copy."""
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self._made = {}
        if template:
            self._copy(template)

    def _copy(self, template):
        shutil.copytree(template.dir, self.dir, dirs_exist_ok=True)
        for home in self.dir.glob("*.db"):
            self._database(home.stem)

        def moved(value):
            if isinstance(value, list):
                return [moved(v) for v in value]
            return self.dir / value.relative_to(template.dir) \
                if isinstance(value, pathlib.Path) else value

        for name, (args, made) in template._made.items():
            copy = object.__new__(type(made))
            copy.__dict__ = {key: moved(value) for key, value in made.__dict__.items()}
            self._made[name] = args, copy

    # ---- the usual ones -------------------------------------------------------------

    @property
    def root(self):
        return self.ca("root", issuer=None)

    @property
    def inter(self):
        return self.ca("inter", issuer=self.root)

    @property
    def ec(self):
        return self.leaf("ec", key="ec256")

    @property
    def rsa(self):
        return self.leaf("rsa", key="rsa2048")

    @property
    def trust(self):
        """The PEM file with the trust anchor of all trusted certificates."""
        return self.root.cert

    # ---- minting --------------------------------------------------------------------

    def key(self, kind, name=None):
        """A private key such as ec256, ec384, ec521, ec224, rsa2048, ed25519. Leaves share one per
        kind."""
        path = self.dir / f"{name or kind}.key"
        if not path.exists():
            if kind.startswith("rsa"):
                what = ("RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[3:]}")
            elif kind == "ed25519":
                what = ("ED25519",)
            else:
                what = ("EC", "-pkeyopt", f"ec_paramgen_curve:P-{kind[2:]}")
            openssl("genpkey", "-algorithm", *what, "-out", path)
            path.chmod(0o600)
        return path

    def _once(self, name, args, make):
        if name in self._made:
            made_with, made = self._made[name]
            assert made_with == args, f"{name} was minted with other arguments"
            return made
        made = make()
        self._made[name] = (args, made)
        return made

    def _sign(self, name, issuer, key, extensions, start, end, digest, subject, padding=None):
        """Writes name.pem; issuer None: self-signed in a database of its own."""
        cert = self.dir / f"{name}.pem"
        csr = self.dir / f"{name}.csr"
        openssl("req", "-new", "-key", key, "-subj", subject or f"/CN={name}", "-out", csr,
                "-config", self._request_config())
        ext = self.dir / f"{name}.ext"
        ext.write_text("[ext]\n" + "\n".join(extensions) + "\n")
        home = issuer.home if issuer else self._database(name)
        signer = (
            ("-cert", issuer.cert, "-keyfile", issuer.key) if issuer
            else ("-selfsign", "-keyfile", key)
        )
        openssl("ca", "-batch", "-notext", "-config", home / "ca.cnf", *signer, "-in", csr,
                "-out", cert, "-startdate", asn1_time(start), "-enddate", asn1_time(end),
                "-md", digest, "-extfile", ext, "-extensions", "ext",
                *(o for p in (padding or "").split() for o in ("-sigopt", f"rsa_{p}")))
        return cert

    def _request_config(self):
        path = self.dir / "req.cnf"
        if not path.exists():
            path.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        return path

    def _database(self, name):
        home = self.dir / f"{name}.db"
        home.mkdir(exist_ok=True)
        (home / "index.txt").touch()
        (home / "index.txt.attr").write_text("unique_subject = no\n")
        (home / "crlnumber").write_text("01\n")
        (home / "ca.cnf").write_text(
            "[ca]\ndefault_ca = here\n[here]\n"
            f"database = {home}/index.txt\nnew_certs_dir = {home}\nrand_serial = yes\n"
            f"crlnumber = {home}/crlnumber\ndefault_md = sha256\npolicy = any\n"
            "default_crl_days = 30\ncrl_extensions = crl_ext\n"
            "[any]\ncommonName = supplied\norganizationName = optional\n"
            "[crl_ext]\nauthorityKeyIdentifier = keyid\n"
        )
        return home

    def ca(self, name, issuer=None, key="ec256", digest="sha256", start=-DAY, end=3650 * DAY,
           constraints="critical,CA:TRUE", usage="critical,keyCertSign,cRLSign", subject=None,
           extra=(), twin=None, identifier="hash", padding=None):
        """A CA below issuer, or a root if issuer is None. constraints None omits them. twin is a CA
        with the same name and key; identifier is of its own key."""
        args = (issuer and issuer.name, key, digest, start, end, constraints, usage, subject,
                tuple(extra), twin and twin.name, identifier, padding)
        if twin:
            subject = f"/CN=suitegate test {twin.name}"

        def make():
            own_key = twin.key if twin else self.key(key, f"ca-{name}")
            extensions = [f"subjectKeyIdentifier = {identifier}"]
            if issuer:
                extensions.append("authorityKeyIdentifier = keyid")
            if constraints:
                extensions.append(f"basicConstraints = {constraints}")
            if usage:
                extensions.append(f"keyUsage = {usage}")
            extensions.extend(extra)
            cert = self._sign(name, issuer, own_key, extensions, start, end, digest,
                              subject or f"/CN=suitegate test {name}", padding)
            chain = [cert, *issuer.chain] if issuer else []
            return Issuer(name, self._database(name), cert, own_key, chain)

        return self._once(name, args, make)

    def leaf(self, name, san=LOOPBACK, start=-3600, end=30 * DAY, days=None, key="ec256",
             issuer="inter", eku="serverAuth", digest="sha256", usage=None, extra=(),
             subject=None, padding=None):
        """A server certificate. issuer None is self-signed; start and end are seconds from now;
        padding is of an RSA issuer's signature: such as "padding_mode:pss pss_saltlen:20"."""
        if days is not None:
            end = days * DAY
        if issuer == "inter":
            issuer = self.inter
        args = (tuple(san), start, end, key, issuer and issuer.name, eku, digest, usage,
                tuple(extra), subject, padding)

        def make():
            own_key = self.key(key)
            extensions = ["basicConstraints = CA:FALSE", "subjectKeyIdentifier = hash"]
            if issuer:
                extensions.append("authorityKeyIdentifier = keyid")
            extensions.append(f"keyUsage = {usage or 'critical,digitalSignature,keyEncipherment'}")
            if eku:
                extensions.append(f"extendedKeyUsage = {eku}")
            if san:
                extensions.append(f"subjectAltName = {','.join(san)}")
            extensions.extend(extra)
            cert = self._sign(name, issuer, own_key, extensions, start, end, digest, subject,
                              padding)
            chain = self.bundle(f"{name}-chain", cert, *(issuer.chain if issuer else ()))
            return Leaf(name, cert, chain, own_key)

        return self._once(name, args, make)

    def bundle(self, name, *certs):
        """One PEM file of several."""
        path = self.dir / f"{name}.pem"
        path.write_bytes(b"".join(pathlib.Path(c).read_bytes() for c in certs))
        return path

    def with_chain(self, leaf, name, *certs):
        """The same leaf, sent with other certificates after it."""
        return Leaf(name, leaf.cert, self.bundle(f"{name}-chain", leaf.cert, *certs), leaf.key)

    # ---- the bad ones: one fault each, everything else correct -------------------------

    @property
    def expired(self):
        return self.leaf("expired", start=-10 * DAY, end=-DAY)

    @property
    def not_yet_valid(self):
        return self.leaf("not-yet-valid", start=10 * DAY, end=20 * DAY)

    @property
    def wrong_name(self):
        return self.leaf("wrong-name", san=("DNS:other.example",))

    @property
    def common_name(self):
        """Its name is in the subject only, which does not count (RFC 9525 section 6.3)."""
        return self.leaf("common-name", san=(), subject="/CN=localhost")

    @property
    def unknown_ca(self):
        return self.leaf("unknown-ca", issuer=self.ca("strange-root"))

    @property
    def root_sent(self):
        """A whole chain to an untrusted root."""
        root = self.ca("far-root")
        return self.with_chain(self.leaf("under-far-root", issuer=root), "far-root-sent", root.cert)

    @property
    def namesake(self):
        """Its CA has the same name as the leaf, as home-made ones do."""
        return self.leaf("namesake", subject="/CN=namesake",
                         issuer=self.ca("namesake-ca", subject="/CN=namesake"))

    @property
    def short_inter(self):
        """An intermediate of 1024 bits, sent after an unrelated root that is signed with
        SHA-1."""
        inter = self.ca("short-inter", issuer=self.root, key="rsa1024")
        leaf = self.leaf("under-short-inter", issuer=inter)
        return self.with_chain(leaf, "short-sent", self.ca("stray", digest="sha1").cert, inter.cert)

    @property
    def self_signed(self):
        return self.leaf("self-signed", issuer=None)

    @property
    def truncated_chain(self):
        """Sent without the intermediate."""
        return self.with_chain(self.leaf("truncated"), "truncated-sent")

    @property
    def rsa1024(self):
        return self.leaf("rsa1024", key="rsa1024")

    @property
    def p224(self):
        return self.leaf("p224", key="ec224")

    @property
    def sha1_leaf(self):
        return self.leaf("sha1-leaf", digest="sha1")

    @property
    def sha1_inter(self):
        return self.leaf("under-sha1-inter",
                         issuer=self.ca("sha1-inter", issuer=self.root, digest="sha1"))

    @property
    def sha1_root(self):
        """A root that signed itself with SHA-1 is sent along; its leaf is sound."""
        root = self.ca("sha1-root", digest="sha1")
        return self.with_chain(self.leaf("under-sha1-root", issuer=root), "sha1-root-sent",
                               root.cert)

    @property
    def no_server_auth(self):
        return self.leaf("no-server-auth", eku="clientAuth")

    @property
    def expired_inter(self):
        return self.leaf("under-expired-inter",
                         issuer=self.ca("expired-inter", issuer=self.root, start=-10 * DAY,
                                        end=-DAY))

    @property
    def ca_without_constraints(self):
        """Signed by a certificate that is not a CA."""
        return self.leaf("under-no-ca",
                         issuer=self.ca("no-ca", issuer=self.root, constraints=None))

    @property
    def too_deep(self):
        """A CA below one whose path length is 0."""
        shallow = self.ca("path-length-0", issuer=self.root,
                          constraints="critical,CA:TRUE,pathlen:0")
        return self.leaf("too-deep", issuer=self.ca("below-path-length-0", issuer=shallow))

    @property
    def issuer_may_not_sign(self):
        return self.leaf("under-no-cert-sign",
                         issuer=self.ca("no-cert-sign", issuer=self.root,
                                        usage="critical,cRLSign"))

    @property
    def outside_name_constraints(self):
        return self.leaf("outside", issuer=self.ca(
            "constrained", issuer=self.root,
            extra=("nameConstraints = critical,permitted;DNS:example.com",)))

    @property
    def unknown_critical_extension(self):
        return self.leaf("unknown-critical", extra=("1.2.3.4.5.6 = critical,DER:0500",))

    @property
    def key_may_not_sign(self):
        """Its key usage allows key transport only; ECDHE needs more."""
        return self.leaf("key-transport", key="rsa2048", usage="critical,keyEncipherment")

    @property
    def forged_twin(self):
        """The revoked intermediate's name and key in a certificate that claims to be of a root
        without a key identifier; this root has not signed it."""
        leaf, revoked = self.revoked_inter, self.ca("revoked-inter", issuer=self.root)
        liar = self.ca("liar", subject="/CN=suitegate test bare-root", identifier="55:55:55:55")
        twin = self.ca("forged-inter", issuer=liar, twin=revoked)
        return self.with_chain(leaf, "and-forged", twin.cert, revoked.cert)

    @property
    def bare_root(self):
        return self.ca("bare-root", identifier="none")

    @property
    def revoked(self):
        return self._revoked("revoked", self.inter)

    @property
    def revoked_inter(self):
        """A sound leaf below an intermediate that its root revokes."""
        inter = self.ca("revoked-inter", issuer=self.root)
        self._once("revoked-inter!", (), lambda: self.revoke(self.root, inter.cert))
        return self.leaf("under-revoked-inter", issuer=inter)

    def _revoked(self, name, issuer):
        leaf = self.leaf(name, issuer=issuer)
        self._once(f"{name}!", (), lambda: self.revoke(issuer, leaf.cert))
        return leaf

    def revoke(self, issuer, cert):
        openssl("ca", "-config", issuer.config, "-cert", issuer.cert, "-keyfile", issuer.key,
                "-revoke", cert)

    # ---- CRLs -------------------------------------------------------------------------

    def crl(self, name, issuer=None, last=-3600, following=30 * DAY, broken=False, key=None,
            extension=None):
        """A CRL of all that issuer has revoked so far; broken flips a bit of its signature."""
        issuer = issuer or self.inter
        path = self.dir / f"{name}.crl.pem"
        extensions = ()
        if extension:
            config = self.dir / f"{name}.cnf"
            config.write_text(issuer.config.read_text() + f"[more]\n{extension}\n")
            extensions = ("-config", config, "-crlexts", "more")
        openssl("ca", "-gencrl", "-config", issuer.config, "-cert", issuer.cert,
                "-keyfile", key or issuer.key, "-crl_lastupdate", asn1_time(last),
                "-crl_nextupdate", asn1_time(following), "-out", path, *extensions)
        if broken:
            der = bytearray(openssl("crl", "-in", path, "-outform", "DER"))
            der[-1] ^= 1
            raw = self.dir / f"{name}.crl.der"
            raw.write_bytes(der)
            openssl("crl", "-inform", "DER", "-in", raw, "-out", path)
        return path
