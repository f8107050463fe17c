"""No connection starves the others: one with endless bytes gets a bounded share between two checks
of all sockets. Counted in system calls, not in time."""

import collections
import contextlib
import re
import subprocess

import pytest

import hellos
import wire
from gate import free_port
from scene import scene, standing_still  # noqa: F401 (fixture)
from strace import settled, traced
from upstreams import Sink, TlsPeer, nginx

MIB = 1 << 20
# A share is 64 KiB, and a socket that gives less than a buffer at a time ends it: a few calls.
# Both legs' events and the queue's turns can fall into one iteration.
SHARES = 4  # RUN_QUEUE_RUNS, of a connection that is alone
MOST_CALLS = 16
MOST_BYTES = 512 * 1024
CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<fd>-?\d+)?(.*\.\.\., (?P<asked>\d+), )?"
                  r".* = (?P<result>-?\d+)")


def with_calls(log):
    """How to start a gate whose socket calls are written to the file."""
    return traced(log, "epoll_wait,epoll_pwait,recvfrom,sendto", "-s", "0")


def shares(log, counted=("recvfrom", "sendto")):
    """(calls, bytes) on one descriptor between two checks of the sockets, by one thread: all of
    them. Bytes that a socket takes later belong to no later share."""
    found, open_share, late = [], collections.defaultdict(lambda: [0, 0]), collections.Counter()
    for line in log.read_text().splitlines():
        call = CALL.match(line)
        if not call:
            continue
        if call["name"].startswith("epoll"):
            for key in [k for k in open_share if k[0] == call["thread"]]:
                found.append(tuple(open_share.pop(key)))
        elif call["name"] in counted:
            share, done = open_share[call["thread"], call["fd"]], max(0, int(call["result"]))
            share[0] += 1
            share[1] += max(0, done - late[call["fd"]])
            late[call["fd"]] = int(call["asked"]) - done if call["name"] == "sendto" else 0
    return found


@contextlib.contextmanager
def download(s, pki, folder):
    (folder / "big").write_bytes(bytes(40 * MIB))
    folder.chmod(0o755)
    with nginx(folder, pki.ec, files=folder) as upstream:
        gate = s(upstream.port)
        subprocess.run(["curl", "-sSk", "--fail", "--noproxy", "", "-o", "/dev/null",
                        f"https://localhost:{gate.fixed}/big"], check=True, timeout=50)
        yield gate


@contextlib.contextmanager
def upload(s, pki, folder):
    (folder / "big").write_bytes(bytes(40 * MIB))
    with Sink(wire.server_context(pki.ec)) as upstream:
        gate = s(upstream.port)
        subprocess.run(["curl", "-sSk", "--fail", "--noproxy", "", "-H", "Expect:", "-T",
                        folder / "big", f"https://localhost:{gate.fixed}/up"], check=True,
                       timeout=50, stdout=subprocess.DEVNULL)
        yield gate


@contextlib.contextmanager
def discard(s, pki, folder):
    """Bytes without a receiver: the first bytes after the handshake end the session."""
    with nginx(folder, pki.ec) as upstream:
        gate = s(upstream.port)
        with gate.client("fixed") as tls, contextlib.suppress(OSError):
            tls.sock.sendall(bytes(64 * MIB))
        yield gate


def outcome(s, log, **options):
    """The shares of a gate after its one connection has ended."""
    s.gate.wait_record(action="connection-closed")
    assert s.gate.stop() == 0, s.gate.stderr
    settled(log)
    return shares(log, **options)


@pytest.mark.parametrize("load", [download, upload, discard], ids=lambda f: f.__name__)
def test_a_connection_has_a_bounded_share(scene, pki, tmp_path, load):
    log = tmp_path / "calls"
    with load(lambda port: scene(port, keys=("ec",), options=with_calls(log)), pki, tmp_path) as s:
        found = outcome(s, log)
    assert sum(n for _, n in found) > 4 * MIB, "the load did not reach the gate"
    assert max(calls for calls, _ in found) <= MOST_CALLS
    assert max(n for _, n in found) <= MOST_BYTES


def test_small_records_count_for_what_they_cost(scene, pki, tmp_path):
    """A record of one byte is opened and sealed like any other: a share is a few hundred records,
    not as many as fill it with payload. A connection alone gets SHARES of them."""
    log, count = tmp_path / "calls", 20_000

    def dribble(tls, _):
        for _ in range(count):
            tls.tls.write(b"x")
        tls.send(b"x")  # all of them go out at once
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), dribble) as upstream:
        s = scene(upstream.port, keys=("ec",), options=with_calls(log))
        with s.client("fixed") as tls:
            assert tls.recv_to_end() == b"x" * (count + 1)
            tls.close_notify()
        sent = outcome(s, log, counted=("sendto",))
    record = 5 + 8 + 1 + 16  # header, explicit nonce, payload, tag
    assert len(sent) > count / (SHARES * 300)
    assert max(n for _, n in sent) <= SHARES * 300 * record


LOOK = re.compile(r"^(?P<thread>\d+) +(<\.\.\. )?epoll_p?wait\b.* = \d+")


def flights(log):
    """How many server flights went out between two checks of the sockets, without zeros."""
    lines, found = log.read_text().splitlines(), [0]
    workers = {look["thread"] for look in map(LOOK.match, lines) if look}
    sent = [call if call and call["thread"] in workers and call["name"] == "sendto"
            and int(call["result"]) > 500 else None for call in map(CALL.match, lines)]
    number = collections.Counter(call["fd"] for call in sent if call)
    for line, call in zip(lines, sent):
        if LOOK.match(line):
            found.append(0)
        elif call and number[call["fd"]] < 10:  # a client's: the others are orders to the keeper
            found[-1] += 1
    return [n for n in found if n]


def test_many_new_names_at_once_get_their_certificates_one_by_one(scene, echoing, tmp_path):
    """A new certificate costs milliseconds, so other clients are served between two."""
    log, port, names = tmp_path / "calls", free_port(), 40
    s = scene(echoing.port, proxy={"workers": "1"}, options=with_calls(log))
    s.sections["listen probe"] = {"type": "test", "address": f"127.0.0.1:{port}"}
    s.rewrite()
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"

    def ask(name):
        sock = wire.dial(port)
        sock.sendall(hellos.hello(name=name))
        return sock

    with contextlib.ExitStack() as stack:
        assert stack.enter_context(ask("known.example.test")).recv(1) == b"\x16"
        with standing_still(s.gate.proxy()):
            asked = [stack.enter_context(ask(f"n{n}.example.test")) for n in range(names)]
            known = [stack.enter_context(ask("known.example.test")) for _ in range(names)]
        assert {sock.recv(1) for sock in asked + known} == {b"\x16"}
    assert s.gate.stop() == 0, s.gate.stderr
    settled(log)
    found = flights(log)
    assert len(found) >= names, "more than one new certificate between two looks at the sockets"
