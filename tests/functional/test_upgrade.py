"""`suitegate upgrade`: the next process takes over while clients are served; none is refused, no
tunnel is cut, the log is one chain. One that cannot serve changes nothing."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

import wire
from gate import BINARY, PATIENCE, children_of, free_port, parts_of, run
from logs import check_chain, intact
from refusals import Crowd, refuse
from scene import Scene, talk, wait_until
from upgradable import UPGRADED, Upgradable, is_running

@pytest.fixture
def upgradable(make_gate, pki, ca_folder, tmp_path, echoing):
    """upgradable(**options of Scene) -> Scene before an upstream that echoes."""
    gates = []

    def make(config, **options):
        gates.append(Upgradable(tmp_path, config, **options))
        return gates[-1]

    yield lambda **options: Scene(make, pki, ca_folder, options.pop("upstream", echoing.port),
                                  **options)
    try:
        for gate in gates:
            gate.finish()
    finally:  # also those that a failed test did not come to finish
        for gate in Upgradable.started:
            gate.has_processes(signal.SIGKILL)
        Upgradable.started.clear()


class Visitors(Crowd):
    """Clients that talk through the gate without a pause; .faults has what went wrong."""

    def __init__(self, scene, how, clients=2):
        self.scene, self.how = scene, how
        self.served, self.faults = 0, []
        super().__init__(clients)

    def ask(self):
        try:
            self.scene.echoes(self.how)
            self.served += 1
        except Exception as fault:  # whatever a client may see
            self.faults.append(repr(fault))
        return True


class Refused(Crowd):
    """Clients that are refused and told so."""

    def __init__(self, port):
        self.port, self.count, self.faults = port, 0, []
        super().__init__(1)

    def ask(self):
        try:
            status = refuse(self.port)[0]
            self.count += status == 403
            if status != 403:
                self.faults.append(status)
        except Exception as fault:
            self.faults.append(repr(fault))
        return True


class Readers(Crowd):
    """Clients of a publish listener; .read has each answer's body, or what went wrong."""

    def __init__(self, port):
        self.port, self.read = port, []
        super().__init__(2)

    def ask(self):
        try:
            url = f"http://127.0.0.1:{self.port}/ca.pem"
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                self.read.append(answer.read())
        except OSError as fault:
            self.read.append(repr(fault))
        return True


def detail_of(gate, action):
    return [r["suitegate"]["detail"] for r in gate.matching(action=action)]


def each_once(gate):
    ids = [r["event"]["id"] for r in gate.all_records()]
    assert len(set(ids)) == len(ids)


# ---- without loss --------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_upgrades_under_load(upgradable, workers):
    s = upgradable(proxy={"workers": workers, "drain_timeout": "off",
                          "max_handshakes_per_source": 0})
    with contextlib.ExitStack() as tunnels:
        held = [tunnels.enter_context(s.client(how)) for how in ("forward", "fixed")]
        with Visitors(s, "fixed") as fixed, Visitors(s, "forward") as forward, \
                Refused(s.forward) as refused:
            for _ in range(20):
                s.gate.upgrade()
                held.append(tunnels.enter_context(s.client("forward")))
                for tunnel in held:
                    talk(tunnel)
            wait_until(lambda: fixed.served > 20 and forward.served > 20 and refused.count > 20)
        assert (fixed.faults, forward.faults, refused.faults) == ([], [], [])
        assert len([pid for pid in s.gate.former if is_running(pid)]) > 10, "a tunnel each"
        for tunnel in held:
            talk(tunnel)
    count = fixed.served + forward.served + len(held)
    s.gate.wait_record(action="connection-closed", count=count)
    wait_until(lambda: not any(is_running(pid) for pid in s.gate.former))
    assert s.gate.stop() == 0, s.gate.stderr
    report = intact(s.gate.audit_path)
    assert "without its last word" not in report and "2 chains" not in report
    actions = [r["event"]["action"] for r in s.gate.records()]
    for action, wanted in (("connection-opened", count), ("connection-closed", count),
                           ("connection-refused", refused.count), ("proxy-started", 21),
                           ("proxy-upgraded", 20), ("proxy-stopped", 21), ("process-ended", 0)):
        assert actions.count(action) == wanted, action
    assert check_chain(s.gate.audit_path) == len(s.gate.all_records())
    each_once(s.gate)


