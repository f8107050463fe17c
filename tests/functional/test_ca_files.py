"""The local CA's files: a root with issuing CAs, or one CA alone. What makes, shows and renews
them, and what is wrong with them."""

import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

import cas
import upstreams
import wire
from cas import FILES, HOST, ISSUING, KEYS, aged, certificate, check_served, init, served, urls
from clock_shim import clock  # noqa: F401 (fixture)
from gate import BINARY, PATIENCE, StartError, free_port, run
from hellos import connect_request
from pki import DAY, openssl

PUBLISH = "http://publish.example:8480"
SOMEBODY = 31337


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """What `ca init` makes; tests copy it."""
    return init(tmp_path_factory.mktemp("made") / "ca")


@pytest.fixture
def ca(made, tmp_path):
    return shutil.copytree(made, tmp_path / "ca")


@pytest.fixture
def start(make_gate):
    """start(ca, **sections) -> a gate with .port of its test listener."""
    def run_gate(folder, *, options=None, **sections):
        port = free_port()
        gate = make_gate(cas.configuration(folder, port, **sections), **(options or {}))
        gate.port = port
        return gate
    return run_gate


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- init ------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [(), ("--key-type", "ecdsa"), ("--permit", "corp.example")],
                         ids=["rsa", "ecdsa", "permit"])
def test_init_makes_a_root_and_two_issuing_cas(tmp_path, options):
    folder = tmp_path / "new"
    done = run("ca", "init", "--out", folder, *options, umask=0)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(folder / "ca.pem") in done.stdout and str(folder / "ca.key") in done.stdout
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {name: 0o644 if name in ("ca.pem", "ca.crl") else 0o600 for name in FILES}
    for key in KEYS:
        issuing = folder / f"issuing-{key}.pem"
        openssl("verify", "-x509_strict", "-CAfile", folder / "ca.pem", issuing)
        assert certificate(issuing).public_key().key_size == (256 if key == "ecdsa" else 2048)
        days = (certificate(issuing).not_valid_after - certificate(issuing).not_valid_before).days
        assert days == 365
    assert certificate(folder / "ca.pem").public_key().key_size == \
        (256 if "ecdsa" in options else 3072)
    text = openssl("x509", "-in", folder / "ca.pem", "-noout", "-text")
    assert (b"Name Constraints" in text) == ("--permit" in options)


@pytest.mark.parametrize("present", sorted(FILES))
def test_init_never_overwrites(tmp_path, present):
    (tmp_path / present).write_text("mine\n")
    done = run("ca", "init", "--out", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path / present} exists already and is not overwritten" in done.stderr
    assert contents(tmp_path) == {present: b"mine\n"}


@pytest.mark.parametrize("pattern", ["*", "a.example:443", "10.0.0.0/33", "a b", ""])
def test_init_takes_only_names_and_addresses_to_permit(tmp_path, pattern):
    done = run("ca", "init", "--out", tmp_path / "new", "--permit", pattern)
    assert done.returncode == 64
    assert "--permit takes a name, such as example.com, or addresses" in done.stderr
    assert not (tmp_path / "new").exists()


def test_init_into_a_folder_that_cannot_be_written(tmp_path):
    done = cas.run_in(cas.read_only(tmp_path), "ca", "init", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"suitegate: {tmp_path}/ca.key: Read-only file system\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pages", [1, 2, 3, 4, 5])
def test_init_on_a_full_disk_leaves_nothing(tmp_path, pages):
    """Each file needs a page; the last one is complete or not there."""
    done = cas.run_in(cas.small_disk(tmp_path, pages), "ca", "init", "--out", tmp_path)
    if pages == len(FILES):
        assert done.returncode == 0 and set(done.stdout.split("\n")[1:-1]) == FILES
        return
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"suitegate: {tmp_path}/")
    assert done.stderr.count("No space left on device") >= 1


# ---- show ------------------------------------------------------------------------------------

def fingerprint(path):
    return openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").decode() \
        .strip().partition("=")[2]


