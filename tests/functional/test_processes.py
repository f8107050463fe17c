"""Keeper, clerk and proxy: whoever of them dies, the service comes back by itself, connections that
wait are not refused, and the log says what was cut."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import time

import pytest

import wire
from logs import intact
from refusals import Load, refuse, refuse_many, sources
from scene import scene, talk, wait_until  # noqa: F401 (fixtures)


def kill(gate, part):
    """Its process ends; returns when another one has its place."""
    former = gate.parts()[part]
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: gate.parts().get(part, former) != former)


def ended(gate):
    return [r for r in gate.records() if r["event"]["action"] == "process-ended"]


def opened_ids(gate, count):
    gate.wait_record(action="connection-opened", count=count)
    return {r["suitegate"]["connection_id"] for r in gate.matching(action="connection-opened")}


class Stubborn(Load):
    """Goes on when a process was killed that had its connection."""

    def ask(self):
        super().ask()
        return True


# ---- the proxy -----------------------------------------------------------------------------------

def test_a_proxy_that_is_killed_is_started_again(scene, echoing):
    s = scene(echoing.port)
    with s.client("fixed") as first, s.client("forward") as second:
        talk(first)
        talk(second)
        opened = opened_ids(s.gate, 2)
        begun = time.monotonic()
        kill(s.gate, "proxy")
        wait_until(lambda: s.echoes("fixed"))
        assert time.monotonic() - begun < 10
    [record] = ended(s.gate)
    assert record["suitegate"]["detail"] == \
        "The proxy was ended by signal 9. It had 2 connections open."
    cut = record["suitegate"]["cut"]
    assert (cut["connections"], cut["complete"]) == (2, True) and set(cut["ids"]) == opened
    assert record["event"]["id"].startswith("clerk-")
    assert s.gate.stop() == 0
    intact(s.gate.audit_path)


def test_what_was_closed_was_not_cut(scene, echoing):
    s = scene(echoing.port)
    for _ in range(5):
        assert s.echoes("fixed")
    s.gate.wait_record(action="connection-closed", count=5)
    kill(s.gate, "proxy")
    wait_until(lambda: ended(s.gate))
    assert ended(s.gate)[0]["suitegate"]["cut"] == {"connections": 0, "complete": True, "ids": []}


def test_many_that_are_cut_take_several_records(scene, echoing):
    s = scene(echoing.port, proxy={"max_handshakes_per_source": 0})
    number = 300
    with contextlib.ExitStack() as clients:
        for _ in range(number):
            talk(clients.enter_context(s.client("fixed")))
        ids = opened_ids(s.gate, number)
        kill(s.gate, "proxy")
        wait_until(lambda: len(ended(s.gate)) == 2)
    records = ended(s.gate)
    assert {r["suitegate"]["cut"]["connections"] for r in records} == {number}
    assert len(ids) == number and set(sum((r["suitegate"]["cut"]["ids"] for r in records), [])) == ids


def test_connections_wait_for_the_next_proxy(make_forward):
    """None is refused while none serves."""
    gate = make_forward(proxy={"workers": 2})
    refuse_many(gate.port, 3)
    os.kill(gate.pid, signal.SIGSTOP)  # the keeper: it starts no other one for now
    os.kill(gate.proxy(), signal.SIGKILL)
    waiting = [wire.dial(gate.port) for _ in range(50)]
    for sock in waiting:
        sock.sendall(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(.5)
    os.kill(gate.pid, signal.SIGCONT)
    for sock in waiting:
        with sock:
            assert sock.recv(12) == b"HTTP/1.1 403"
            wire.read_to_end(sock)
    assert gate.stop() == 0
    assert len(gate.matching(code="client_plaintext_http")) >= 3


def test_killed_again_and_again_under_load(make_forward):
    gate = make_forward(proxy={"workers": 2})
    with Stubborn(gate.port, clients=4) as load:
        for _ in range(10):
            count = len(load.answered)
            wait_until(lambda: len(load.answered) > count + 20)
            kill(gate, "proxy")
    assert gate.stop() == 0
    recorded = sources(gate.audit_path.read_bytes().splitlines())
    assert [s for s in load.answered if recorded[s] != 1] == []
    assert len(ended(gate)) == 10
    intact(gate.audit_path)


def test_a_proxy_that_dies_at_once_is_not_started_in_a_circle(make_forward):
    gate = make_forward()
    begun = time.monotonic()
    while time.monotonic() - begun < 2:
        with contextlib.suppress(KeyError, ProcessLookupError):
            os.kill(gate.proxy(), signal.SIGKILL)
        time.sleep(.01)
    wait_until(lambda: refuse(gate.port)[0] == 403)
    assert 2 <= len(ended(gate)) <= 8
    assert gate.stop() == 0


# ---- several ------------------------------------------------------------------------------------

@pytest.mark.parametrize("first, second", [("proxy", "clerk"), ("clerk", "proxy")])
def test_proxy_and_clerk_are_killed(scene, echoing, first, second):
    """A clerk that has not seen which connections were open says so."""
    s = scene(echoing.port)
    with s.client("fixed") as tls:
        talk(tls)
        opened = opened_ids(s.gate, 1)
        parts = s.gate.parts()
        os.kill(parts[first], signal.SIGKILL)
        os.kill(parts[second], signal.SIGKILL)
        wait_until(lambda: s.echoes("fixed"))
        wait_until(lambda: len(ended(s.gate)) == 2)
    for record in ended(s.gate):  # it may have had the time to write
        cut = record["suitegate"].get("cut", {"complete": False})
        assert not cut["complete"] or set(cut["ids"]) == opened
    assert s.gate.stop() == 0
    intact(s.gate.audit_path)


@pytest.mark.parametrize("others", [(), ("proxy",), ("clerk",)])
def test_the_keeper_is_killed(scene, echoing, others):
    """Nothing goes on without it: what was open is closed and on record, and another one starts."""
    s = scene(echoing.port)
    with s.client("fixed") as tls:
        talk(tls)
        refuse_many(s.forward, 5)
        s.gate.expected_exit = -signal.SIGKILL
        for pid in [s.gate.pid, *(s.gate.parts()[part] for part in others)]:
            os.kill(pid, signal.SIGKILL)
        s.gate.wait()
        wait_until(lambda: not s.gate.has_processes())
        assert tls.ending() in ("truncated", "reset", "close_notify")
    if "clerk" not in others:
        assert intact(s.gate.audit_path)["unsigned_records"] == 0
    if not others:
        closed = s.gate.wait_record(action="connection-closed")
        assert closed["suitegate"]["closed_by"] == "shutdown"


# ---- what a proxy that was taken over leaves behind ----------------------------------------------

SYS_PIDFD_GETFD = 438


def sockets_of(pid, kind):
    """Copies of its sockets of this family and type."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        copy = libc.syscall(SYS_PIDFD_GETFD, process, int(name), 0)
        with contextlib.suppress(OSError):  # no socket, or closed meanwhile
            sock = socket.socket(fileno=copy)
            if (sock.family, sock.type) == kind:
                yield sock
    os.close(process)


