"""Local CAs as `suitegate ca init` makes them, or of any age, and what a gate presents with one.

A listener of type test has a certificate for each name without an upstream: HOST.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID

from client_programs import command
from gate import BINARY, free_port, ini, run
from names import unshare
from pki import DAY

KEYS = ("ecdsa", "rsa")
ISSUING = tuple(f"issuing-{key}.pem" for key in KEYS)
FILES = {"ca.pem", "ca.key", "ca.crl", *ISSUING}
SUITES = {"ecdsa": "ECDHE-ECDSA-AES128-GCM-SHA256", "rsa": "ECDHE-RSA-AES128-GCM-SHA256"}
HOST = "a.corp.example"


def init(folder, *options):
    done = run("ca", "init", "--out", folder, *options)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return folder


def configuration(folder, port=None, **sections):
    """Of a test listener on the port, whose CA is in this folder."""
    entries = {"certificate": folder / "ca.pem", "key": folder / "ca.key", **sections.pop("ca", {})}
    return ini({"ca": entries, "audit": {"file": "audit.jsonl"},
                "listen probe": {"type": "test", "address": f"127.0.0.1:{port or free_port()}"},
                **sections})


def written(where, folder, **sections):
    """A configuration file for the program's other commands."""
    path = where / "ca.ini"
    path.write_text(configuration(folder, **sections))
    return path


def aged(pki, folder, *, made=0, left=365, root_left=3000, only=KEYS, name="root"):
    """A root with issuing CAs that were made so many days ago and are good for so many more."""
    folder.mkdir()
    root = pki.ca(f"{name}-{root_left}", start=-4000 * DAY, end=root_left * DAY)
    shutil.copy(root.cert, folder / "ca.pem")
    shutil.copy(root.key, folder / "ca.key")
    (folder / "ca.key").chmod(0o600)
    for key in only:
        kind = "ec256" if key == "ecdsa" else "rsa2048"
        below = pki.ca(f"{name}-{root_left}-{key}-{made}-{left}", issuer=root, key=kind,
                       start=-made * DAY, end=left * DAY, constraints="critical,CA:TRUE,pathlen:0")
        put_key_file(folder / f"issuing-{key}.pem", below.cert, below.key)
    return root


def put_key_file(path, *parts):
    """One file with certificates and keys."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(b"".join(pathlib.Path(part).read_bytes() for part in parts))


# ---- what is in files and on the wire --------------------------------------------------------

def certificate(path):
    """The first one."""
    return x509.load_pem_x509_certificate(certificates(pathlib.Path(path).read_bytes())[0])


def certificates(text):
    """Each as PEM."""
    return re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S)


def urls(cert):
    """(CRL distribution point, CA issuers), None for what is not there."""
    with contextlib.suppress(x509.ExtensionNotFound):
        points = cert.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS).value
        crl = points[0].full_name[0].value
        with contextlib.suppress(x509.ExtensionNotFound):
            access = cert.extensions.get_extension_for_oid(
                ExtensionOID.AUTHORITY_INFORMATION_ACCESS).value
            return crl, access[0].access_location.value
        return crl, None
    return None, None


def short_name(cert):
    """Of its CRL: a hash of its key."""
    spki = cert.public_key().public_bytes(serialization.Encoding.DER,
                                          serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    return digest.finalize().hex()[:16]


def ask(port, key="ecdsa", name=HOST):
    """openssl s_client of this kind; name None: without a server name."""
    named = ("-servername", name) if name else ("-noservername",)
    return command("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *named, "-tls1_2",
                   "-cipher", SUITES[key], "-showcerts")


def served(port, key="ecdsa", name=HOST):
    """The PEM certificates that a client of this kind gets, as bytes, the leaf first."""
    done = ask(port, key, name)
    found = certificates(done.stdout)
    assert found, done.stderr
    return found


def verifies(folder, chain, root, *options):
    """Whether openssl builds the way from the leaf to the root with what was sent."""
    path = pathlib.Path(folder) / "served.pem"
    path.write_bytes(b"".join(chain))
    done = command("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root,
                   "-untrusted", path, *options, path)
    return done.returncode == 0 or done.stderr.decode()


def check_served(port, ca, folder, *keys):
    """Each kind of client gets a good leaf, from the issuing CA of its kind."""
    for key in keys or KEYS:
        chain = served(port, key)
        assert verifies(folder, chain, ca / "ca.pem", "-verify_hostname", HOST) is True
        issuing = ca / f"issuing-{key}.pem"
        if issuing.exists():
            assert chain[1:] == [certificate(issuing).public_bytes(serialization.Encoding.PEM)]


# ---- folders that cannot be written ----------------------------------------------------------

def read_only(folder):
    """argv that gives a program this folder read-only. Root may write everywhere else."""
    return [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
            f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && '
            'exec "$@"', "sh"]


def small_disk(folder, pages):
    """argv that gives a program a disk of so many pages at this folder, and prints afterwards what
    is on it."""
    size = pages * os.sysconf("SC_PAGE_SIZE")
    return [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
            f'mount -t tmpfs -o size={size} none "{folder}" && "$@"; s=$?; ls "{folder}"; exit $s',
            "sh"]


def run_in(wrapper, *arguments):
    return subprocess.run([*wrapper, BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=50, check=False)
