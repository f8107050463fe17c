"""Two machines with one address, as conf/keepalived.conf has it: it moves when one is not ready."""

import os
import pathlib
import re
import subprocess

import pytest

from gate import Gate, ini
from scene import wait_until

EXAMPLE = pathlib.Path(__file__).parents[2] / "conf/keepalived.conf"
SHARED, OPERATE, PORT = "192.0.2.10", 9180, 8080
SLOW = 40  # seconds: a check every two, of which two fail, and an election

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="keepalived drops root for its checks")


class Machine:
    """A network namespace with suitegate and keepalived."""

    def __init__(self, folder, number):
        self.folder, self.own = folder, f"192.0.2.{number}"
        folder.mkdir()
        folder.chmod(0o755)
        self.running = []
        self.holder = self._start("unshare", "--net", "sleep", "infinity")
        wait_until(lambda: pathlib.Path(f"/proc/{self.holder.pid}/comm").read_text() == "sleep\n")
        self.enter = ("nsenter", "-t", str(self.holder.pid), "--net", "--")

    def _start(self, *argv, **options):
        process = subprocess.Popen(argv, **options)
        self.running.append(process)
        return process

    def run(self, *argv):
        done = subprocess.run([*self.enter, *argv], capture_output=True, text=True, check=False,
                              timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def link(self, other):
        self.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
                 str(other.holder.pid))
        for one in (self, other):
            one.run("ip", "link", "set", "lo", "up")
            one.run("ip", "addr", "add", f"{one.own}/24", "dev", "eth0")
            one.run("ip", "link", "set", "eth0", "up")

    def serve(self, ca_folder):
        (self.folder / "gate").mkdir(exist_ok=True)
        self.gate = Gate(self.folder / "gate", ini({
            "proxy": {"drain_timeout": "5s"},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "audit": {"file": "audit.jsonl", "instance": self.own},
            "operate": {"address": f"127.0.0.1:{OPERATE}"},
            "listen forward": {"type": "forward", "address": f"0.0.0.0:{PORT}",
                               "allow_clients": "192.0.2.0/24"}}), wrapper=self.enter)

    def keep(self, *changes):
        text = EXAMPLE.read_text()
        for before, after in changes:
            assert text.count(before) == 1
            text = text.replace(before, after)
        path = self.folder / "keepalived.conf"
        path.write_text(text)
        path.chmod(0o644)
        with open(self.folder / "keepalived.log", "wb") as log:
            self._start(*self.enter, "keepalived", "--dont-fork", "--log-console", "--vrrp",
                        "-f", path, "-p", self.folder / "pid", "-r", self.folder / "vrrp.pid",
                        stdout=log, stderr=log)

    def holds(self):
        return f" {SHARED}/24 " in self.run("ip", "-4", "addr", "show", "dev", "eth0")

    def end(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait(30)


@pytest.fixture
def machines(tmp_path, ca_folder):
    made = []
    try:
        made += [Machine(tmp_path / "one", 11), Machine(tmp_path / "two", 12)]
        made[0].link(made[1])
        for one in made:
            one.serve(ca_folder)
        yield made
    finally:
        for one in made:
            one.end()
        for one in made:
            one.gate.finish()


def ask(machine):
    """What a client there gets from the shared address."""
    return machine.run("sh", "-c", f"printf 'GET / HTTP/1.1\\r\\n\\r\\n' | nc -q 1 -w 5 {SHARED} {PORT}")


@pytest.mark.once
def test_the_address_moves_when_one_is_not_ready(machines, ca_folder):
    one, two = machines
    one.keep()
    two.keep(("state MASTER", "state BACKUP"), ("priority 100", "priority 90"))
    wait_until(lambda: one.holds() and not two.holds(), SLOW)
    assert " 403 " in ask(two)
    assert one.gate.wait_record(action="connection-refused")["source"]["ip"] == two.own
    assert one.gate.stop() == 0
    wait_until(lambda: two.holds() and not one.holds(), SLOW)
    assert " 403 " in ask(one)
    assert two.gate.wait_record(action="connection-refused")["source"]["ip"] == one.own
    one.serve(ca_folder)
    wait_until(lambda: one.holds() and not two.holds(), SLOW)
    said = (one.folder / "keepalived.log").read_text()
    assert "VRRP_Script(ready) succeeded" in said
    assert not re.search("unknown|warning|SECURITY", said, re.I), said
