"""[operate] and suitegate status when something hangs, lies, or is in the way."""

import array
import concurrent.futures
import contextlib
import ctypes
import hashlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

import wire
from gate import run
from operated import Metrics, as_json, ask, ask_unix, parse
from refusals import refuse
from scene import scene, talk, wait_until  # noqa: F401 (fixtures)
from test_operate import operated  # noqa: F401 (fixture)

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may stop a single thread")


@contextlib.contextmanager
def hanging(threads):
    """These stand still. From one thread: it is their tracer."""
    libc = ctypes.CDLL(None, use_errno=True)
    for thread in threads:
        assert libc.ptrace(SEIZE, thread, None, None) == 0, os.strerror(ctypes.get_errno())
        assert libc.ptrace(INTERRUPT, thread, None, None) == 0
        os.waitpid(thread, 0x40000000)  # __WALL
    try:
        yield
    finally:
        for thread in threads:
            libc.ptrace(DETACH, thread, None, None)


def workers_of(gate, port):
    """The proxy's threads that answer clients: those that use processor time while many come."""
    tasks = pathlib.Path(f"/proc/{gate.proxy()}/task")

    def used():
        return {int(t.name): sum(map(int, (t / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
                for t in tasks.iterdir()}

    before, deadline = used(), time.monotonic() + 20
    while True:
        for _ in range(200):
            with contextlib.suppress(OSError):
                refuse(port)
        busy = {t for t, n in used().items() if n > before.get(t, 0)}
        if len(busy) >= 2 or time.monotonic() > deadline:
            return busy


@needs_root
def test_workers_that_hang(operated):  # noqa: F811
    one = operated(proxy={"workers": 2})
    tunnels = [one.client("forward") for _ in range(12)]
    for tls in tunnels:
        talk(tls, b"x" * 1000)
    workers = workers_of(one.gate, one.forward)
    assert len(workers) == 2
    before = Metrics(one.operate)("payload_bytes_total", **{"from": "client"})
    assert before >= 12000
    with hanging(workers):
        begun = time.monotonic()
        code, _, body = ask(one.operate, "/health")
        assert (code, body) == (503, "A worker thread does not answer.\n")
        assert time.monotonic() - begun < 3
        with concurrent.futures.ThreadPoolExecutor(12) as pool:  # nobody waits for the others
            list(pool.map(lambda _: Metrics(one.operate), range(12)))
        assert time.monotonic() - begun < 6
        metrics = Metrics(one.operate)
        assert metrics("ready") == 0
        assert metrics("payload_bytes_total", **{"from": "client"}) == before
    wait_until(lambda: ask(one.operate, "/health")[0] == 200)
    for tls in tunnels:
        talk(tls)
        tls.close()


def test_a_log_that_never_comes_back(operated):  # noqa: F811
    one = operated()
    (one.gate.folder / "audit.key").write_text("garbage")
    os.kill(one.gate.clerk(), signal.SIGKILL)
    threading.Thread(target=refuse, args=(one.forward,)).start()
    wait_until(lambda: ask(one.operate, "/health")[0] == 503, seconds=30)
    wait_until(lambda: Metrics(one.operate)("log_failing") == 1)
    first = Metrics(one.operate)("log_state_age_seconds")
    wait_until(lambda: Metrics(one.operate)("log_state_age_seconds") > first + 2, seconds=30)
    assert as_json(one.gate)["log"]["failing"] is True
    one.gate.expected_exit = -signal.SIGKILL
    one.gate.kill()
    one.gate.wait()


def test_slow_clients_hold_nobody(operated):  # noqa: F811
    one = operated()
    with contextlib.ExitStack() as stack:
        over, slow = threading.Event(), []
        for source in range(2, 10):
            for _ in range(16):
                with contextlib.suppress(OSError):
                    slow.append(stack.enter_context(
                        wire.dial(one.operate, source=f"127.0.0.{source}")))

        def drip():
            while not over.wait(0.5):
                for sock in slow:
                    with contextlib.suppress(OSError):
                        sock.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            for _ in range(10):
                begun = time.monotonic()
                assert ask(one.operate, "/health", source="127.0.0.77", timeout=5)[0] == 200
                assert time.monotonic() - begun < 4
        finally:
            over.set()
            thread.join()


def test_two_do_not_share_an_address(operated):  # noqa: F811
    one = operated()
    with pytest.raises(Exception, match=r"\[operate\] cannot listen on 127.0.0.1:\d+: Address al"):
        operated(operate={"address": f"127.0.0.1:{one.operate}"})
    with pytest.raises(Exception, match=r"\[operate\] cannot listen on "):
        operated(operate={"address": f"0.0.0.0:{one.forward}", "allow_clients": "127.0.0.1"})
    assert ask(one.operate, "/health")[0] == 200


@pytest.mark.parametrize("host, code", [
    ("127.0.0.1", 200), ("127.0.0.1:9180", 200), ("[::1]:9180", 200), ("[::1]", 200),
    ("localhost", 200), ("LOCALHOST:80", 200), ("evil.example", 403), ("evil.example:9180", 403),
    ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403), ('"><script>', 403),
    ("127.0.0.1@evil.example", 403),
])
def test_a_name_that_was_made_to_lead_here_is_refused(operated, host, code):  # noqa: F811
    one = operated()
    with wire.dial(one.operate) as sock:
        sock.sendall(f"GET /status.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                     .encode())
        answer = wire.read_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 %d " % code)
    assert (b"newest_refusals" in answer) == (code == 200)


def test_a_socket_that_somebody_took_away_comes_back(operated, tmp_path):  # noqa: F811
    path = tmp_path / "operate.sock"
    one = operated(operate={"address": f"unix:{path}"})
    assert path.stat().st_mode & 0o777 == 0o666
    path.unlink()
    assert run("reload", "-c", one.gate.config_path).returncode == 0
    assert ask_unix(path).endswith("It serves.\n")
    other = tmp_path / "other.sock"
    one.sections["operate"]["address"] = f"unix:{other}"
    one.rewrite()
    assert run("reload", "-c", one.gate.config_path).returncode == 0
    assert ask_unix(other).endswith("It serves.\n")
    wait_until(lambda: not path.exists())
    assert one.gate.stop() == 0
    assert not other.exists()


def test_a_live_socket_is_not_taken_away(operated, tmp_path):  # noqa: F811
    path = tmp_path / "operate.sock"
    one = operated(operate={"address": f"unix:{path}"})
    with pytest.raises(Exception, match="cannot listen on unix:.*: Address already in use"):
        operated(operate={"address": f"unix:{path}"})
    assert ask_unix(path).endswith("It serves.\n")
    one.gate.stop()


def test_connections_of_a_listener_that_was_renamed(operated):  # noqa: F811
    one = operated()
    with one.client("forward") as tls:
        talk(tls)
        one.sections["listen other"] = one.sections.pop("listen forward")
        one.rewrite()
        assert run("reload", "-c", one.gate.config_path).returncode == 0
        metrics = Metrics(one.operate)
        assert metrics("connections", listener="forward") == metrics("connections") == 1
        talk(tls)


def test_names_that_are_no_text(operated, tmp_path):  # noqa: F811
    """A file name is bytes; one that is long, or twice the same sink, is no second series."""
    names = ["é" * 60, "esc\x1b[31m"]
    one = operated(audit={"copy": [tmp_path / name for name in names],
                          "syslog": ["udp:127.0.0.1:9"] * 2})
    refuse(one.forward)
    wait_until(lambda: Metrics(one.operate)("records_written_total", sink="log") > 1)
    text = Metrics(one.operate).text
    assert "é" * 60 in text and "esc?[31m" in text
    parse(text)  # no series twice
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, timeout=60,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    shown = run("status", "-c", one.gate.config_path).stdout
    assert "\x1b" not in shown and "esc\\u{1b}" in shown


# ---- the control socket ---------------------------------------------------------------------

def control(gate):
    path = str(pathlib.Path(gate.config_path).absolute())
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(20)
    sock.connect("\0suitegate/" + hashlib.sha256(path.encode()).hexdigest())
    return sock


def full_pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    return reading, writing


def test_a_pipe_that_is_full_holds_nobody(make_forward):
    gate = make_forward()
    pipes = [full_pipe() for _ in range(5)]
    for _, writing in pipes:
        with control(gate) as sock:
            sock.sendmsg([b"status\0json\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                array.array("i", [writing]))])
            assert sock.recv(512).startswith(b"done\0")
    begun = time.monotonic()
    assert run("reload", "-c", gate.config_path).returncode == 0
    assert as_json(gate)["ready"] is True
    assert time.monotonic() - begun < 10
    for ends in pipes:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("what", [b"status\0", b"status\0json\0", b"status\0nonsense\0", b"status"])
def test_a_status_that_nobody_can_get(make_forward, what):
    gate = make_forward()
    with control(gate) as sock:
        sock.send(what)
        assert sock.recv(512).startswith(b"refused\0")
    assert as_json(gate)["ready"] is True
