"""`suitegate ca install` and `uninstall`: the stores in which programs of this machine look for
CAs. The system's store and the JVM's are copies in a namespace; NSS databases are below a HOME."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

import cas
import jvm
from client_programs import command
from gate import BINARY, free_port
from names import unshare
from probe import Browser

CERTS, LOCAL, HOOKS, LISTED = ("/etc/ssl/certs", "/usr/local/share/ca-certificates",
                               "/etc/ca-certificates/update.d", "/etc/ca-certificates.conf")
NO_JAVA = {"JAVA_HOME": "/nonexistent"}
ALONE = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
         "JAVA_TOOL_OPTIONS")


def jvm_store():
    java = shutil.which("java")
    return java and pathlib.Path(java).resolve().parents[1] / "lib/security/cacerts"


class Machine:
    """One with trust stores of its own, and a user with a HOME."""

    def __init__(self, folder, names):
        self.folder, self.home, self.local = folder, folder / "home", folder / "local"
        for path in (self.home, self.local, folder / "hooks", folder / "certs"):
            path.mkdir()
        if (store := jvm_store()) and store.resolve().is_relative_to(CERTS):
            copy = folder / "certs" / store.resolve().relative_to(CERTS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(store, copy)
        # Few, since each costs time.
        listed = pathlib.Path(LISTED).read_text().splitlines()
        few = [line for line in listed if line and line[0] not in "#!"][:2]
        (folder / "listed").write_text("\n".join(few) + "\n")
        assert self.run("update-ca-certificates").returncode == 0
        for name in names:
            cas.init(folder / name, "--key-type", "ecdsa")

    def argv(self, read_only=()):
        """Enters the namespace. read_only: folders of the machine's."""
        binds = [(self.folder / "certs", CERTS), (self.local, LOCAL),
                 (self.folder / "hooks", HOOKS), (self.folder / "listed", LISTED)]
        store = jvm_store() and jvm_store().resolve()
        if store and not store.is_relative_to(CERTS):
            if not (self.folder / "cacerts").exists():
                shutil.copy(store, self.folder / "cacerts")
            binds.append((self.folder / "cacerts", store))
        script = [f'mount --bind "{own}" "{place}"' for own, place in binds]
        script += [f'mount --bind "{path}" "{path}" && mount -o remount,bind,ro "{path}"'
                   for path in read_only]
        return [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
                " && ".join([*script, 'exec "$@"']), "sh"]

    def run(self, *argv, env=None, read_only=(), stdin=b""):
        environment = {name: value for name, value in os.environ.items() if name not in ALONE}
        return subprocess.run([*self.argv(read_only), *map(str, argv)], input=stdin,
                              capture_output=True, timeout=100, check=False,
                              env={**environment, "HOME": str(self.home), **(env or {})})

    def change(self, what, name="ca", env=NO_JAVA, read_only=()):
        """(exit status, standard output, standard error)"""
        config = cas.written(self.folder, self.folder / name)
        done = self.run(BINARY, "ca", what, "-c", config, env=env, read_only=read_only)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def alias(self, name="ca"):
        return f"suitegate-{cas.short_name(cas.certificate(self.folder / name / 'ca.pem'))}"

    def bundle(self):
        return (self.folder / "certs" / "ca-certificates.crt").read_bytes()

    def in_bundle(self, name="ca"):
        return (self.folder / name / "ca.pem").read_bytes() in self.bundle()

    def add_database(self, place):
        folder = self.home / place
        folder.mkdir(parents=True)
        done = command("certutil", "-N", "-d", f"sql:{folder}", "--empty-password")
        assert done.returncode == 0, done.stderr
        return folder

    def in_database(self, folder, name="ca"):
        """How it is trusted, or None."""
        done = command("certutil", "-L", "-d", f"sql:{folder}")
        for line in done.stdout.decode().splitlines():
            if line.startswith(self.alias(name) + " "):
                return line.split()[-1]
        return None


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path, ["ca"])


@pytest.fixture
def two(tmp_path):
    return Machine(tmp_path, ["ca", "other"])


@pytest.fixture
def serving(machine, make_gate):
    """(the machine, the port of a listener with its CA's certificates)"""
    port = free_port()
    make_gate(cas.configuration(machine.folder / "ca", port))
    return machine, port


# ---- the system's store ----------------------------------------------------------------------

