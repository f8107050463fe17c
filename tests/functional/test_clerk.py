"""The clerk: the process that writes the log. Whoever dies or stands still, what a client was told is in
the log, once, and the service comes back by itself."""

import collections
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import types

import pytest

import wire
from gate import BINARY, Gate, free_port, ini, parts_of, run, sanitized
from logs import intact
from memory import memory_of, private_numbers
from refusals import Crowd, Load, refuse, refuse_many, sources
from scene import nofile, standing_still, wait_until

SYS_PIDFD_GETFD = 438
NOBODY = 65534


def clerk_of(gate, other_than=None):
    """The clerk that runs now, once there is one."""
    def found():
        clerk = parts_of(gate.pid).get("clerk")
        return clerk != other_than and clerk
    return wait_until(found)


def check_receipts(gate):
    """Each process's records are numbered without a gap, and none is there twice."""
    numbers = collections.defaultdict(list)
    for record in gate.all_records():
        sender, _, number = record["event"]["id"].rpartition("-")
        numbers[sender].append(int(number))
    for sender, found in numbers.items():
        if not sender.startswith("clerk"):  # it may take back a checkpoint of its own
            assert found == list(range(1, len(found) + 1)), sender
    return numbers


def answered_are_recorded(gate, load):
    recorded = sources(gate.audit_path.read_bytes().splitlines())
    assert [s for s in load.answered if recorded[s] != 1] == []


# ---- who dies ------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers", (1, 4))
def test_a_clerk_that_is_killed_is_started_again(make_forward, workers):
    gate = make_forward(proxy={"workers": workers})
    with Load(gate.port, clients=4) as load:
        for _ in range(5):
            count = len(load.answered)
            wait_until(lambda: len(load.answered) > count + 20)
            clerk = clerk_of(gate)
            os.kill(clerk, signal.SIGKILL)
            killed = time.monotonic()
            clerk_of(gate, clerk)
            wait_until(lambda: refuse(gate.port)[0] == 403)
            assert time.monotonic() - killed < 10
    assert gate.stop() == 0
    assert "The clerk was ended by signal 9" in gate.stderr
    assert gate.stderr.count("the clerk runs again") == 5
    answered_are_recorded(gate, load)
    numbers = check_receipts(gate)
    assert sum(s.startswith("proxy") for s in numbers) == workers
    assert sum(s.startswith("clerk") for s in numbers) == 6
    ended = [r["suitegate"]["detail"] for r in gate.matching(action="process-ended")]
    assert ended == 5 * ["The clerk was ended by signal 9."]
    intact(gate.audit_path)


def test_without_a_clerk_nobody_is_served(make_forward):
    """Its file cannot be opened: refused until it can, and then all is on record."""
    gate = make_forward()
    refuse_many(gate.port, 3)
    with Load(gate.port, status=503):
        key = gate.audit_path.with_suffix(".key")
        key.chmod(0o644)  # a key for others is none
        os.kill(gate.clerk(), signal.SIGKILL)
        wait_until(lambda: refuse(gate.port)[0] == 503)
        time.sleep(1.5)
        assert refuse(gate.port)[0] == 503
        key.chmod(0o600)
        wait_until(lambda: refuse(gate.port)[0] == 403)
    assert "the clerk cannot write the audit log" in gate.stderr
    assert gate.stop() == 0
    codes = collections.Counter(r["event"].get("code") for r in gate.records())
    assert codes["audit_unavailable"] > 0 and codes["client_plaintext_http"] >= 4, codes
    check_receipts(gate)
    intact(gate.audit_path)


def test_the_clerk_ends_the_log_of_a_process_that_was_killed(make_forward):
    gate = make_forward()
    refuse_many(gate.port, 5)
    gate.expected_exit = -signal.SIGKILL
    gate.process.kill()
    gate.wait()
    wait_until(lambda: not gate.has_processes())
    report = intact(gate.audit_path)
    assert report["unsigned_records"] == 0
    assert gate.all_records()[-1]["suitegate"]["log"]["trigger"] == "stop"


def test_both_are_killed(make_forward):
    """What was answered is there; the next run says how the one before it ended."""
    gate = make_forward()
    with Load(gate.port, clients=4) as load:
        wait_until(lambda: len(load.answered) > 100)
        gate.expected_exit = -signal.SIGKILL
        gate.kill()
    answered_are_recorded(gate, load)
    check_receipts(gate)


# ---- who stands still ----------------------------------------------------------------------------

