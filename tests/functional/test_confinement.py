"""What a proxy or a clerk that was taken over could do: calls that a test makes in them."""

import errno
import os
import pathlib
import re
import signal

import pytest

from gate import landlock, sanitized
from injection import inject, needs_injection, opens
from logs import intact
from refusals import refuse
from scene import wait_until

pytestmark = [needs_injection, pytest.mark.skipif(sanitized(), reason="a sanitizer needs them all")]

EXECVE, EXECVEAT, FORK, VFORK, CLONE, KILL, TKILL, PTRACE, SETUID = 59, 322, 57, 58, 56, 62, 200, 101, 105
SOCKET, MKDIR, UNLINK, RENAME, LINK, SYMLINK, CHMOD, CHOWN, MOUNT, BPF, KEYCTL, UNSHARE, IO_URING = (
    41, 83, 87, 82, 86, 88, 90, 92, 165, 321, 250, 272, 425)
AF_UNIX, NO = 1, -errno.EACCES
SH = b"/bin/sh"

FORBIDDEN = {
    "execve": (EXECVE, SH, 0, 0), "execveat": (EXECVEAT, -100, SH, 0, 0, 0), "fork": (FORK,),
    "vfork": (VFORK,), "clone": (CLONE, signal.SIGCHLD), "ptrace": (PTRACE, 0), "setuid": (SETUID, 0),
    "mkdir": (MKDIR, b"/tmp/x", 0o700), "link": (LINK, b"/etc/passwd", b"/tmp/x"),
    "symlink": (SYMLINK, b"/etc/passwd", b"/tmp/x"), "chmod": (CHMOD, b"/tmp", 0o777),
    "chown": (CHOWN, b"/tmp", 1, 1), "mount": (MOUNT, b"a", b"b", b"c", 0, 0), "bpf": (BPF, 0, 0, 0),
    "keyctl": (KEYCTL, 0), "unshare": (UNSHARE, 0x10000000), "io_uring_setup": (IO_URING, 1, 0),
    "tkill": (TKILL, 1, 0), "ioctl": (16, 3, 0x5452, b"\1"),  # FIOASYNC: signals for others
}
FOR_PROXY = {**FORBIDDEN, "socketpair": (53, AF_UNIX, 2, 0, b"12345678"), "socket": (SOCKET, AF_UNIX, 1, 0), "unlink": (UNLINK, b"/tmp/x"),
             "rename": (RENAME, b"/tmp/x", b"/tmp/y"),
             "openat": (257, -100, b"/tmp/x", os.O_RDWR | os.O_CREAT, 0o600)}


def calls_of(part):
    return [(part, call) for call in (FOR_PROXY if part == "proxy" else FORBIDDEN)]


@pytest.mark.parametrize("part, call", [*calls_of("proxy"), *calls_of("clerk")])
def test_a_forbidden_call_ends_the_process_by_name(make_forward, part, call):
    """And the next one serves."""
    gate = make_forward()
    former = gate.parts()[part]
    if part == "proxy":
        refuse(gate.port)
    assert inject(former, *FOR_PROXY[call]) == signal.SIGSYS
    wait_until(lambda: gate.parts().get(part, former) != former)
    assert re.search(rf"a system call that this process never makes: {call} \(\d+\); it ends",
                     gate.stderr)
    record = gate.wait_record(action="process-ended")
    assert f"The {part} made a system call that it never makes." in record["message"]
    wait_until(lambda: refuse(gate.port)[0] == 403)
    assert gate.stop() == 0
    intact(gate.audit_path)


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
def test_files_within_reach(make_log, ca_folder, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "copies").mkdir()
    gate = make_log(audit={"file": tmp_path / "log/audit.jsonl", "copy": tmp_path / "copies/one"})
    proxy, clerk = gate.proxy(), gate.clerk()
    out_of_reach = [gate.config_path, ca_folder / "ca.key", ca_folder / "issuing-ecdsa.pem",
                    ca_folder / "ca.pem", "/etc/passwd", "/etc/hosts", "/proc/self/maps", "/", "/tmp",
                    tmp_path, f"/proc/{gate.pid}/mem", f"/proc/{gate.pid}/maps"]
    log = [tmp_path / "log/audit.jsonl", tmp_path / "log/audit.key", tmp_path / "copies/one"]
    assert [opens(proxy, path) for path in (*out_of_reach, *log)] == [NO] * 15
    assert opens(proxy, "/dev/urandom") == pathlib.Path("/dev/urandom")
    assert [opens(clerk, path) for path in (*out_of_reach, "/dev/urandom", "/usr/lib")] == [NO] * 14
    assert [opens(clerk, path) for path in log] == log
    assert opens(clerk, tmp_path / "new", os.O_RDWR | os.O_CREAT) == NO
    made = tmp_path / "log/made"
    assert opens(clerk, made, os.O_RDWR | os.O_CREAT) == made
    refused = -errno.EXDEV  # as of another file system
    assert inject(clerk, RENAME, str(made).encode(), str(tmp_path / "made").encode()) in (refused, NO)
    assert inject(clerk, RENAME, str(gate.config_path).encode(), str(made).encode()) in (refused, NO)
    assert inject(clerk, UNLINK, str(gate.config_path).encode()) == NO
    assert inject(clerk, UNLINK, str(made).encode()) == 0
    assert refuse(gate.port)[0] == 403


def threads(gate):
    """{thread of the keeper: its name}"""
    return {int(t.name): (t / "comm").read_text().strip()
            for t in pathlib.Path(f"/proc/{gate.pid}/task").iterdir()}


def signers(gate):
    """The keeper's threads that read what the proxy sends."""
    found = {thread for thread, name in threads(gate).items() if name != "errands"} - {gate.pid}
    assert found
    return found


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
def test_the_keepers_threads_reach_no_file(make_forward, ca_folder):
    """But for the one that makes errands for them."""
    gate = make_forward(proxy={"workers": 2})
    assert list(threads(gate).values()).count("errands") == 1
    for thread in signers(gate) | {gate.pid}:
        for path in (ca_folder / "issuing-ecdsa.pem", "/etc/passwd", "/proc/self/maps", "/dev/urandom",
                     gate.config_path, gate.audit_path):
            assert opens(thread, path) == NO


FOR_KEEPER = {**FOR_PROXY, "kill": (KILL, 1, 0)}


@pytest.mark.parametrize("thread", ["main", "signer"])
@pytest.mark.parametrize("call", ["execve", "fork", "clone", "socket", "ptrace", "openat", "unlink",
                                  "kill"])
def test_the_keepers_threads_may_do_nothing_else(make_forward, thread, call):
    """The keeper ends, and with it all: a service manager starts it again."""
    gate = make_forward(proxy={"workers": 1})
    asked = gate.pid if thread == "main" else signers(gate).pop()
    assert inject(asked, *FOR_KEEPER[call]) == signal.SIGSYS
    gate.expected_exit = 159
    assert gate.wait() == 159
    assert f"a system call that this process never makes: {call} (" in gate.stderr
    wait_until(lambda: not gate.has_processes())
    [record] = gate.matching(action="process-ended")
    assert record["suitegate"]["detail"] == \
        "The keeper has ended without notice. The proxy and the clerk end, too."
    intact(gate.audit_path)


def test_standard_output_is_the_clerks(make_forward):
    """The log may go there."""
    gate = make_forward(audit={"file": "-"})
    assert os.readlink(f"/proc/{gate.proxy()}/fd/1") == "/dev/null"
    assert os.readlink(f"/proc/{gate.clerk()}/fd/1") == str(gate.stdout_path)