def post_of(pid):
    """Its end of the connection to the keeper: descriptor 3."""
    process = os.pidfd_open(pid)
    copy = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, process, 3, 0)
    os.close(process)
    return socket.socket(fileno=copy)


def test_a_listening_socket_that_was_shut_down_is_opened_again(make_forward):
    gate = make_forward(proxy={"workers": 2})
    for sock in sockets_of(gate.proxy(), (socket.AF_INET, socket.SOCK_STREAM)):
        with contextlib.suppress(OSError):
            sock.setblocking(True)
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    kill(gate, "proxy")
    wait_until(lambda: refuse(gate.port)[0] == 403)
    assert "no longer listens: it is opened again" in gate.stderr
    assert gate.stop() == 0


def test_the_keeper_takes_no_descriptors(make_forward):
    gate = make_forward()
    before = len(os.listdir(f"/proc/{gate.pid}/fd"))
    post = post_of(gate.proxy())
    with post, open("/dev/null", "rb") as null:
        for count in (1, 2, 3, 10):
            for _ in range(10):
                socket.send_fds(post, [b"missed\0" + b"1\0"], [null.fileno()] * count)
        time.sleep(.5)
        assert len(os.listdir(f"/proc/{gate.pid}/fd")) <= before + 1
        post.sendall(b"ended\0" + b"7\0" + b"18446744073709551615\0")
        post.sendall(b"refused\0\x1b[31m\0")
        time.sleep(.2)
    kill(gate, "proxy")
    wait_until(lambda: refuse(gate.port)[0] == 403)
    assert gate.stop() == 0
    assert "\x1b" not in gate.stderr
    assert gate.records()[-1]["suitegate"]["detail"].startswith("0 connections")


WORDS = [b"loaded", b"refused", b"missed", b"used", b"drained", b"ended", b"socket", b"load", b"", b"x"]
NUMBERS = [b"0", b"1", b"-1", b"18446744073709551616", b"4294967296", b"1e9", b" 1", b"", b"\xff" * 64]


def any_message(rng):
    fields = [rng.choice(WORDS), *(rng.choice(NUMBERS) for _ in range(rng.randrange(6)))]
    message = b"\0".join(fields) + rng.choice([b"\0", b""])
    if rng.random() < 0.2:
        message += rng.randbytes(rng.choice([1, 100, 5000, 70000]))
    return message or b"\0"


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_proxy_tells_the_keeper(make_forward, seed):
    """The keeper goes on, with another proxy if need be, reloads, and stops in order."""
    gate = make_forward(proxy={"workers": 2})
    rng = random.Random(seed)
    for _ in range(4):
        post = post_of(gate.proxy())
        post.settimeout(1)
        with post, contextlib.suppress(OSError):  # the keeper may have ended this proxy
            for _ in range(200):
                post.sendall(any_message(rng))
        wait_until(lambda: "proxy" in gate.parts())
        kill(gate, "proxy")
        wait_until(lambda: refuse(gate.port)[0] == 403)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    assert refuse(gate.port)[0] == 403
    assert gate.stop() == 0, gate.stderr
    intact(gate.audit_path)
