"""[process]: root is left once the sockets are bound and the keys are read."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import tempfile

import pytest

import hellos
from gate import ca_init, free_port, ini, run
from logs import intact
from scene import wait_until
from upgradable import Upgradable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
OWN, CLERK, PROXY = "daemon", "bin", "nobody"
BIND, KILL, SETGID, SETUID = 1 << 10, 1 << 5, 1 << 6, 1 << 7


def status(pid):
    fields = dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
    return ({pwd.getpwuid(int(uid)).pw_name for uid in fields["Uid"].split()},
            {cap: int(fields[cap], 16) for cap in ("CapInh", "CapPrm", "CapEff", "CapAmb")})


def caps(bits):
    return {"CapInh": 0, "CapPrm": bits, "CapEff": bits, "CapAmb": 0}


def errands(gate):
    """The keeper's thread that starts the others and reads files for it."""
    [found] = [int(t.name) for t in pathlib.Path(f"/proc/{gate.pid}/task").iterdir()
               if (t / "comm").read_text() == "errands\n"]
    return found


def users_of(gate):
    """{part: its user}, and what the keeper has kept for errands; all else has nothing."""
    for thread in pathlib.Path(f"/proc/{gate.pid}/task").iterdir():
        if int(thread.name) != errands(gate):
            assert status(thread.name)[1] == caps(0)
    own, kept = status(errands(gate))
    found = {"keeper": own}
    for part, pid in gate.parts().items():
        found[part], theirs = status(pid)
        assert theirs == caps(0), part
    assert kept == caps(kept["CapEff"])
    assert all(len(names) == 1 for names in found.values()), found
    return {part: names.pop() for part, names in found.items()}, kept["CapEff"]


def low_port():
    for port in range(1023, 600, -1):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    return pytest.skip("no free port below 1024")


@pytest.fixture
def folder():
    """Reachable by all, with a CA whose keys are root's alone, and folders for the log. Not in
    pytest's own folder, which each of its processes closes to others."""
    with tempfile.TemporaryDirectory(prefix="suitegate-users-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "ca").mkdir()
        ca_init(folder / "ca")
        for owner in (OWN, CLERK):
            (folder / owner).mkdir()
            shutil.chown(folder / owner, owner)
        yield folder


@pytest.fixture
def started(folder):
    gates = []

    def start(log_of=OWN, port=None, **process):
        text = ini({"process": process, "proxy": {"workers": 1, "drain_timeout": "off"},
                    "ca": {"certificate": folder / "ca/ca.pem"},
                    "audit": {"file": folder / log_of / "audit.jsonl"},
                    "listen f": {"type": "forward", "address": f"127.0.0.1:{port or free_port()}"}})
        gate = Upgradable(folder, text)
        gate.port = int(re.search(r"listening on 127\.0\.0\.1:(\d+)", gate.stdout)[1])
        gates.append(gate)
        return gate
    yield start
    try:
        for gate in gates:
            gate.finish()
    finally:
        for gate in Upgradable.started:
            gate.has_processes(signal.SIGKILL)
        Upgradable.started.clear()


def refused(gate):
    return hellos.ask(gate.port, b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n").status


def test_root_has_to_name_a_user(folder):
    text = ini({"ca": {"certificate": folder / "ca/ca.pem"}, "audit": {"file": folder / "a.jsonl"},
                "listen f": {"type": "forward", "address": "127.0.0.1:0"}})
    (folder / "plain.ini").write_text(text)
    done = run("run", "-c", folder / "plain.ini")
    assert done.returncode == 2 and "user = root, if it has to stay root" in done.stderr
    assert not (folder / "a.jsonl").exists()


@pytest.mark.parametrize("key", ["user", "clerk_user", "proxy_user"])
def test_a_user_that_there_is_not(folder, key):
    process = {"user": OWN, key: "no-such-user"}
    (folder / "x.ini").write_text(ini({"process": process, "listen f": {
        "type": "forward", "address": "127.0.0.1:0"}}))
    done = run("run", "-c", folder / "x.ini")
    assert done.returncode == 2 and "user no-such-user: there is none" in done.stderr


def test_a_low_port_that_is_not_allowed_names_the_capability(folder):
    ca_init(folder / OWN)
    for path in (folder / OWN).iterdir():
        shutil.chown(path, PROXY)
    (folder / "x.ini").write_text(ini({
        "ca": {"certificate": folder / OWN / "ca.pem"},
        "listen f": {"type": "forward", "address": f"127.0.0.1:{low_port()}"}}))
    done = run("run", "-c", folder / "x.ini", user=PROXY)
    assert done.returncode == 2
    assert "Permission denied (a port below 1024 needs CAP_NET_BIND_SERVICE: " in done.stderr


def test_a_key_that_cannot_be_read_names_whose_it_has_to_be(folder):
    (folder / "x.ini").write_text(ini({
        "ca": {"certificate": folder / "ca/ca.pem"},
        "listen f": {"type": "forward", "address": "127.0.0.1:0"}}))
    done = run("run", "-c", folder / "x.ini", user=PROXY)
    assert done.returncode == 2
    assert (f"issuing-ecdsa.pem: Permission denied: chown it to {PROXY}, the user of this process, "
            "whom its folders have to let in") in done.stderr


def test_who_is_not_root_cannot_become_another_one(folder):
    (folder / "x.ini").write_text(ini({"process": {"user": OWN}, "listen f": {
        "type": "forward", "address": "127.0.0.1:0"}}))
    done = run("run", "-c", folder / "x.ini", user=PROXY)
    assert done.returncode == 2 and f"cannot become {OWN}: start it as root" in done.stderr


def test_one_user_for_all(started):
    port = low_port()
    gate = started(user=OWN, port=port)
    assert users_of(gate) == ({"keeper": OWN, "clerk": OWN, "proxy": OWN}, BIND)
    assert refused(gate) == 403
    assert gate.audit_path.owner() == OWN
    assert gate.stop() == 0
    intact(gate.audit_path)


def test_a_user_for_each(started, folder):
    port = low_port()
    gate = started(CLERK, port, user=OWN, clerk_user=CLERK, proxy_user=PROXY)
    wanted = ({"keeper": OWN, "clerk": CLERK, "proxy": PROXY}, BIND | KILL | SETGID | SETUID)
    assert users_of(gate) == wanted
    for part in "proxy", "clerk":
        former = gate.parts()[part]
        os.kill(former, signal.SIGKILL)
        wait_until(lambda p=part, f=former: gate.parts().get(p, f) != f)
        assert users_of(gate) == wanted
    refused(gate)
    for path in (folder / "ca").iterdir():
        shutil.chown(path, OWN)
    gate.upgrade()
    assert users_of(gate) == wanted
    refused(gate)
    assert gate.audit_path.owner() == CLERK
    assert gate.stop() == 0
    intact(gate.audit_path)


def test_a_reload_reads_as_that_user(started, folder):
    """It cannot read what only root can: rejected, and the service goes on."""
    gate = started(user=OWN)
    rejected = gate.reload()
    assert rejected["event"]["action"] == "configuration-rejected"
    assert "issuing-" in rejected["message"] and "ermission denied" in rejected["message"]
    for path in (folder / "ca").iterdir():
        shutil.chown(path, OWN)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    gate.write_config(gate.config.replace(f"user = {OWN}", f"user = {PROXY}"))
    rejected = gate.reload()
    assert rejected["event"]["action"] == "configuration-rejected"
    assert "needs a restart" in rejected["message"]
    assert gate.stop() == 0
