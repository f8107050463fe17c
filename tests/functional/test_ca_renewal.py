"""Renewing the local CA beside others: other users, other processes, other CAs; and what is published
when the root's key is elsewhere."""

import concurrent.futures
import contextlib
import fcntl
import os
import shutil
import urllib.error
import urllib.request

import pytest

import cas
from gate import free_port, ini, run
from pki import openssl

OLD = {"made": 300, "left": 65}  # in the last third of its life


def renew(where, folder, **sections):
    return run("ca", "renew", "-c", cas.written(where, folder, **sections))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_who_owned_an_issuing_ca_owns_the_next(pki, tmp_path):
    cas.aged(pki, tmp_path / "ca", **OLD)
    for name in cas.ISSUING:
        os.chown(tmp_path / "ca" / name, 65534, 65533)
    assert renew(tmp_path, tmp_path / "ca").returncode == 0
    for name in cas.ISSUING:
        made = (tmp_path / "ca" / name).stat()
        assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (65534, 65533, 0o600)


def test_an_issuing_ca_of_another_root_is_not_replaced(pki, tmp_path):
    cas.aged(pki, tmp_path / "ca", **OLD)
    cas.aged(pki, tmp_path / "other", name="other", **OLD)
    strange = tmp_path / "ca" / "issuing-rsa.pem"
    shutil.copy(tmp_path / "other" / "issuing-rsa.pem", strange)
    before = strange.read_bytes()
    done = renew(tmp_path, tmp_path / "ca")
    assert "issuing-ecdsa.pem" in done.stdout and "issuing-rsa.pem" not in done.stdout
    assert "was not issued by" in done.stderr and done.returncode == 2
    assert strange.read_bytes() == before


def points(path):
    return openssl("x509", "-in", path, "-noout", "-ext", "crlDistributionPoints").decode()


def test_urls_that_are_no_longer_published_are_dropped(tmp_path):
    ca = cas.init(tmp_path / "ca")
    assert renew(tmp_path, ca, ca={"publish": "http://127.0.0.1:1"}).returncode == 0
    assert all("http://127.0.0.1:1/ca.crl" in points(ca / name) for name in cas.ISSUING)
    assert renew(tmp_path, ca).returncode == 0
    assert not any("URI" in points(ca / name) for name in cas.ISSUING)
    assert renew(tmp_path, ca).stdout == "Nothing is due.\n"


def test_a_folder_that_somebody_keeps_locked(pki, make_gate, tmp_path):
    """Whoever may read it can: the proxy goes on, and says so."""
    cas.aged(pki, tmp_path / "ca", **OLD)
    port = free_port()
    with open_folder(tmp_path / "ca") as folder:
        fcntl.flock(folder, fcntl.LOCK_SH)
        done = renew(tmp_path, tmp_path / "ca")
        assert done.returncode == 2 and "is locked by another process" in done.stderr
        gate = make_gate(cas.configuration(tmp_path / "ca", port))
        assert gate.reload()["event"]["action"] == "configuration-loaded"
        assert gate.stderr.count("cannot be renewed") == 2
        cas.check_served(port, tmp_path / "ca", tmp_path)
    before = (tmp_path / "ca" / "issuing-rsa.pem").read_bytes()
    gate.reload()
    assert (tmp_path / "ca" / "issuing-rsa.pem").read_bytes() != before
    assert gate.stop() == 0


@contextlib.contextmanager
def open_folder(path):
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def test_a_new_issuing_ca_has_its_list_where_the_old_one_had_one(pki, tmp_path):
    ca = tmp_path / "ca"
    cas.aged(pki, ca, **OLD)
    assert run("ca", "crl", "-c", cas.written(tmp_path, ca)).returncode == 0
    before = set(ca.glob("*.crl"))
    assert renew(tmp_path, ca).returncode == 0
    made = set(ca.glob("*.crl")) - before
    assert len(before) == 3 and len(made) == 2
    for path in made:
        openssl("crl", "-inform", "DER", "-in", path, "-noout", "-verify", "-CAfile",
                next(ca / name for name in cas.ISSUING
                     if openssl("crl", "-inform", "DER", "-in", path, "-noout", "-issuer")[7:]
                     == openssl("x509", "-in", ca / name, "-noout", "-subject")[8:]))


def test_of_many_that_renew_at_once_one_does(pki, tmp_path):
    cas.aged(pki, tmp_path / "ca", **OLD)
    config = cas.written(tmp_path, tmp_path / "ca")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: run("ca", "renew", "-c", config), range(6)))
    assert [one.returncode for one in done] == [0] * 6
    for name in cas.ISSUING:
        assert sum(one.stdout.count(name) for one in done) == 1
    assert run("config", "-c", config).returncode == 0


LISTS = {
    "a link to a key": lambda ca: (ca / "ca.crl").symlink_to("issuing-rsa.pem"),
    "a link to another file": lambda ca: (ca / "ca.crl").symlink_to("/etc/passwd"),
    "another's list": lambda ca: shutil.copy(
        cas.init(ca.parent / "other") / "ca.crl", ca / "ca.crl"),
    "a cut list": lambda ca: (ca / "ca.crl").write_bytes((ca / "kept").read_bytes()[:-1]),
    "no list": lambda ca: None,
    "its own list": lambda ca: shutil.copy(ca / "kept", ca / "ca.crl"),
}


@pytest.mark.parametrize("what", LISTS)
def test_without_the_roots_key_only_its_own_list_is_published(make_gate, tmp_path, what):
    ca = cas.init(tmp_path / "ca")
    (ca / "ca.crl").rename(ca / "kept")
    (ca / "ca.key").unlink()
    LISTS[what](ca)
    port = free_port()
    make_gate(ini({
        "ca": {"certificate": ca / "ca.pem", "key": ca / "ca.key"},
        "audit": {"file": "audit.jsonl"},
        "listen forward": {"type": "forward", "address": f"127.0.0.1:{free_port()}"},
        "listen publish": {"type": "publish", "address": f"127.0.0.1:{port}"},
    }))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ca.crl") as answer:
            got = answer.read()
    except urllib.error.HTTPError as refused:
        got = refused.code
    assert got == ((ca / "kept").read_bytes() if what == "its own list" else 404)
