"""Three instances behind HAProxy, as conf/haproxy.cfg has them: one is killed, one upgraded, one
drained, under load. Nothing but the killed one's tunnels is lost, clients resume their sessions at any
instance, and their logs say who saw what."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import wire
from gate import free_port, ini, run
from logs import intact
from operated import Metrics, ask
from refusals import Crowd
from scene import at, talk, wait_until
from upgradable import Upgradable
from upstreams import Process

EXAMPLE = pathlib.Path(__file__).parents[2] / "conf/haproxy.cfg"
TUNNELS = 15


class Visitors(Crowd):
    """Clients of the one address; .faults has what went wrong."""

    def __init__(self, context, port, target):
        self.context, self.port, self.target = context, port, target
        self.served, self.faults = 0, []
        self.session = None
        super().__init__(3, pause=.02)

    def ask(self):
        try:
            with opened(self.context, self.port, self.target, self.session) as tls:
                talk(tls)
                self.session = tls.tls.session
                tls.close_notify()
            self.served += 1
        except Exception as fault:  # whatever a client may see
            self.faults.append(repr(fault))
        return True


def opened(context, port, target, session=None):
    """A session through the one address."""
    sock, answer = wire.connect(port, target)
    assert answer.status == 200, answer.status
    tls = wire.Tls(sock, context, name="localhost", session=session)
    try:
        return tls.handshake()
    except BaseException:
        tls.close()
        raise


@pytest.fixture
def instances(tmp_path, pki, ca_folder):
    """Three of them, with .forward and .operate."""
    made, keys = [], tmp_path / "tickets.keys"
    keys.write_text(f"2026-01-01T00:00:00Z {bytes(32).hex()}\n"
                    f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {os.urandom(32).hex()}\n")
    keys.chmod(0o600)
    try:
        for name in ("one", "two", "three"):
            folder = tmp_path / name
            folder.mkdir()
            forward, operate = free_port(), free_port()
            one = Upgradable(folder, ini({
                "proxy": {"workers": 1, "drain_timeout": "1m"},
                "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
                "upstream": {"trust": pki.trust}, "tickets": {"key_file": keys}, "audit": {"file": "audit.jsonl", "instance": name},
                "operate": {"address": f"127.0.0.1:{operate}"},
                "listen forward": {"type": "forward", "address": f"127.0.0.1:{forward}",
                                   "proxy_protocol_from": "127.0.0.0/8"}}))
            one.forward, one.operate = forward, operate
            made.append(one)
        yield made
    finally:
        for gate in Upgradable.started:
            gate.has_processes(signal.SIGKILL)
        Upgradable.started.clear()


@pytest.fixture
def balancer(tmp_path, instances):
    """The one address' port."""
    text, port = EXAMPLE.read_text(), free_port()
    for name, one in zip(("one", "two", "three"), instances):
        text, found = re.subn(rf"server {name} \S+", f"server {name} 127.0.0.1:{one.forward} port "
                              f"{one.operate}", text)
        assert found == 1
    text = text.replace("bind 0.0.0.0:8080", f"bind 127.0.0.1:{port}")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text)
    done = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    with Process(["haproxy", "-db", "-f", path], port, tmp_path / "haproxy.log"):
        yield port


def owners(instances, sources):
    """{source port of a tunnel: its instance}, from the logs."""
    found = {}
    for one in instances:
        for record in one.matching(action="connection-opened"):
            if record["source"]["port"] in sources:
                found[record["source"]["port"]] = one
    return found


def is_gone(port):
    try:
        ask(port, "/ready")
        return False
    except ConnectionError:
        return True


def lives(tls):
    try:
        talk(tls)
        return True
    except Exception:  # however it was lost
        return False


@pytest.mark.once
def test_one_is_killed_one_upgraded_one_drained(instances, balancer, ca_folder, echoing):
    killed, upgraded, drained = instances
    context = wire.client_context(ca_folder / "ca.pem")
    target = f"127.0.0.1:{echoing.port}"
    with contextlib.ExitStack() as stack:
        tunnels = [stack.enter_context(opened(context, balancer, target)) for _ in range(TUNNELS)]
        ports = {tls.sock.getsockname()[1]: tls for tls in tunnels}
        wait_until(lambda: len(owners(instances, ports)) == TUNNELS)
        owner = owners(instances, ports)
        assert set(owner.values()) == set(instances)
        with Visitors(context, balancer, target) as visitors:
            wait_until(lambda: visitors.served > 20)
            upgraded.upgrade()
            assert not visitors.faults
            os.kill(killed.pid, signal.SIGKILL)
            wait_until(lambda: is_gone(killed.operate))
            before = visitors.served
            wait_until(lambda: visitors.served > before + 30)
            at_kill = len(visitors.faults)
            assert at_kill <= 6, visitors.faults  # what was on its way through it
            stopping = subprocess.Popen([str(drained.program), "stop", "-c", drained.config_path])
            wait_until(lambda: ask(drained.operate, "/ready")[0] == 503)
            before = visitors.served
            wait_until(lambda: visitors.served > before + 30)
            assert len(visitors.faults) <= at_kill + 3, visitors.faults[at_kill:]
        for port, tls in ports.items():
            assert lives(tls) == (owner[port] is not killed)
        assert Metrics(upgraded.operate)("connections_total", outcome="opened") > 30
        for tls in tunnels:
            tls.close()
    assert stopping.wait(60) == 0
    logs = [one.audit_path for one in instances]
    assert upgraded.stop() == 0
    done = run("log", "report", "--json", *logs)
    assert done.returncode == 0, done.stderr
    assert {row["name"]: row["allowed"] for row in json.loads(done.stdout)["instances"]} == {
        name: len(one.matching(action="connection-opened"))
        for name, one in zip(("one", "two", "three"), instances)}
    found = intact(*logs)["logs"]
    assert [log["instance"] for log in found] == ["one", "two", "three"]
    visits = [[at(r, "tls.resumed") for r in one.matching(action="connection-opened")]
              for one in instances]
    assert sum(map(len, visits)) >= visitors.served + TUNNELS
    assert all(True in resumed for resumed in visits)
    assert sum(resumed.count(False) for resumed in visits) <= TUNNELS + 3 + len(visitors.faults)