def test_the_systems_store(serving):
    machine, port = serving
    before = machine.bundle()

    def clients():
        curl = machine.run("curl", "-sS", "--max-time", 30, "--noproxy", "*", "-o", "/dev/null",
                           "-w", "%{http_code}", f"https://localhost:{port}/health")
        s_client = machine.run("openssl", "s_client", "-connect", f"localhost:{port}",
                               "-verify_return_error", "-x509_strict")
        return curl.stdout == b"200", b"Verification: OK" in s_client.stdout

    assert clients() == (False, False)
    status, out, err = machine.change("install")
    assert (status, err) == (0, "")
    assert out.splitlines() == ["the system's store: installed", "the JVM's store: not here",
                                "NSS databases: not here, for this user"]
    assert [path.name for path in machine.local.iterdir()] == [f"{machine.alias()}.crt"]
    assert (machine.local / f"{machine.alias()}.crt").stat().st_mode & 0o777 == 0o644
    assert machine.in_bundle() and clients() == (True, True)
    status, out, err = machine.change("install")
    assert (status, err) == (0, "") and "the system's store: has it already\n" in out
    status, out, err = machine.change("uninstall")
    assert (status, err) == (0, "") and "the system's store: removed\n" in out
    assert list(machine.local.iterdir()) == []
    assert machine.bundle() == before and clients() == (False, False)
    status, out, err = machine.change("uninstall")
    assert (status, err) == (0, "") and "the system's store: does not have it\n" in out


@pytest.mark.parametrize("with_root", [True, False])
def test_one_certificate_is_installed(machine, pki, with_root):
    """Of a single CA's file with intermediates: the root; the first one if it has none."""
    root = pki.ca("installed")
    below = pki.ca("installed-below", issuer=root)
    parts = (below.cert, root.cert) if with_root else (below.cert,)
    cas.put_key_file(machine.folder / "ca" / "ca.pem", *parts)
    for word, installed in (("install", [cas.certificate(parts[-1])]), ("uninstall", [])):
        assert machine.change(word)[0] == 0
        files = [path.read_bytes() for path in machine.local.iterdir()]
        assert [cas.x509.load_pem_x509_certificate(file) for file in files] == installed
        assert all(file.count(b"BEGIN") == 1 for file in files)


# ---- the JVM's store -------------------------------------------------------------------------

def aliases(store):
    done = command("keytool", "-list", "-keystore", store, "-storepass", "changeit")
    return [line.split(",")[0] for line in done.stdout.decode().splitlines()
            if "trustedCert" in line]


def test_the_jvms_store(serving, tmp_path):
    """Of the java on PATH; its cacerts is a copy here, too."""
    machine, port = serving
    if not jvm_store():
        pytest.skip("no java")
    environment = {"JAVA_HOME": ""}
    status, out, err = machine.change("install", env=environment)
    assert (status, err) == (0, "") and "the JVM's store: installed\n" in out
    done = machine.run(*jvm.argv("Fetch", "url", f"https://localhost:{port}/health"))
    assert done.returncode == 0, done.stderr
    status, out, err = machine.change("uninstall", env=environment)
    assert (status, err) == (0, "") and "the JVM's store: removed\n" in out
    done = machine.run(*jvm.argv("Fetch", "url", f"https://localhost:{port}/health"))
    assert done.returncode == 3 and b"PKIX path building failed" in done.stderr


@pytest.fixture
def java_home(two):
    """A JAVA_HOME with an empty store of its own, but for one CA."""
    if not jvm_store():
        pytest.skip("no java")
    home = two.folder / "jdk"
    (home / "lib" / "security").mkdir(parents=True)
    (home / "bin").symlink_to(jvm_store().parents[2] / "bin")
    store = home / "lib" / "security" / "cacerts"
    done = command("keytool", "-importcert", "-noprompt", "-alias", "there-before", "-file",
                   two.folder / "other" / "ca.pem", "-keystore", store, "-storepass", "changeit")
    assert done.returncode == 0, done.stdout
    return home, store


def test_the_store_of_java_home(two, java_home):
    """What was there before stays, also twice, and also if it cannot be written."""
    home, store = java_home
    environment = {"JAVA_HOME": str(home)}
    status, _out, err = two.change("install", env=environment, read_only=[store.parent])
    if os.geteuid() == 0:
        assert status == 2
        assert f"suitegate: the JVM's store: keytool cannot change {store}\n" in err
    assert aliases(store) == ["there-before"]
    for word in ("installed", "has it already"):
        status, out, err = two.change("install", env=environment)
        assert (status, err) == (0, "") and f"the JVM's store: {word}\n" in out
    assert sorted(aliases(store)) == sorted([two.alias(), "there-before"])
    for word in ("removed", "does not have it"):
        status, out, err = two.change("uninstall", env=environment)
        assert (status, err) == (0, "") and f"the JVM's store: {word}\n" in out
    assert aliases(store) == ["there-before"]