def test_a_clerk_that_stands_still(make_forward):
    """Its socket fills: nobody learns of a refusal that is not written, and all is written later."""
    gate = make_forward(proxy={"workers": 2})
    refuse_many(gate.port, 1)
    with standing_still(gate.clerk()), Load(gate.port, clients=8) as load:
        with wire.dial(gate.port) as sock:
            sock.sendall(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sock.settimeout(1)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        assert load.answered == []
        os.kill(gate.clerk(), signal.SIGCONT)
        wait_until(lambda: len(load.answered) > 100)
    assert gate.stop() == 0
    answered_are_recorded(gate, load)
    check_receipts(gate)
    intact(gate.audit_path)


def test_nobody_new_is_served_while_the_clerk_hangs(make_fixed):
    """What passed in the first seconds is recorded later, and nothing that came after them."""
    gate = make_fixed(proxy={"workers": 1})
    with standing_still(gate.clerk()):
        assert fetch(gate)
        wait_until(lambda: not fetch(gate))
        time.sleep(.5)
        assert not fetch(gate)
    wait_until(lambda: fetch(gate))
    assert gate.stop() == 0
    codes = collections.Counter(r["event"].get("code") for r in gate.records())
    assert codes["audit_unavailable"] > 0
    check_receipts(gate)
    intact(gate.audit_path)


def test_who_stood_still_accuses_no_clerk_of_it(make_forward):
    """All processes did, as those of a machine that slept: the answer comes all the same."""
    gate = make_forward(proxy={"workers": 1})
    with wire.dial(gate.port) as sock:
        with standing_still(gate.clerk()):
            sock.sendall(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(.5)
            with standing_still(gate.proxy(), 6):
                pass
        assert int(sock.recv(12)[9:]) == 403
        wire.read_to_end(sock)


def fetch(gate):
    return subprocess.run(["curl", "-sS", "-o", os.devnull, "--max-time", "20", "--cacert",
                           gate.ca_path, f"https://localhost:{gate.port}/hello.txt"],
                          capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("asked", (signal.SIGTERM, signal.SIGHUP))
def test_a_clerk_that_hangs_holds_nobody_up(make_forward, asked):
    gate = make_forward()
    refuse_many(gate.port, 3)
    clerk = gate.clerk()
    os.kill(clerk, signal.SIGSTOP)
    gate.process.send_signal(asked)
    if asked == signal.SIGTERM:
        assert gate.wait(60) == 0  # another clerk ends the log
    else:
        clerk_of(gate, clerk)
        wait_until(lambda: refuse(gate.port)[0] == 403)
        assert gate.stop() == 0
        check_receipts(gate)
    intact(gate.audit_path)


# ---- when, and beside what -----------------------------------------------------------------------

class Fetches(Crowd):
    """Clients whose connections pass, one after the other."""

    def __init__(self, gate, clients=3):
        self._gate = gate
        super().__init__(clients)

    def ask(self):
        fetch(self._gate)
        return True


def test_a_clerk_that_is_killed_after_a_rotation_writes_nothing_twice(make_fixed):
    gate = make_fixed(proxy={"workers": 2})
    with Fetches(gate):
        for n in range(8):
            time.sleep(.2)
            clerk = clerk_of(gate)
            gate.audit_path.rename(gate.audit_path.with_name(f"audit.{n}"))
            if n % 2:
                gate.process.send_signal(signal.SIGHUP)
                wait_until(gate.audit_path.exists)
                time.sleep(n * .004)
            os.kill(clerk, signal.SIGKILL)
            clerk_of(gate, clerk)
            wait_until(lambda: fetch(gate))
    assert gate.stop() == 0
    files = [gate.audit_path.with_name(f"audit.{n}") for n in range(8)] + [gate.audit_path]
    ids = collections.Counter(json.loads(line)["event"]["id"] for f in files
                              for line in f.read_bytes().splitlines())
    assert [i for i, n in ids.items() if n > 1 and not i.startswith("clerk")] == []
    intact(*files)


def test_a_stop_without_a_clerk_loses_nothing(make_forward):
    gate = make_forward(proxy={"workers": 3})
    with Load(gate.port, clients=3) as load:
        wait_until(lambda: len(load.answered) > 30)
        os.kill(gate.clerk(), signal.SIGKILL)
        assert gate.stop() == 0
    answered_are_recorded(gate, load)
    check_receipts(gate)
    assert gate.records()[-1]["event"]["action"] == "proxy-stopped"
    intact(gate.audit_path)


def test_a_worker_that_ends_without_a_clerk_loses_nothing(make_fixed, origin):
    """The other has a tunnel for longer, and the clerk is back before that ends."""
    gate = make_fixed(proxy={"workers": 2})
    refuse_many(gate.port, 4)
    context = wire.client_context(gate.ca_path)
    with wire.dial(gate.port) as sock, context.wrap_socket(sock, server_hostname="localhost"):
        gate.wait_record(action="connection-opened")
        key = gate.audit_path.with_suffix(".key")
        key.chmod(0o644)  # a key for others is none: no clerk starts
        os.kill(gate.clerk(), signal.SIGKILL)
        wait_until(lambda: "the clerk cannot write the audit log" in gate.stderr)
        said = [hang_up(gate) for _ in range(20)]
        gate.terminate()
        wait_until(lambda: threads(gate) <= 2, what="one of the workers to end")
        key.chmod(0o600)
        wait_until(lambda: "the clerk runs again" in gate.stderr)
    began = time.monotonic()
    assert gate.wait() == 0
    assert time.monotonic() - began < 20 and len(said) == 20
    numbers = check_receipts(gate)
    codes = collections.Counter(r["event"].get("code") for r in gate.records())
    # The first one has waited for another clerk.
    assert codes["audit_unavailable"] == 19, (codes, numbers)
    intact(gate.audit_path)


def hang_up(gate):
    with wire.dial(gate.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return wire.read_to_end(sock)


def threads(gate):
    return len(os.listdir(f"/proc/{gate.proxy()}/task"))


def test_it_comes_back_after_a_shortage_of_descriptors(make_forward):
    gate = make_forward()
    refuse_many(gate.port, 3)
    clerk = gate.clerk()
    with nofile(gate, gate.fds() - 1):
        os.kill(clerk, signal.SIGKILL)
        clerk_of(gate, clerk)
        time.sleep(1.5)
    wait_until(lambda: refuse(gate.port)[0] == 403)
    assert gate.stop() == 0
    check_receipts(gate)
    intact(gate.audit_path)


def test_closed_standard_descriptors(make_forward):
    """No message gets into the log, and the clerk has nothing of who started it."""
    model = make_forward()
    model.stop()
    with open("/etc/hostname", "rb") as ours, subprocess.Popen(
            ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', BINARY, "run", "-c", model.config_path],
            pass_fds=[ours.fileno()], start_new_session=True) as process:
        try:
            wait_until(lambda: refuse(model.port)[0] == 403)
            folder = pathlib.Path(f"/proc/{clerk_of(process)}/fd")
            opened = {int(f.name): os.readlink(f) for f in folder.iterdir()}
            assert [opened[n] for n in range(3)] == 3 * ["/dev/null"]
            assert "/etc/hostname" not in opened.values()
        finally:
            process.terminate()
        assert process.wait(60) == 0
    intact(model.audit_path)


# ---- who has what --------------------------------------------------------------------------------

def test_the_process_that_serves_has_neither_the_log_nor_its_key(make_forward):
    gate = make_forward()
    refuse_many(gate.port, 20)
    for pid in gate.pid, gate.proxy():
        files = {os.readlink(f) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        assert not [f for f in files if "audit" in f], files
    if sanitized():  # its memory is too large to be read
        return
    secret = secret_of(gate)
    assert any(secret in content for _, content in memory_of(gate.clerk()))
    for pid in gate.pid, gate.proxy():
        assert not any(secret in content for _, content in memory_of(pid))


def secret_of(gate):
    """The log's private key, as it is in memory."""
    return private_numbers(gate.audit_path.with_suffix(".key"))["priv"]


@pytest.mark.skipif(sanitized(), reason="a sanitizer keeps what was on the stack")
def test_the_logs_key_is_in_no_memory_but_its_own(make_forward):
    """Locked, in no core file and in no forked process; neither after signatures anywhere else."""
    gate = make_forward()
    for _ in range(3):  # each with a checkpoint
        refuse_many(gate.port, 5)
        gate.reload()
    secret = secret_of(gate)
    found = [flags for flags, content in memory_of(gate.clerk()) if secret in content]
    assert found and all({"lo", "dd", "wf"} <= set(flags) for flags in found), found


def test_the_processes_have_no_more_rights_to_get(make_forward):
    gate = make_forward()
    for pid in gate.pid, *gate.parts().values():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    for name, pid in gate.parts().items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert f"Name:\tsuitegate-{name}\n" in status
        assert sanitized() or "Seccomp:\t2\n" in status  # a filter; tests/unit/test_confine.c


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_user_that_runs_it_cannot_look_into_it(ca_folder):
    """As one process of that user, taken over, would into the next."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to others
        gate = as_nobody(pathlib.Path(name), ca_folder)
        try:
            for pid in gate.pid, *gate.parts().values():
                done = subprocess.run(["cat", f"/proc/{pid}/maps"], user=NOBODY, group=NOBODY,
                                      capture_output=True, check=False)
                assert done.returncode != 0 and b"Permission denied" in done.stderr
        finally:
            gate.finish()


def as_nobody(folder, ca_folder):
    shutil.copytree(ca_folder, folder, dirs_exist_ok=True)
    for path in folder, *folder.iterdir():
        os.chown(path, NOBODY, NOBODY)
    return Gate(folder, ini({"ca": {"certificate": folder / "ca.pem", "key": folder / "ca.key"},
                             "audit": {"file": folder / "audit.jsonl"},
                             "listen x": {"type": "forward", "address": f"127.0.0.1:{free_port()}"}}),
                popen={"user": NOBODY, "group": NOBODY})


def sockets_to_the_clerk(gate):
    """Copies of the serving process's own sockets, as whoever has taken it over has them."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(gate.proxy())
    try:
        for name in os.listdir(f"/proc/{gate.proxy()}/fd"):
            copy = libc.syscall(SYS_PIDFD_GETFD, process, int(name), 0)
            if copy < 0:
                assert ctypes.get_errno() == errno.EBADF  # closed meanwhile
                continue
            with contextlib.suppress(OSError):  # no socket
                sock = socket.socket(fileno=os.dup(copy))
                if (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
                    yield sock
            os.close(copy)
    finally:
        os.close(process)


def test_a_process_that_was_taken_over_changes_nothing(make_forward):
    """It sends the clerk what it must not: that is on record, and nothing else comes of it."""
    gate = make_forward()
    refuse_many(gate.port, 3)
    before = [r["event"]["hash"] for r in gate.all_records()]
    line = (b'{"@timestamp":"2020-01-01T00:00:00.000Z","event":{"action":"connection-closed",'
            b'"created":"2020-01-01T00:00:00.000Z","id":"keeper-1-x-0-1","sequence":1,"hash":"' +
            b"0" * 64 + b'"}}\n{"@timestamp":"2020-01-01T00:00:00.000Z","event":{'
            b'"action":"connection-closed"')
    sent = 0
    for sock in sockets_to_the_clerk(gate):
        with sock, contextlib.suppress(BrokenPipeError):
            # frame.c: size, number, seconds, nanoseconds, lost, action, level, flags
            sock.sendall(struct.pack(">IQQIIHBB", len(line), 4, 0, 0, 0, 2, 0, 0) + line)
            sent += 1
    assert sent
    gate.wait_record(action="log-rejected")
    wait_until(lambda: refuse(gate.port)[0] == 403)  # with new sockets
    assert gate.stop() == 0
    records = gate.all_records()
    assert [r["event"]["hash"] for r in records][:len(before)] == before
    assert all(r["event"]["created"] >= "2026" for r in records)
    rejected = [r for r in records if r["event"]["action"] == "log-rejected"]
    assert rejected and all("proxy-" in r["suitegate"]["detail"] or "keeper-" in
                            r["suitegate"]["detail"] for r in rejected)
    intact(gate.audit_path)


def test_each_record_says_who_sent_it_and_when_it_came(make_forward):
    gate = make_forward()
    refuse_many(gate.port, 3)
    pids = {"keeper": gate.pid, **gate.parts()}
    assert gate.stop() == 0
    for record in gate.all_records():
        role, pid, rest = record["event"]["id"].split("-", 2)
        action = record["event"]["action"]
        assert role == ("clerk" if action.startswith("log-") else
                        "keeper" if action.startswith(("proxy-", "configuration-", "process-"))
                        else "proxy")
        assert int(pid) == pids[role]
        assert record["event"]["created"] >= record["@timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z-\d+-\d+", rest)


@pytest.mark.parametrize("part", ("clerk", "proxy"))
def test_nobody_starts_a_part_by_hand(part):
    done = run(part)
    assert done.returncode == 64 and "part of suitegate run" in done.stderr
