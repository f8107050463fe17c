"""Files with private keys, and files that the gate writes: allowed owners, and the symbolic links
that are followed."""

import os
import shutil

import pytest

from gate import StartError, run
from logs import intact
from refusals import refuse_many
from scene import wait_until
import wire

SOMEBODY = 31337


@pytest.fixture
def keys(make_fixed, make_forward, pki, ca_folder, tmp_path):
    """keys(which) -> (the path of a copy of that private key, start()): start returns a gate that
    uses the copy."""
    def prepare(which):
        if which == "listener":
            path = shutil.copy(pki.ec.key, tmp_path / "own.key")
            return path, lambda: make_fixed(keys=(), **{"listen": {"certificate": pki.ec.chain,
                                                                   "key": path}})
        if which == "ca":
            path = shutil.copy(ca_folder / "ca.key", tmp_path / "copy.key")
            return path, lambda: make_forward(ca={"certificate": ca_folder / "ca.pem",
                                                  "key": path})
        make_forward().stop()
        return tmp_path / "audit.key", make_forward
    return prepare


@pytest.mark.parametrize("which", ["ca", "listener", "log"])
def test_a_private_key_has_to_be_roots_or_the_users(keys, which):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path, start = keys(which)
    start().stop()
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(StartError, match=f"(?s)^exit [12]\n.*{path} belongs to user {SOMEBODY}: "
                                         r".*chown it to root or to the user of this process \(0\)"):
        start()
    os.chown(path, 0, 0)
    start().stop()


def test_root_may_look_at_the_keys_of_a_service(make_forward, ca_folder, tmp_path):
    """The service runs as another user; `config` and `log key` still work for root."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    key = shutil.copy(ca_folder / "ca.key", tmp_path / "copy.key")
    gate = make_forward(ca={"certificate": ca_folder / "ca.pem", "key": key})
    gate.stop()
    for path in key, tmp_path / "audit.key":
        os.chown(path, SOMEBODY, SOMEBODY)
    assert run("config", "-c", gate.config_path).returncode == 0
    assert run("log", "key", "-c", gate.config_path).returncode == 0


def test_certificates_and_keys_may_be_links(make_fixed, pki, tmp_path):
    """As certbot makes them: live/NAME/privkey.pem leads to archive/NAME/privkey1.pem."""
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    live.mkdir()
    for name, source in ("fullchain", pki.ec.chain), ("privkey", pki.ec.key):
        shutil.copy(source, archive / f"{name}1.pem")
        (live / f"{name}.pem").symlink_to(f"../archive/{name}1.pem")
    (archive / "privkey1.pem").chmod(0o600)
    gate = make_fixed(keys=(), listen={"certificate": live / "fullchain.pem",
                                       "key": live / "privkey.pem"})
    wire.dial(gate.port).close()
    gate.stop()
    # The link's target counts.
    (archive / "privkey1.pem").chmod(0o604)
    with pytest.raises(StartError, match="can be read or changed by others"):
        make_fixed(keys=(), listen={"certificate": live / "fullchain.pem",
                                    "key": live / "privkey.pem"})


@pytest.mark.parametrize("name,says", [
    ("audit.jsonl", "audit file .*audit.jsonl is a symbolic link: name the file it leads to"),
    ("audit.state", "audit state .*audit.state is a symbolic link: remove it"),
    ("audit.key", "log key .*audit.key is a symbolic link: name the file it leads to"),
])
@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_what_the_gate_writes_is_no_link(make_forward, tmp_path, name, says, leads):
    target = tmp_path / "elsewhere" / name
    target.parent.mkdir()
    if leads == "somewhere":
        make_forward().stop()
        (tmp_path / name).rename(target)
    before = target.read_bytes() if target.exists() else None
    (tmp_path / name).symlink_to(target)
    with pytest.raises(StartError, match=f"(?s)^exit 2\n.*{says}"):
        make_forward()
    assert (target.read_bytes() if target.exists() else None) == before


def test_the_folder_of_the_log_may_be_a_link(make_forward, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "log").symlink_to("disk")
    gate = make_forward(audit={"file": tmp_path / "log" / "audit.jsonl"})
    refuse_many(gate.port, 2)
    gate.stop()
    assert intact(tmp_path / "disk" / "audit.jsonl")["complete"]


def test_a_log_that_became_a_link_is_not_written_through(make_forward, tmp_path):
    """Somebody creates a link between a rotation's rename and its signal."""
    gate = make_forward()
    refuse_many(gate.port, 2)
    gate.audit_path.rename(tmp_path / "audit.jsonl.1")
    target = tmp_path / "precious"
    target.write_text("precious\n")
    gate.audit_path.symlink_to(target)
    gate.process.send_signal(1)
    refuse_many(gate.port, 2)
    wait_until(lambda: "is a symbolic link" in gate.stderr)
    gate.stop()
    assert target.read_text() == "precious\n"
    gate.audit_path.unlink()
    assert intact(tmp_path / "audit.jsonl.1")["complete"]