# ---- databases of NSS ------------------------------------------------------------------------

PLACES = (".pki/nssdb", ".mozilla/firefox/a.default", "snap/firefox/common/.mozilla/firefox/b.x",
          ".var/app/org.mozilla.firefox/.mozilla/firefox/c.y")


def test_every_database_of_the_user(two):
    folders = [two.add_database(place) for place in PLACES]
    bystander = two.add_database(".config/other")
    assert two.change("install", "other")[0] == 0
    for word in ("installed", "has it already"):
        status, out, err = two.change("install")
        assert (status, err) == (0, "")
        for folder in folders:
            assert f"{folder}: {word}\n" in out
            assert two.in_database(folder) == "C,," == two.in_database(folder, "other")
    assert two.in_database(bystander) is None
    assert two.in_bundle() and two.in_bundle("other")
    for word in ("removed", "does not have it"):
        status, out, err = two.change("uninstall")
        assert (status, err) == (0, "")
        for folder in folders:
            assert f"{folder}: {word}\n" in out
            assert two.in_database(folder) is None and two.in_database(folder, "other") == "C,,"
    assert two.in_bundle("other") and not two.in_bundle()


@pytest.mark.once
def test_chromium_trusts_an_installed_ca(serving):
    machine, port = serving
    machine.add_database(".pki/nssdb")
    browser = Browser.__new__(Browser)
    browser.home = machine.home
    assert "Recent attempts" not in browser.dom(f"https://localhost:{port}/")
    assert machine.change("install")[0] == 0
    assert "Recent attempts" in browser.dom(f"https://localhost:{port}/")


# ---- what is missing -------------------------------------------------------------------------

def without(machine, tool, what):
    """change() where this tool is not on PATH."""
    folder = machine.folder / f"without-{tool}"
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for path in pathlib.Path(place).glob("*"):
            if path.name != tool and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    status, out, err = machine.change(what, env={"PATH": str(folder), **NO_JAVA})
    return status, out, err.splitlines()


def test_without_certutil(machine):
    folder = machine.add_database(".pki/nssdb")
    status, out, err = without(machine, "certutil", "install")
    assert (status, err) == (2, [f"suitegate: {folder}: certutil is not here: "
                                 "install libnss3-tools"])
    assert "the system's store: installed\n" in out
    assert machine.in_bundle() and machine.in_database(folder) is None
    assert machine.change("install")[0] == 0 and machine.in_database(folder) == "C,,"


@pytest.mark.parametrize("what", ["install", "uninstall"])
def test_without_update_ca_certificates(machine, what):
    """The next try does not take it for done."""
    if what == "uninstall":
        assert machine.change("install")[0] == 0
    status, _out, err = without(machine, "update-ca-certificates", what)
    assert (status, err) == (2, ["suitegate: the system's store: update-ca-certificates failed: "
                                 "is the package ca-certificates there?"])
    assert machine.in_bundle() == (what == "uninstall")
    assert machine.change(what)[0] == 0
    assert machine.in_bundle() == (what == "install")


def test_stores_that_cannot_be_written(machine):
    database = machine.add_database(".pki/nssdb")
    status, _out, err = machine.change("install", read_only=[LOCAL, database])
    assert status == 2
    assert err.splitlines() == [
        f"suitegate: the system's store: {LOCAL}/{machine.alias()}.crt: Read-only file system",
        f"suitegate: {database}: certutil cannot change it"]
    assert not machine.in_bundle() and machine.in_database(database) is None


@pytest.mark.parametrize("content, reason", [
    (None, "No such file or directory"), ("text", "holds no certificate that can be read")])
def test_a_certificate_that_cannot_be_read(machine, content, reason):
    path = machine.folder / "ca" / "ca.pem"
    path.unlink()
    if content:
        path.write_text(content)
    assert machine.change("install") == (2, "", f"suitegate: {path}: {reason}\n")
    assert list(machine.local.iterdir()) == []


def test_the_copy_for_the_tools_is_removed(machine):
    assert machine.change("install")[0] == 0
    certificate, left = (machine.folder / "ca" / "ca.pem").read_bytes(), []
    for path in pathlib.Path("/tmp").glob("suitegate-ca-*"):
        with contextlib.suppress(OSError):  # another program's, or a folder
            left.append(path.read_bytes())
    assert certificate not in left