def test_what_is_published_stays_reachable(upgradable, ca_folder):
    s = upgradable()
    port = free_port()
    s.sections["listen web"] = {"type": "publish", "address": f"127.0.0.1:{port}"}
    s.rewrite()
    s.gate.upgrade()
    wanted = (ca_folder / "ca.pem").read_bytes()
    with Readers(port) as readers:
        for _ in range(8):
            s.gate.upgrade()
        wait_until(lambda: len(readers.read) > 40)
    assert set(readers.read) == {wanted}


def test_a_client_that_has_said_nothing_is_served(upgradable):
    s = upgradable(proxy={"drain_timeout": "off"})
    with wire.dial(s.fixed) as early:
        wait_until(lambda: s.gate.unaccepted() == 0)
        s.gate.upgrade()
        s.gate.upgrade()
        with wire.Tls(early, s.context("fixed"), name="localhost").handshake() as tls:
            talk(tls)


def test_the_program_that_the_file_is_by_then(upgradable):
    s = upgradable()
    program = s.gate.program.read_bytes()
    assert program.count(b"0.1.0\0")
    newer = s.gate.folder / "newer"
    newer.write_bytes(program.replace(b"0.1.0\0", b"9.9.9\0"))
    newer.chmod(0o755)
    newer.rename(s.gate.program)
    assert s.gate.upgrade() == "9.9.9"
    assert s.echoes("fixed")
    s.gate.wait_record(action="connection-closed")
    [opened] = s.gate.matching(action="connection-opened")
    assert opened["observer"]["version"] == "9.9.9"


def test_the_answer_comes_when_the_former_proxy_accepts_no_more(upgradable):
    """What is opened after it meets the next one."""
    s = upgradable()
    former = s.gate.parts()["proxy"]
    os.kill(former, signal.SIGSTOP)
    with subprocess.Popen([BINARY, "upgrade", "-c", str(s.gate.config_path)],
                          stdout=subprocess.PIPE, text=True) as asked:
        s.gate.wait_record(action="proxy-upgraded")
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(0.3)
        os.kill(former, signal.SIGCONT)
        assert asked.wait(PATIENCE) == 0
        s.gate.note(int(UPGRADED.fullmatch(asked.stdout.read())[1]))
    assert s.echoes("fixed")


def test_the_configuration_that_the_file_is_by_then(upgradable):
    s = upgradable()
    port, s.forward = s.forward, s.fixed + 1
    s.sections["listen forward"]["address"] = f"127.0.0.1:{s.forward}"
    s.rewrite()
    s.gate.upgrade()
    assert s.echoes("forward") and s.echoes("fixed")
    with pytest.raises(ConnectionRefusedError):
        wire.dial(port)


def test_a_signal_does_the_same(upgradable):
    s = upgradable()
    os.kill(s.gate.pid, signal.SIGUSR2)
    s.gate.wait_record(action="proxy-upgraded")
    [detail] = detail_of(s.gate, "proxy-upgraded")
    s.gate.note(int(re.match(r"Process (\d+)", detail)[1]))
    assert s.echoes("fixed")