def test_show_with_and_without_the_roots_key(ca, tmp_path):
    config = cas.written(tmp_path, ca, ca={"publish": PUBLISH})
    done = run("ca", "show", "-c", config)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("ca.pem", *ISSUING):
        assert fingerprint(ca / name) in done.stdout
        assert str(ca / name) in done.stdout
    assert re.search(rf"^Key: +{ca}/ca.key$", done.stdout, re.M)
    assert re.search(rf"^Published: +{PUBLISH}$", done.stdout, re.M)
    assert re.search(r"^CRL: +ca.crl, expires 20\d\d-", done.stdout, re.M)
    assert "(expired)" not in done.stdout and "Limited to" not in done.stdout
    (ca / "ca.key").unlink()
    done = run("ca", "show", "-c", config)
    assert done.returncode == 0
    assert "Key:          not here; without it issuing CAs cannot be renewed" in done.stdout
    for name in ISSUING:
        assert fingerprint(ca / name) in done.stdout


def test_show_of_what_has_expired_and_is_limited(pki, tmp_path):
    aged(pki, tmp_path / "old", made=400, left=-1)
    done = run("ca", "show", "-c", cas.written(tmp_path, tmp_path / "old"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(expired)") == 2
    init(tmp_path / "limited", "--permit", "corp.example", "--key-type", "ecdsa")
    done = run("ca", "show", "-c", cas.written(tmp_path, tmp_path / "limited"))
    assert done.stdout.count("Limited to: ") == 3


def test_show_by_someone_who_may_not_read_the_keys(made):
    """They see the certificate that clients trust, and which files they may not read."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        ca = shutil.copytree(made, f"{folder}/ca")
        os.chmod(ca, 0o755)
        program = shutil.copy(BINARY, f"{folder}/suitegate")
        config = cas.written(pathlib.Path(folder), pathlib.Path(ca))
        done = subprocess.run([program, "ca", "show", "-c", config], capture_output=True, text=True,
                              user=SOMEBODY, group=SOMEBODY, extra_groups=(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{ca}/ca.key" in done.stdout
    for name in ISSUING:
        assert f"{ca}/{name}: Permission denied" in done.stdout


# ---- crl -------------------------------------------------------------------------------------

def crl_days(path):
    text = openssl("crl", "-inform", "DER", "-in", path, "-noout", "-lastupdate", "-nextupdate")
    last, following = (datetime.datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y %Z")
                       for line in text.decode().splitlines())
    return (following - last).days


def crl_is_of(path, issuer):
    done = cas.command("openssl", "crl", "-inform", "DER", "-in", path, "-noout", "-CAfile", issuer)
    return b"verify OK" in done.stderr


def test_crl_writes_the_list_of_each_key_that_is_here(ca, tmp_path):
    config, out = cas.written(tmp_path, ca), tmp_path / "lists"
    expected = {"ca.crl": ("ca.pem", 400)}
    for name in ISSUING:
        expected[f"{cas.short_name(certificate(ca / name))}.crl"] = name, 7
    done = run("ca", "crl", "-c", config, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(f"Wrote {out / name}." for name in expected)
    assert set(contents(out)) == set(expected)
    for name, (issuer, days) in expected.items():
        assert crl_days(out / name) == days
        assert crl_is_of(out / name, ca / issuer)
    (ca / "ca.key").unlink()
    (out / "ca.crl").unlink()
    assert run("ca", "crl", "-c", config, "--out", out).returncode == 0
    assert set(contents(out)) == set(expected) - {"ca.crl"}
    before = (ca / "ca.crl").read_bytes()
    assert run("ca", "crl", "-c", config).returncode == 0
    assert set(contents(ca)) - FILES == set(expected) - {"ca.crl"}
    assert (ca / "ca.crl").read_bytes() == before


def test_crl_that_cannot_be_written(ca, tmp_path):
    (tmp_path / "file").write_text("mine\n")
    done = run("ca", "crl", "-c", cas.written(tmp_path, ca), "--out", tmp_path / "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/file/ca.crl: Not a directory" in done.stderr
    done = run("ca", "crl", "-c", cas.written(tmp_path, ca), "--out", tmp_path / "file" / "below")
    assert done.returncode == 2 and "Not a directory" in done.stderr


# ---- renew -----------------------------------------------------------------------------------

@pytest.mark.parametrize("how, due", [
    (dict(made=200, left=165), False),
    (dict(made=250, left=115), True),
    (dict(made=400, left=-1), True),
], ids=["second_third", "last_third", "expired"])
def test_renew_makes_issuing_cas_in_the_last_third_of_their_life(pki, tmp_path, how, due):
    ca = tmp_path / "ca"
    aged(pki, ca, **how)
    before, config = contents(ca), cas.written(tmp_path, ca)
    done = run("ca", "renew", "-c", config)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ISSUING:
        assert (f"Wrote {ca / name}." in done.stdout.splitlines()) == due
        assert ((ca / name).read_bytes() != before[name]) == due
        assert stat.S_IMODE((ca / name).stat().st_mode) == 0o600
    assert {n: (ca / n).read_bytes() for n in ("ca.pem", "ca.key")} == \
        {n: before[n] for n in ("ca.pem", "ca.key")}
    assert crl_is_of(ca / "ca.crl", ca / "ca.pem")
    assert run("ca", "renew", "-c", config).stdout == "Nothing is due.\n"
    if due:
        for name in ISSUING:
            openssl("verify", "-x509_strict", "-CAfile", ca / "ca.pem", ca / name)
            assert (certificate(ca / name).not_valid_after - datetime.datetime.utcnow()).days == 364


@pytest.mark.parametrize("missing", [*ISSUING, "ca.crl"])
def test_renew_makes_what_is_missing(ca, tmp_path, missing):
    before = contents(ca)
    (ca / missing).unlink()
    done = run("ca", "renew", "-c", cas.written(tmp_path, ca))
    assert (done.returncode, done.stdout) == (0, f"Wrote {ca / missing}.\n"), done.stderr
    after = contents(ca)
    made, former = after.pop(missing), before.pop(missing)
    assert made and (made != former or missing == "ca.crl")  # of the same second
    assert after == before


def test_renew_puts_the_url_of_publish_into_issuing_cas(ca, tmp_path):
    config = cas.written(tmp_path, ca, ca={"publish": PUBLISH, "crl_url": "http://other.example/x"})
    done = run("ca", "renew", "-c", config)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ISSUING:
        assert urls(certificate(ca / name)) == (f"{PUBLISH}/ca.crl", f"{PUBLISH}/ca.crt")
    assert run("ca", "renew", "-c", config).stdout == "Nothing is due.\n"
    elsewhere = cas.written(tmp_path, ca, ca={"publish": "http://elsewhere.example:1"})
    assert run("ca", "renew", "-c", elsewhere).stdout.count("Wrote ") == 2
    for name in ISSUING:
        assert urls(certificate(ca / name))[0] == "http://elsewhere.example:1/ca.crl"


def test_renew_without_the_roots_key_changes_nothing(pki, tmp_path):
    ca = tmp_path / "ca"
    aged(pki, ca, made=300, left=60)
    (ca / "ca.key").unlink()
    before = contents(ca)
    done = run("ca", "renew", "-c", cas.written(tmp_path, ca))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Nothing is renewed: the root's key is not here.\n"
    assert contents(ca) == before


@pytest.mark.parametrize("age, renewed", [(190, False), (210, True)])
def test_renew_of_a_crl_at_half_its_life(pki, tmp_path, age, renewed):
    ca = tmp_path / "ca"
    root = aged(pki, ca)
    lists = pki.crl(f"half-{age}", issuer=root, last=-age * DAY, following=(400 - age) * DAY)
    openssl("crl", "-in", lists, "-outform", "DER", "-out", ca / "ca.crl")
    before = (ca / "ca.crl").read_bytes()
    done = run("ca", "renew", "-c", cas.written(tmp_path, ca))
    assert done.stdout == (f"Wrote {ca}/ca.crl.\n" if renewed else "Nothing is due.\n"), done.stderr
    assert ((ca / "ca.crl").read_bytes() != before) == renewed
    assert crl_is_of(ca / "ca.crl", ca / "ca.pem")


def test_renew_into_a_folder_that_cannot_be_written(pki, tmp_path):
    ca = tmp_path / "ca"
    aged(pki, ca, made=300, left=60)
    before = contents(ca)
    done = cas.run_in(cas.read_only(ca), "ca", "renew", "-c", cas.written(tmp_path, ca))
    assert (done.returncode, done.stdout) == (2, "")
    for name in (*ISSUING, "ca.crl"):
        assert f"suitegate: {ca / name}: Read-only file system" in done.stderr.splitlines()
    assert contents(ca) == before


# ---- what does not fit together --------------------------------------------------------------

def of_another_root(ca, pki, folder):
    aged(pki, folder / "other", name="other")
    shutil.copy(folder / "other" / ISSUING[0], ca / ISSUING[0])


def same_name_other_key(ca, pki, folder):
    """A root with the same subject, but not the key that signed the issuing CAs."""
    twin = folder / "twin.pem"
    subject = openssl("x509", "-in", ca / "ca.pem", "-noout", "-subject", "-nameopt", "compat")
    name = subject.decode().partition("=")[2].strip()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "twin.key",
            "-out", twin, "-days", "9", "-utf8", "-subj", name,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    shutil.copy(twin, ca / "ca.pem")
    shutil.copy(folder / "twin.key", ca / "ca.key")
    (ca / "ca.key").chmod(0o600)


def other_key(name):
    def change(ca, pki, _folder):
        certificate_before = cas.certificates((ca / name).read_bytes())
        cas.put_key_file(ca / name, pki.key("rsa2048", "stray"))
        with open(ca / name, "ab") as file:
            file.writelines(certificate_before)
    return change


def mode(name):
    return lambda ca, pki, folder: (ca / name).chmod(0o640)


def content(name, text):
    return lambda ca, pki, folder: (ca / name).write_text(text)


def without_key(ca, pki, folder):
    """The certificate alone."""
    (ca / ISSUING[1]).write_bytes(openssl("x509", "-in", ca / ISSUING[1]))


def no_ca(ca, pki, folder):
    cas.put_key_file(ca / ISSUING[0], pki.ec.cert, pki.ec.key)


def expired(ca, pki, folder):
    """And the root's key is not here to renew it."""
    shutil.rmtree(ca)
    aged(pki, ca, made=400, left=-1, name="gone")
    (ca / "ca.key").unlink()


def root_expired(ca, pki, folder):
    shutil.rmtree(ca)
    aged(pki, ca, made=400, left=-2, root_left=-1)


def folder_instead(ca, pki, folder):
    (ca / ISSUING[0]).unlink()
    (ca / ISSUING[0]).mkdir()


def empty(ca, pki, folder):
    """And the root's key is not here to make it anew."""
    (ca / ISSUING[0]).write_text("")
    (ca / "ca.key").unlink()


def gone(*names):
    def change(ca, pki, folder):
        for name in names:
            (ca / name).unlink()
    return change


BROKEN = {
    "of_another_root": (of_another_root, "issuing-ecdsa.pem was not issued by .*ca.pem"),
    "root_of_the_same_name": (same_name_other_key, "issuing-ecdsa.pem was not issued by .*ca.pem"),
    "other_key_issuing": (other_key(ISSUING[1]),
                          "issuing-rsa.pem and its key do not belong together"),
    "other_key_root": (other_key("ca.key"), "ca.pem and its key do not belong together"),
    "issuing_readable": (mode(ISSUING[0]), "issuing-ecdsa.pem can be read or changed by others"),
    "root_key_readable": (mode("ca.key"), "ca.key can be read or changed by others"),
    "issuing_is_text": (content(ISSUING[0], "text\n"), "issuing-ecdsa.pem holds no certificate"),
    "root_is_text": (content("ca.pem", "text\n"), "ca.pem holds no certificate"),
    "root_key_is_text": (content("ca.key", "text\n"), "ca.pem has a key file that holds no usable"),
    "issuing_empty": (empty, "issuing-ecdsa.pem is empty"),
    "issuing_without_key": (without_key, "issuing-rsa.pem has a key file that holds no usable"),
    "issuing_no_ca": (no_ca, "issuing-ecdsa.pem is not a CA certificate"),
    "issuing_is_a_folder": (folder_instead, "issuing-ecdsa.pem"),
    "expired": (expired, "issuing-ecdsa.pem has expired"),
    "root_expired": (root_expired, "ca.pem has expired"),
    "root_missing": (gone("ca.pem"), "ca.pem: No such file.*\n.*suitegate ca init --out"),
    "all_keys_missing": (gone("ca.key", *ISSUING),
                         "ca.key: No such file.*\n.*suitegate ca init --out"),
    "all_missing": (gone(*FILES), "ca.pem: No such file.*\n.*suitegate ca init --out"),
}


# Of a key that the process which serves has no use for: only suitegate config reads it.
UNREAD = ("other_key_root", "root_key_is_text")


@pytest.fixture
def broken(request, ca, pki, tmp_path):
    BROKEN[request.param][0](ca, pki, tmp_path)
    return ca, BROKEN[request.param][1]


@pytest.mark.parametrize("broken", UNREAD, indirect=True)
def test_the_roots_key_is_not_read_to_serve(broken, make_gate, tmp_path):
    ca, reason = broken
    checked = run("config", "-c", cas.written(tmp_path, ca))
    assert checked.returncode == 1
    assert re.search(f"^suitegate: .*{reason}", checked.stderr, re.M), checked.stderr
    gate = make_gate(cas.configuration(ca))
    assert gate.reload()["event"]["action"] == "configuration-loaded"


@pytest.mark.parametrize("broken", [name for name in BROKEN if name not in UNREAD], indirect=True)
def test_a_broken_ca_is_refused_with_its_reason(broken, make_gate, tmp_path):
    ca, reason = broken
    before = {p.name: p.is_file() and p.read_bytes() for p in ca.iterdir()}
    checked = run("config", "-c", cas.written(tmp_path, ca))
    assert checked.returncode == 1
    assert re.search(f"^suitegate: .*{reason}", checked.stderr, re.M), checked.stderr
    with pytest.raises(StartError, match=rf"(?s)^exit 2\n.*{reason}"):
        make_gate(cas.configuration(ca))
    assert {p.name: p.is_file() and p.read_bytes() for p in ca.iterdir()} == before
    assert run("ca", "renew", "-c", cas.written(tmp_path, ca)).returncode == 2


def test_a_broken_ca_at_sighup_leaves_the_old_one(start, made, pki, tmp_path):
    ca = shutil.copytree(made, tmp_path / "ca")
    gate = start(ca)
    issuing = served(gate.port)[1]
    for number, (change, reason) in enumerate(what for name, what in BROKEN.items()
                                              if name not in UNREAD):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.rmtree(ca)
        shutil.copytree(made, ca)
        change(ca, pki, folder)
        record = gate.reload()
        assert record["event"]["action"] == "configuration-rejected", reason
        assert re.search(reason.split("\n")[0].rstrip(".*"), json.dumps(record)), record
        assert served(gate.port)[1] == issuing
    shutil.rmtree(ca)
    shutil.copytree(made, ca)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    check_served(gate.port, ca, tmp_path)


# ---- one CA alone ----------------------------------------------------------------------------

@pytest.mark.parametrize("key", ["ec256", "rsa2048"])
@pytest.mark.parametrize("intermediate", [False, True], ids=["root", "intermediate"])
def test_a_single_ca_goes_on_as_it_was(start, pki, tmp_path, key, intermediate):
    """It signs all leaves itself, and no file appears beside it."""
    ca = tmp_path / "ca"
    ca.mkdir()
    root = pki.ca(f"single-{key}", key=key)
    signer = pki.ca(f"single-{key}-below", issuer=root, key=key) if intermediate else root
    parts = [signer.cert, root.cert] if intermediate else [root.cert]
    (ca / "ca.pem").write_bytes(b"".join(part.read_bytes() for part in parts))
    cas.put_key_file(ca / "ca.key", signer.key)
    before = contents(ca)
    gate = start(ca, ca={"publish": PUBLISH})
    for kind in KEYS:
        chain = served(gate.port, kind)
        assert len(chain) == 1 + intermediate
        assert cas.verifies(tmp_path, chain, root.cert, "-verify_hostname", HOST) is True
        leaf = cas.x509.load_pem_x509_certificate(chain[0])
        assert urls(leaf) == (f"{PUBLISH}/ca.crl", f"{PUBLISH}/ca.crt")
        assert leaf.issuer == certificate(ca / "ca.pem").subject
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert run("ca", "renew", "-c", gate.config_path).stdout == "Nothing is due.\n"
    assert contents(ca) == before
    assert run("ca", "crl", "-c", gate.config_path).stdout == f"Wrote {ca}/ca.crl.\n"
    assert crl_days(ca / "ca.crl") == 7 and crl_is_of(ca / "ca.crl", signer.cert)


# ---- the running proxy -----------------------------------------------------------------------

def test_leaves_are_of_the_issuing_ca_with_their_kind_of_key(start, ca, tmp_path):
    gate = start(ca, ca={"publish": PUBLISH})
    check_served(gate.port, ca, tmp_path)
    for key in KEYS:
        name = cas.short_name(certificate(ca / f"issuing-{key}.pem"))
        leaf = cas.x509.load_pem_x509_certificate(served(gate.port, key)[0])
        assert urls(leaf) == (f"{PUBLISH}/{name}.crl", f"{PUBLISH}/{name}.crt")


def test_crl_url_is_of_leaves_only(start, ca):
    gate = start(ca, ca={"publish": PUBLISH, "crl_url": "http://lists.example/x.crl"})
    for key in KEYS:
        leaf, issuing = map(cas.x509.load_pem_x509_certificate, served(gate.port, key))
        name = cas.short_name(issuing)
        assert urls(leaf) == ("http://lists.example/x.crl", f"{PUBLISH}/{name}.crt")
        assert urls(issuing) == (f"{PUBLISH}/ca.crl", f"{PUBLISH}/ca.crt")


@pytest.mark.parametrize("only", KEYS)
def test_one_issuing_ca_signs_both_kinds_of_leaf(start, ca, tmp_path, only):
    (ca / "ca.key").unlink()
    for key in set(KEYS) - {only}:
        (ca / f"issuing-{key}.pem").unlink()
    gate = start(ca)
    for key in KEYS:
        chain = served(gate.port, key)
        assert cas.verifies(tmp_path, chain, ca / "ca.pem") is True
        assert cas.x509.load_pem_x509_certificate(chain[1]) == \
            certificate(ca / f"issuing-{only}.pem")


def test_issuing_cas_are_renewed_at_the_start(start, pki, tmp_path):
    """One has expired: the proxy would not start with it."""
    ca = tmp_path / "ca"
    aged(pki, ca, made=400, left=-1, only=KEYS[:1])
    gate = start(ca)
    check_served(gate.port, ca, tmp_path)
    for name in (*ISSUING, "ca.crl"):
        assert f"suitegate info: renewed {ca / name}" in gate.stderr
        assert (ca / name).exists()


def test_issuing_cas_are_renewed_at_sighup(start, ca, tmp_path):
    gate = start(ca)
    old = served(gate.port)
    with wire.Tls(wire.dial(gate.port), wire.client_context(ca / "ca.pem"), name=HOST) as tls:
        tls.handshake()
        gate.write_config(cas.configuration(ca, gate.port, ca={"publish": PUBLISH}))
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        check_served(gate.port, ca, tmp_path)
        new = served(gate.port)
        assert new[1] != old[1]
        assert urls(cas.x509.load_pem_x509_certificate(new[1]))[0] == f"{PUBLISH}/ca.crl"
        tls.send(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert tls.recv().startswith(b"HTTP/1.1 200 ")
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert served(gate.port)[1] == new[1]


@pytest.mark.parametrize("made_ago, left, warns", [(200, 165, False), (300, 65, True)])
def test_without_the_roots_key_the_end_of_an_issuing_ca_is_announced(start, pki, tmp_path, made_ago,
                                                                     left, warns):
    ca = tmp_path / "ca"
    aged(pki, ca, made=made_ago, left=left)
    (ca / "ca.key").unlink()
    gate = start(ca)
    check_served(gate.port, ca, tmp_path)
    said = re.search(r"The issuing CA issuing-(ecdsa|rsa)\.pem expires soon, on \S+ \(this process "
                     r"has no root's key to renew it\)\.", gate.stderr)
    assert bool(said) == warns, gate.stderr
    assert "cannot be renewed" not in gate.stderr


def test_a_folder_that_cannot_be_written_is_warned_of(start, pki, tmp_path):
    ca = tmp_path / "ca"
    aged(pki, ca, made=300, left=65)
    before = contents(ca)
    gate = start(ca, options={"wrapper": cas.read_only(ca)})
    for name in ISSUING:
        assert f"the local CA cannot be renewed: {ca / name}: Read-only file system" in gate.stderr
    check_served(gate.port, ca, tmp_path)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    check_served(gate.port, ca, tmp_path)
    assert contents(ca) == before


STATES = {
    "root": ("ca.key", "ca.pem"),
    "one": ("ca.key", "ca.pem", ISSUING[0]),
    "both": ("ca.key", "ca.pem", *ISSUING),
}


@pytest.mark.parametrize("state", STATES)
def test_what_an_ended_init_leaves_can_be_used(start, ca, tmp_path, state):
    for name in FILES - set(STATES[state]):
        (ca / name).unlink()
    (ca / "ca.crl.new").write_text("half")
    (ca / f"{ISSUING[1]}.new").write_text("half")
    gate = start(ca)
    check_served(gate.port, ca, tmp_path)
    assert "half" not in (ca / "ca.pem").read_text()
    if state != "root":
        assert {path.name for path in ca.iterdir() if path.suffix != ".new"} == FILES


# System calls at which a renewal is ended, and how often each is made before.
KILLED_AT = [("openat", 9), ("write", 1), ("fsync", 1), ("rename", 1), ("fsync", 2), ("rename", 2),
             ("rename", 3)]


@pytest.mark.parametrize("call, count", KILLED_AT, ids=lambda value: str(value))
def test_a_renewal_that_is_killed_leaves_a_usable_ca(pki, tmp_path, call, count):
    ca, config = tmp_path / "ca", cas.written(tmp_path, tmp_path / "ca")
    aged(pki, ca, made=300, left=65)
    done = cas.command("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                       f"inject={call}:signal=SIGKILL:when={count}", BINARY, "ca", "renew", "-c",
                       config)
    assert done.returncode == -signal.SIGKILL
    assert run("config", "-c", config).returncode == 0
    done = run("ca", "renew", "-c", config)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in ca.iterdir()} == FILES
    for name in ISSUING:
        openssl("verify", "-x509_strict", "-CAfile", ca / "ca.pem", ca / name)


# ---- by time ---------------------------------------------------------------------------------


def test_issuing_cas_are_renewed_every_hour_while_connections_go_on(make_forward, ca, pki, clock,
                                                                    tmp_path):
    env, set_clocks = clock
    leaf = pki.leaf("lasting", end=3000 * DAY)
    with upstreams.TlsPeer(wire.server_context(leaf), upstreams.echo) as upstream:
        gate = make_forward(ca={"certificate": ca / "ca.pem", "key": ca / "ca.key"},
                            proxy={"idle_timeout": "24h"}, options={"env": env})

        def connect():
            sock = wire.dial(gate.port)
            sock.sendall(connect_request(f"localhost:{upstream.port}"))
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            return wire.Tls(sock, wire.client_context(), name="localhost").handshake()

        def issuer(tls):
            return cas.x509.load_der_x509_certificate(tls.tls.getpeercert(True)).issuer

        first = connect()
        assert issuer(first) == certificate(ca / ISSUING[0]).subject
        before = contents(ca)
        set_clocks(300 * DAY, 3601)
        # Wakes the loop, so that it looks at its timers. The log's own thread waits on.
        deadline = time.monotonic() + PATIENCE
        while "configuration reloaded" not in gate.stderr and time.monotonic() < deadline:
            for number in (signal.SIGSTOP, signal.SIGCONT):
                os.kill(gate.pid, number)
                time.sleep(0.05)
        for name in ISSUING:
            assert contents(ca)[name] != before[name]
            assert f"renewed {ca / name}" in gate.stderr
        second = connect()
        assert issuer(second) == certificate(ca / ISSUING[0]).subject != issuer(first)
        for tls in (first, second):
            tls.send(b"still here")
            assert tls.recv_exactly(10) == b"still here"
            tls.close()


# ---- secrets ---------------------------------------------------------------------------------

def test_no_key_is_in_any_output_or_log(start, ca, pki, tmp_path):
    secrets = set()

    def note_keys():
        for name in ("ca.key", *ISSUING):
            text = (ca / name).read_text()
            for block in re.findall(r"PRIVATE KEY-----\n(.*?)-----END", text, re.S):
                secrets.update(line for line in block.split() if len(line) > 30)

    note_keys()
    gate = start(ca)
    said = []
    for arguments in (("show",), ("renew",), ("crl", "--out", tmp_path / "lists")):
        done = run("ca", *arguments, "-c", gate.config_path)
        said += [done.stdout, done.stderr]
    gate.write_config(cas.configuration(ca, gate.port, ca={"publish": PUBLISH}))
    gate.reload()
    note_keys()
    said.append("".join(pem.decode() for key in KEYS for pem in served(gate.port, key)))
    BROKEN["other_key_issuing"][0](ca, pki, tmp_path)
    assert gate.reload()["event"]["action"] == "configuration-rejected"
    said += [run("config", "-c", gate.config_path).stderr, run("ca", "show", "-c",
                                                               gate.config_path).stdout]
    gate.stop()
    said += [gate.stdout, gate.stderr, gate.audit_path.read_text(),
             *(path.read_bytes().decode("latin-1") for path in (tmp_path / "lists").iterdir())]
    assert len(secrets) > 60
    assert not [secret for secret in secrets if any(secret in text for text in said)]
    assert not any("PRIVATE KEY" in text for text in said)