def test_several_at_once_are_one(upgradable):
    s = upgradable()
    results = []
    threads = [threading.Thread(target=lambda: results.append(s.gate.ask())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.returncode for result in results} == {0}
    for pid in re.findall(r"upgraded: Process (\d+),", s.gate.stderr):
        s.gate.note(int(pid))
    assert len(s.gate.former) <= 4
    assert s.echoes("fixed")


def test_a_reload_meanwhile_is_not_lost(upgradable):
    s = upgradable()
    asked = threading.Thread(target=s.gate.upgrade)
    asked.start()
    while asked.is_alive():
        os.kill(s.gate.pid, signal.SIGHUP)
        time.sleep(0.002)
    asked.join()
    s.sections["policy"]["minimum_rsa_bits"] = 3072
    s.rewrite()
    count = len(s.gate.matching(action="configuration-loaded"))
    os.kill(s.gate.pid, signal.SIGHUP)
    s.gate.wait_record(action="configuration-loaded", count=count + 1)
    assert s.echoes("fixed")


# ---- how long the former process waits -----------------------------------------------------------

def test_a_limit_for_open_connections(upgradable):
    s = upgradable(proxy={"drain_timeout": "1s"})
    with s.client("fixed") as tunnel:
        talk(tunnel)
        s.gate.upgrade()
        talk(tunnel)
        s.gate.wait_record(action="connection-closed")
        assert tunnel.ending() == "truncated"
    wait_until(lambda: not is_running(s.gate.former[0]))
    assert s.gate.matching(action="connection-closed")[0]["suitegate"]["closed_by"] == "shutdown"


def test_a_stop_ends_all(upgradable):
    """Also the former processes' connections, with their records."""
    s = upgradable(proxy={"drain_timeout": "500ms"})
    s.sections["proxy"]["drain_timeout"] = "off"
    s.rewrite()
    s.gate.upgrade()  # from here on they wait
    with contextlib.ExitStack() as tunnels:
        for _ in range(3):
            talk(tunnels.enter_context(s.client("fixed")))
            s.gate.upgrade()
        s.sections["proxy"]["drain_timeout"] = "500ms"
        s.rewrite()
        s.gate.upgrade()
        assert s.gate.stop() == 0, s.gate.stderr
        assert len(s.gate.matching(action="connection-closed")) == 3
    assert "without its last word" not in intact(s.gate.audit_path)


def test_a_second_signal_ends_a_former_process(upgradable):
    s = upgradable(proxy={"drain_timeout": "off"})
    with s.client("fixed") as tunnel:
        talk(tunnel)
        s.gate.upgrade()
        os.kill(s.gate.former[0], signal.SIGTERM)
        talk(tunnel)
        os.kill(s.gate.former[0], signal.SIGTERM)
        s.gate.wait_record(action="connection-closed")
    wait_until(lambda: not is_running(s.gate.former[0]))


# ---- one that cannot serve -----------------------------------------------------------------------

def break_configuration(s):
    s.sections["listen front"] = [("type", "nothing")]
    s.rewrite()
    return "must be forward"


def break_log(s):
    s.sections["audit"]["file"] = "missing/audit.jsonl"
    s.rewrite()
    s.gate.audit_path = s.gate.folder / "audit.jsonl"
    return "No such file or directory"


def break_program(s):
    s.gate.program.unlink()
    s.gate.program.write_text("no program")
    s.gate.program.chmod(0o755)
    return "cannot be started"


def remove_program(s):
    s.gate.program.unlink()
    return "cannot be started: No such file or directory"


def other_program(s):
    s.gate.program.unlink()
    shutil.copy("/bin/true", s.gate.program)
    return "the next process ended with status 0"


def take_port(s):
    sock = socket.create_server(("127.0.0.1", 0))
    s.taken = sock
    s.sections["listen forward"]["address"] = f"127.0.0.1:{sock.getsockname()[1]}"
    s.rewrite()
    return "Address already in use"


@pytest.mark.parametrize("spoil", [break_configuration, break_log, break_program, remove_program,
                                   other_program, take_port])
def test_the_former_process_goes_on(upgradable, spoil):
    s = upgradable()
    good, forward = s.gate.config, s.forward
    with s.client("fixed") as tunnel, Visitors(s, "fixed", clients=1) as visitors:
        why = spoil(s)
        result = s.gate.ask()
        assert result.returncode == 1 and why in result.stderr, result
        assert "goes on" in result.stderr and "PRIVATE" not in result.stderr
        s.gate.wait_record(action="upgrade-rejected")
        assert why in detail_of(s.gate, "upgrade-rejected")[0]
        talk(tunnel)
        s.forward = forward
        assert s.echoes("forward") and s.echoes("fixed")
        s.gate.write_config(good)
        if not s.gate.program.exists() or s.gate.program.read_bytes() != \
                pathlib.Path(BINARY).read_bytes():
            s.gate.program.unlink(missing_ok=True)
            shutil.copy(BINARY, s.gate.program)
        s.gate.upgrade()
        talk(tunnel)
        seen = visitors.served
        wait_until(lambda: visitors.served > seen + 2)
    assert not visitors.faults
    assert s.gate.stop() == 0, s.gate.stderr
    assert "without its last word" not in intact(s.gate.audit_path)
    each_once(s.gate)


def test_fewer_workers_need_a_restart(upgradable):
    """Connections that wait in the queue of a socket would be reset."""
    s = upgradable(proxy={"workers": 3})
    s.sections["proxy"]["workers"] = 2
    s.rewrite()
    assert "3 sockets were handed over, one or 2 are needed ([proxy] workers)" in \
        s.gate.ask().stderr
    assert s.echoes("fixed")


def test_more_workers_share_a_socket(upgradable):
    s = upgradable()
    s.sections["proxy"]["workers"] = 3
    s.rewrite()
    s.gate.upgrade()
    for _ in range(10):
        assert s.echoes("fixed")


@pytest.mark.parametrize("part", ["suitegate", "clerk", "proxy"])
def test_the_next_process_is_killed(upgradable, part):
    """Whenever: each time another moment of its start."""
    s = upgradable(proxy={"drain_timeout": "off", "max_handshakes_per_source": 0})
    with s.client("fixed") as tunnel, Visitors(s, "fixed", clients=1) as visitors:
        for turn in range(5):
            asked = subprocess.Popen([BINARY, "upgrade", "-c", str(s.gate.config_path)],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            mine = set(s.gate.parts().values())
            victim = None
            deadline = time.monotonic() + PATIENCE
            while not victim and asked.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError):
                    for child in children_of(s.gate.pid) - mine:
                        victim = child if part == "suitegate" else parts_of(child).get(part)
            time.sleep(turn * 0.0025)
            if victim:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            out, err = asked.communicate(timeout=PATIENCE * 2)
            assert asked.returncode in (0, 1), (out, err, s.gate.stderr)
            if asked.returncode == 0:
                pid = int(UPGRADED.fullmatch(out)[1])
                s.gate.note(pid)
                if victim == pid:  # too late: it was the keeper that serves
                    wait_until(lambda: not is_running(victim))
                    s.gate.exit_code = 0
                    return
            wait_until(lambda: s.echoes("fixed"))
            talk(tunnel)
    if part == "suitegate":
        assert not visitors.faults
    assert s.gate.stop() == 0, s.gate.stderr
    intact(s.gate.audit_path)
    each_once(s.gate)


def new_children(gate, known):
    return children_of(gate.pid) - known


def held_at(gate, part):
    """An upgrade whose next process has just started this part, which stands still: (the command,
    the next process, its part). None when it was too quick."""
    known = set(gate.parts().values())
    asked = subprocess.Popen([BINARY, "upgrade", "-c", str(gate.config_path)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while asked.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in new_children(gate, known):
                if part in parts_of(child):
                    os.kill(parts_of(child)[part], signal.SIGSTOP)
                    time.sleep(0.2)
                    if asked.poll() is None:
                        return asked, child, parts_of(child)[part]
    out, _ = asked.communicate(timeout=PATIENCE)
    gate.note(int(UPGRADED.fullmatch(out)[1]))
    with contextlib.suppress(KeyError):
        os.kill(gate.parts()[part], signal.SIGCONT)
    return None


@pytest.mark.parametrize("part", ["clerk", "proxy"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSTOP])
def test_the_next_process_is_told_to_stop(upgradable, part, number):
    """Or stands still, with its clerk or its proxy: the former one goes on, and no client is
    refused meanwhile."""
    s = upgradable(proxy={"drain_timeout": "off", "max_handshakes_per_source": 0})
    with s.client("fixed") as tunnel, Visitors(s, "fixed", clients=1) as visitors, \
            Refused(s.forward) as refused:
        held = next(held for _ in range(20) if (held := held_at(s.gate, part)))
        asked, following, stopped = held
        os.kill(following, number)
        if (part, number) == ("proxy", signal.SIGSTOP):  # its clerk records: there is time
            time.sleep(1)
            os.kill(following, signal.SIGKILL)
        out, err = asked.communicate(timeout=PATIENCE * 3)
        assert asked.returncode == 1 and "goes on" in err, (out, err)
        if (part, number) == ("proxy", signal.SIGTERM):
            assert "it was told to stop" in err
        if (part, number) == ("proxy", signal.SIGSTOP):
            os.kill(stopped, signal.SIGKILL)  # its keeper was killed by this test
        wait_until(lambda: not is_running(stopped))
        talk(tunnel)
        seen = visitors.served
        wait_until(lambda: visitors.served > seen + 2)
    assert (visitors.faults, refused.faults) == ([], []), s.gate.stderr
    assert s.gate.stop() == 0, s.gate.stderr
    intact(s.gate.audit_path)
    each_once(s.gate)


def test_the_program_behind_a_link(upgradable, tmp_path):
    """As releases are changed: the link leads elsewhere by then."""
    s = upgradable()
    s.gate.stop()
    program = s.gate.program.read_bytes()
    for name, version in (("one", b"0.1.0\0"), ("two", b"9.9.9\0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "suitegate").write_bytes(program.replace(b"0.1.0\0", version))
        (tmp_path / name / "suitegate").chmod(0o755)
    s.gate.program.unlink()
    (tmp_path / "current").symlink_to("one")
    s.gate.program.symlink_to("current/suitegate")
    gate = Upgradable(tmp_path, s.ini())
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    assert gate.upgrade() == "9.9.9"
    gate.finish()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_name_that_another_user_has_taken(upgradable, tmp_path):
    """Nobody's keeper is followed, and the answer says who gave it."""
    s = upgradable()
    s.gate.stop()
    taken = "\0suitegate/" + hashlib.sha256(str(s.gate.config_path).encode()).hexdigest()
    script = ("import os, socket, sys; os.setuid(65534)\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(%r); s.listen()\n"
              "print(flush=True)\n"
              "c = s.accept()[0]; c.recv(100); c.send(b'done\\0Process 1\\0')\n"
              "sys.stdin.read()" % taken)
    with subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as squatter:
        squatter.stdout.readline()
        gate = Upgradable(tmp_path, s.ini())
        assert "another process has the name" in gate.stderr
        os.kill(gate.pid, signal.SIGUSR2)
        gate.wait_record(action="upgrade-rejected")
        assert "the process that answers belongs to user 65534" in gate.ask().stderr
        squatter.stdin.close()
    os.kill(gate.pid, signal.SIGUSR2)  # the name is free again
    gate.wait_record(action="proxy-upgraded")
    gate.note(int(re.search(r"upgraded: Process (\d+),", gate.stderr)[1]))
    gate.finish()


def test_nobody_answers(upgradable, tmp_path):
    s = upgradable()
    other = tmp_path / "other.ini"
    shutil.copy(s.gate.config_path, other)
    result = subprocess.run([BINARY, "upgrade", "-c", str(other)], check=False,
                            capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 2 and f"no suitegate run with {other} is found" in result.stderr


# ---- the service manager -------------------------------------------------------------------------

@pytest.fixture
def manager(tmp_path):
    """A socket to which a service says what it does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def test_the_manager_learns_the_main_process(upgradable, manager, tmp_path):
    s = upgradable(options={"env": {"NOTIFY_SOCKET": str(tmp_path / "notify")}})
    ready = b"READY=1\nSTATUS=Serving."
    assert manager.recv(512) == ready
    s.gate.upgrade()
    said = {manager.recv(512), manager.recv(512)}
    assert said == {ready, f"MAINPID={s.gate.pid}".encode()}


def sender_of_watchdog(manager):
    """The process that says it lives, once all that was said before is read."""
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    until = time.monotonic() + 1
    while True:
        message, ancillary, _, _ = manager.recvmsg(512, socket.CMSG_SPACE(12))
        pid = int.from_bytes(ancillary[0][2][:4], "little") if ancillary else 0
        if message == b"WATCHDOG=1" and time.monotonic() > until:
            return pid


def test_the_manager_hears_that_the_main_process_lives(upgradable, manager, tmp_path):
    s = upgradable(options={"wrapper": ("bash", "-c", 'WATCHDOG_PID=$$ exec "$@"', "bash"),
                            "env": {"NOTIFY_SOCKET": str(tmp_path / "notify"),
                                    "WATCHDOG_USEC": "400000"}})
    assert sender_of_watchdog(manager) == s.gate.pid
    with s.client("forward") as tls:  # the former process stays
        s.gate.upgrade()
        assert sender_of_watchdog(manager) == s.gate.pid
        talk(tls)
        tls.close_notify()
    os.kill(s.gate.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            manager.settimeout(2)
            while manager.recv(512):
                pass
    finally:
        os.kill(s.gate.pid, signal.SIGCONT)


def test_the_watchdog_of_another_process_is_not_this_ones(upgradable, manager, tmp_path):
    upgradable(options={"env": {"NOTIFY_SOCKET": str(tmp_path / "notify"),
                                "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}})
    assert manager.recv(512) == b"READY=1\nSTATUS=Serving."
    manager.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.recv(512)


def listening(*ports):
    return [socket.create_server(("127.0.0.1", port), backlog=64) for port in ports]


def handed_over(sockets, names=None):
    """How a service manager starts a process with these."""
    numbers = [sock.fileno() for sock in sockets]
    variables = {"LISTEN_FDS": str(len(numbers))}
    if names:
        variables["LISTEN_FDNAMES"] = names
    moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(numbers))
    return {"wrapper": ("bash", "-c", f'exec {moves}; LISTEN_PID=$$ exec "$@"', "bash"),
            "env": variables, "popen": {"pass_fds": numbers}}


@pytest.mark.parametrize("workers", [1, 3])
def test_sockets_of_a_service_manager(upgradable, workers):
    """A restart queues connections instead of refusing them, an upgrade keeps the sockets."""
    free = listening(0, 0)
    forward, fixed = (sock.getsockname()[1] for sock in free)
    started = []

    def start(config):
        pass

    s = upgradable(proxy={"workers": workers})
    s.gate.stop()
    s.sections["listen forward"]["address"] = f"127.0.0.1:{forward}"
    front = dict(s.sections["listen front"])
    s.sections["listen front"] = [(k, f"127.0.0.1:{fixed}" if k == "address" else v)
                                  for k, v in s.sections["listen front"]]
    del start, started, front
    s.forward, s.fixed = forward, fixed
    for _ in range(2):
        first = Upgradable(s.gate.folder, s.ini(), **handed_over(free))
        s.gate = first
        for _ in range(8):
            assert s.echoes("forward") and s.echoes("fixed")
        first.upgrade()
        assert s.echoes("forward") and s.echoes("fixed")
        first.finish()
        with wire.dial(fixed) as waiting:  # nobody accepts: the manager has the socket
            second = Upgradable(s.gate.folder, s.ini(), **handed_over(free))
            s.gate = second
            with wire.Tls(waiting, s.context("fixed"), name="localhost").handshake() as tls:
                talk(tls)
            second.finish()
    for sock in free:
        sock.close()


def test_sockets_by_the_name_that_a_socket_unit_gives_them(upgradable):
    free = listening(0, 0)
    s = upgradable()
    s.gate.stop()
    s.forward, s.fixed = (sock.getsockname()[1] for sock in free)
    s.sections["listen forward"]["address"] = "systemd:web"
    s.sections["listen front"] = [(k, "systemd:front-door" if k == "address" else v)
                                  for k, v in s.sections["listen front"]]
    s.gate = Upgradable(s.gate.folder, s.ini(), **handed_over(free, "web:front-door"))
    assert f"listening on 127.0.0.1:{s.forward} (forward, forward)" in s.gate.stdout
    for _ in range(3):
        assert s.echoes("forward") and s.echoes("fixed")
        s.gate.upgrade()
    assert s.echoes("forward") and s.echoes("fixed")
    assert run("reload", "-c", s.gate.config_path).returncode == 0
    assert s.echoes("forward") and s.echoes("fixed")
    assert "address = systemd:web" in run("config", "-c", s.gate.config_path).stdout
    s.gate.finish()
    for sock in free:
        sock.close()


@pytest.mark.parametrize("names", ["other", None])
def test_a_name_that_no_socket_has_is_told_of(upgradable, names):
    s = upgradable()
    s.gate.stop()
    s.sections["listen forward"]["address"] = "systemd:web"
    with listening(0)[0] as spare:
        with pytest.raises(AssertionError, match="no socket web was handed over: its socket unit "
                                                 "wants FileDescriptorName=web"):
            Upgradable(s.gate.folder, s.ini(), **(handed_over([spare], names) if names else {}))


def test_a_socket_that_is_no_listener_is_named(upgradable):
    s = upgradable()
    s.gate.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        with pytest.raises(AssertionError, match="no listening TCP socket: the unit wants"):
            Upgradable(s.gate.folder, s.ini(), **handed_over([wrong], "it"))


def test_a_socket_that_no_listener_has_is_told_of(upgradable):
    s = upgradable()
    s.gate.stop()
    with listening(0)[0] as spare:
        gate = Upgradable(s.gate.folder, s.ini(), **handed_over([spare]))
        where = f"127.0.0.1:{spare.getsockname()[1]}"
        assert f"no listener has the address {where} of a socket that was handed over" in gate.stderr
        gate.finish()


ACTIVATE = shutil.which("systemd-socket-activate")


@pytest.mark.skipif(not ACTIVATE, reason="systemd is not installed")
def test_systemd_starts_it(upgradable):
    s = upgradable()
    s.gate.stop()
    command = [ACTIVATE, "-l", f"127.0.0.1:{s.forward}", "-l", f"127.0.0.1:{s.fixed}",
               BINARY, "run", "-c", str(s.gate.config_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: s.echoes("forward"))  # the first client starts it
            assert s.echoes("fixed")
        finally:
            process.terminate()
        assert process.wait(PATIENCE) == 0
