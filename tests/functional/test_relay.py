"""Bytes arrive unchanged, all of them, both ways, and ends are passed on as they are."""

import contextlib
import fcntl
import hashlib
import random
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time

import pytest

import wire
from gate import PATIENCE
from scene import at, how, scene, sent_alert, standing_still, wait_until  # noqa: F401 (fixtures)
from upstreams import Sink, TlsPeer, echo, nginx

MIB = 1 << 20
BULK = 100 * MIB


@pytest.fixture(scope="module")
def bulk(tmp_path_factory):
    """A file of pseudo-random bytes: (path, SHA-256)."""
    path = tmp_path_factory.mktemp("bulk") / "bulk"
    data = random.Random(20240504).randbytes(4 * MIB)
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        for i in range(BULK // len(data)):
            piece = i.to_bytes(8, "big") + data[8:]
            out.write(piece)
            digest.update(piece)
    path.parent.chmod(0o755)
    return path, digest.hexdigest()


def curl(s, how, path, *options, port=None, **popen):
    """curl through the forward or the fixed listener."""
    if how == "forward":
        to = [f"https://localhost:{s.upstream}{path}", "--cacert", s.ca,
              "--proxy", f"http://127.0.0.1:{s.forward}"]
    else:
        to = [f"https://localhost:{s.fixed}{path}", "--cacert", s.pki.trust]
    argv = ["curl", "-sS", "--fail", "--noproxy", "", "--max-time", "50", *to, *options]
    return subprocess.run([str(a) for a in argv], capture_output=True, check=False, **popen)


# ---- bulk ------------------------------------------------------------------------------------

def test_a_hundred_mebibytes_down(scene, how, pki, tmp_path, bulk):
    path, digest = bulk
    out = tmp_path / "out"
    with nginx(tmp_path, pki.ec, pki.rsa, files=path.parent) as upstream:
        s = scene(upstream.port)
        done = curl(s, how, "/bulk", "-o", out)
        assert done.returncode == 0, done.stderr
    assert hashlib.sha256(out.read_bytes()).hexdigest() == digest
    out.unlink()
    _, closed = s.opened_closed()[0]
    assert BULK < at(closed, "destination.bytes") < BULK + 2000


def test_a_hundred_mebibytes_up(scene, how, pki, bulk):
    path, digest = bulk
    with Sink(wire.server_context(pki.ec)) as upstream:
        s = scene(upstream.port)
        done = curl(s, how, "/up", "-T", path, "-H", "Expect:")
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode() == f"{digest} {BULK}"
    _, closed = s.opened_closed()[0]
    assert BULK < at(closed, "source.bytes") < BULK + 2000


@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256"])
def test_bulk_with_the_cbc_suites(scene, pki, tmp_path, bulk, suite):
    """Their records have another overhead; the digests do not change."""
    path, digest = bulk
    out = tmp_path / "out"
    with nginx(tmp_path, pki.ec, pki.rsa, files=path.parent, ciphers=suite) as upstream:
        s = scene(upstream.port)
        done = curl(s, "fixed", "/bulk", "-o", out, "--ciphers", suite, "--tls-max", "1.2",
                    "-r", f"0-{20 * MIB - 1}")
        assert done.returncode == 0, done.stderr
    with open(path, "rb") as original:
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(
            original.read(20 * MIB)).digest()
    opened, _ = s.opened_closed()[0]
    assert at(opened, "tls.cipher") == wire.EIGHT[suite]
    assert at(opened, "suitegate.upstream.tls.cipher") == wire.EIGHT[suite]


def test_h2_multiplexed(scene, how, pki, tmp_path):
    """Forty transfers over one h2 connection, from one process."""
    for i in range(40):
        (tmp_path / f"f{i}").write_bytes(random.Random(i).randbytes(50_000 + i))
    tmp_path.chmod(0o755)
    with nginx(tmp_path, pki.ec, pki.rsa, http2=True, files=tmp_path) as upstream:
        s = scene(upstream.port)
        out = tmp_path / "got"
        out.mkdir()
        port, extra = ((s.upstream, ["--cacert", s.ca, "--proxy", f"http://127.0.0.1:{s.forward}"])
                       if how == "forward" else (s.fixed, ["--cacert", pki.trust]))
        argv = ["curl", "-sS", "--fail", "--http2", "--parallel", "--noproxy", "", *extra,
                "--max-time", "40", "-w", "%{http_version} %{num_connects}\n",
                f"https://localhost:{port}/f[0-39]", "-o", f"{out}/#1"]
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert {line.split()[0] for line in done.stdout.splitlines()} == {"2"}
    for i in range(40):
        assert (out / str(i)).read_bytes() == (tmp_path / f"f{i}").read_bytes()
    s.gate.wait_record(action="connection-closed")
    opened = s.gate.matching(action="connection-opened")
    assert {at(r, "tls.next_protocol") for r in opened} == {"h2"}
    assert {at(r, "suitegate.upstream.tls.next_protocol") for r in opened} == {"h2"}


def test_interleaved_small_writes(scene, how, pki):
    """Thousands of writes of odd sizes in both directions at the same time."""
    sizes = [random.Random(7).randint(1, 700) for _ in range(2000)]
    stream = random.Random(8).randbytes(sum(sizes))

    def both_ways(tls, _):
        # Sends its own stream in small pieces while the client's stream arrives.
        taken, start = hashlib.sha256(), 0
        for size in sizes:
            tls.send(stream[start:start + size])
            start += size
            taken.update(tls.recv_exactly(size))
        tls.send(taken.digest())
        tls.close_notify()
        tls.recv_to_end()

    with TlsPeer(wire.server_context(pki.ec), both_ways) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            start, got = 0, bytearray()
            for size in sizes:
                tls.send(stream[start:start + size])
                got += tls.recv_exactly(size)
                start += size
            assert bytes(got) == stream
            assert tls.recv_exactly(32) == hashlib.sha256(stream).digest()
            assert tls.recv() == b""
            tls.close_notify()
    _, closed = s.opened_closed()[0]
    assert at(closed, "source.bytes") == len(stream)
    assert at(closed, "destination.bytes") == len(stream) + 32


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65536, 1_000_003])
def test_exact_bytes_of_any_size(scene, pki, size):
    def handler(tls, _):
        data = tls.recv_to_end()
        tls.send(data)
        tls.close_notify()

    data = random.Random(size).randbytes(size)
    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client("forward") as tls:
            tls.send(data)
            tls.close_notify()
            assert tls.recv_to_end() == data
    _, closed = s.opened_closed()[0]
    assert (at(closed, "source.bytes"), at(closed, "destination.bytes")) == (size, size)


# ---- how it ends -------------------------------------------------------------------------------

def test_half_close_by_the_client(scene, how, pki):
    """close_notify passes at once; the answer that is sent after it arrives."""
    def handler(tls, _):
        assert tls.recv_to_end() == b"question"
        for _ in range(50):
            tls.send(bytes(10_000))
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"question")
            tls.close_notify()
            assert len(tls.recv_to_end()) == 500_000
    _, closed = s.opened_closed()[0]
    assert at(closed, "event.code") is None
    assert at(closed, "suitegate.closed_by") == "client"


def test_half_close_by_the_upstream(scene, how, pki):
    heard = []

    def handler(tls, _):
        tls.send(b"that is all")
        tls.close_notify()
        heard.append(tls.recv_to_end())

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            assert tls.recv_to_end() == b"that is all"
            for _ in range(50):
                tls.send(bytes(10_000))
            tls.close_notify()
            s.gate.wait_record(action="connection-closed")
    assert [len(h) for h in heard] == [500_000]
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "upstream"


def test_a_truncating_upstream_is_passed_on_as_truncation(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), lambda tls, _: tls.send(b"partial")) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            assert tls.recv_exactly(7) == b"partial"
            assert tls.ending() in ("truncated", "reset")
    _, closed = s.opened_closed()[0]
    assert at(closed, "event.code") == "upstream_truncated"
    assert at(closed, "suitegate.blame") == "upstream"


@pytest.mark.parametrize("end", ["alert", "reset"])
def test_an_upstream_that_breaks_off_is_no_proper_end(scene, how, pki, end):
    """A fatal alert cannot be passed on unchanged, and it is no end of data either."""
    def handler(tls, _):
        tls.send(b"partial")
        tls.recv()
        if end == "alert":
            tls.sock.sendall(wire.alert(80))  # not encrypted: answered as a bad record
            tls.recv()
        else:
            wire.reset(tls.sock)

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            assert tls.recv_exactly(7) == b"partial"
            tls.send(b"x")
            assert tls.ending() in ("truncated", "reset")
    _, closed = s.opened_closed()[0]
    assert at(closed, "suitegate.closed_by") == "upstream"
    assert (at(closed, "event.code"), sent_alert(closed)) == (
        ("upstream_protocol_violation", 20) if end == "alert" else ("upstream_truncated", None))


def test_a_truncating_client_is_passed_on_as_truncation(scene, how, pki):
    endings = []

    def handler(tls, _):
        tls.recv_exactly(7)
        endings.append(tls.ending())

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"partial")
            time.sleep(0.1)
        s.gate.wait_record(action="connection-closed")
        wait_until(lambda: endings, what="the upstream's end")
    assert endings[0] in ("truncated", "reset")


@pytest.mark.parametrize("first", ["close_notify", "FIN", "reset"])
def test_an_upstream_may_end_as_it_likes_after_the_client(scene, how, pki, first):
    """A peer that knows the end may close at once; what it does then is no truncation."""
    go = threading.Event()

    def handler(tls, _):
        with contextlib.suppress(EOFError, OSError):
            tls.recv_to_end()
        go.set()
        with contextlib.suppress(OSError):
            tls.send(b"partial")

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"question")
            if first == "close_notify":
                tls.close_notify()
                assert tls.recv_exactly(7) == b"partial"
                assert tls.ending() in ("truncated", "reset")  # ended the same way
            elif first == "FIN":
                tls.sock.shutdown(socket.SHUT_WR)
            else:
                wire.reset(tls.sock)
            assert go.wait(10)
            s.gate.wait_record(action="connection-closed")
    _, closed = s.opened_closed()[0]
    assert at(closed, "event.code") is None
    assert at(closed, "suitegate.closed_by") == "client"


@pytest.mark.parametrize("client_ends", [True, False])
def test_a_clients_end_counts_before_it_is_read(scene, how, pki, client_ends):
    """Both have ended before the gate reads: the client no longer listened."""
    with TlsPeer(wire.server_context(pki.ec), lambda tls, _: tls.recv_exactly(2)) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            s.gate.wait_record(action="connection-opened")
            wait_until(lambda: upstream.sessions, what="the upstream's handshake")
            with standing_still(s.gate.proxy()):
                upstream.sessions[0].sock.shutdown(socket.SHUT_RDWR)
                if client_ends:
                    tls.close_notify()
                    tls.sock.shutdown(socket.SHUT_WR)
            if client_ends:
                s.gate.wait_record(action="connection-closed")
            else:
                assert tls.ending() in ("truncated", "reset")
    _, closed = s.opened_closed()[0]
    assert at(closed, "event.code") == (None if client_ends else "upstream_truncated")


def answers_and_goes(size, gone=None):
    """An upstream's script: takes two bytes, answers, ends properly, and closes."""
    def script(tls, _):
        tls.recv_exactly(2)
        tls.send(bytes(size))
        tls.close_notify()
        wait_until(lambda: unsent(tls.sock) == 0, what="the gate to take all of it")
        tls.close()
        if gone:
            gone.set()
    return script


def test_what_the_upstream_sent_survives_its_refusal_of_more(scene, how, pki):
    """The upstream answers and closes while the client still writes. A failed write to the upstream
    must not discard its earlier answer."""
    size = 1 << 20
    with TlsPeer(wire.server_context(pki.ec), answers_and_goes(size)) as upstream:
        s = scene(upstream.port)
        tls = wire.Tls(s.tunnel(how, receive_buffer=65536), s.context(how), name="localhost")
        with tls.handshake():
            tls.send(b"go")
            got = reads = 0
            while part := tls.recv(16384):  # an end without close_notify would raise
                got, reads = got + len(part), reads + 1
                if reads % 8 == 0:
                    time.sleep(0.02)
                    with contextlib.suppress(OSError):
                        tls.send(b"ping")
        assert got == size
        opened, closed = s.opened_closed()[0]
        assert at(closed, "destination.bytes") == size
        assert at(closed, "event.code") is None


def test_what_is_on_its_way_survives_a_client_that_goes_on_writing(scene, how, pki):
    """The upstream has ended and closed, and resets what still comes. The client, which has not
    read all of its answer yet, must not lose the rest."""
    size = 160_000
    gone = threading.Event()
    with TlsPeer(wire.server_context(pki.ec), answers_and_goes(size, gone)) as upstream:
        s = scene(upstream.port)
        tls = wire.Tls(s.tunnel(how, receive_buffer=16384), s.context(how), name="localhost")
        with tls.handshake():
            tls.send(b"go")
            assert gone.wait(10)
            for _ in range(4):
                tls.send(b"ping")
                time.sleep(0.05)
            assert tls.recv_to_end() == bytes(size)
    _, closed = s.opened_closed()[0]
    assert at(closed, "destination.bytes") == size
    assert at(closed, "event.code") is None


def unsent(sock):
    """Bytes that the peer has not acknowledged yet."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_close_notify_is_passed_on_to_the_upstream(scene, how, pki):
    endings = []

    def handler(tls, _):
        endings.append(tls.ending())
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"x")
            tls.close_notify()
            assert tls.ending() == "close_notify"
        s.gate.wait_record(action="connection-closed")
    assert endings == ["close_notify"]
    assert at(s.opened_closed()[0][1], "event.code") is None


def test_all_data_before_a_truncation_arrives(scene, how, pki):
    """Also what is still in the buffers when the end comes."""
    size = 3 * MIB
    with TlsPeer(wire.server_context(pki.ec), lambda tls, _: tls.send(bytes(size))) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            time.sleep(0.3)
            got = 0
            with contextlib.suppress(EOFError):
                while chunk := tls.recv():
                    got += len(chunk)
    assert got == size
    assert at(s.opened_closed()[0][1], "destination.bytes") == size


def test_a_client_that_renegotiates(scene, how, pki):
    """OpenSSL's client renegotiates on 'R'; the session must not continue."""
    with TlsPeer(wire.server_context(pki.ec)) as upstream:
        s = scene(upstream.port)
        argv = ["openssl", "s_client", "-tls1_2", "-servername", "localhost"]
        argv += (["-proxy", f"127.0.0.1:{s.forward}", "-connect", f"127.0.0.1:{s.upstream}"]
                 if how == "forward" else ["-connect", f"127.0.0.1:{s.fixed}"])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as client:
            s.gate.wait_record(action="connection-opened")
            client.stdin.write(b"R\n")
            client.stdin.flush()
            _, closed = s.opened_closed()[0]
            client.kill()
    assert at(closed, "event.code") == "client_renegotiation"
    assert at(closed, "suitegate.alert.sent") == 10


# ---- back-pressure and many at once ------------------------------------------------------------

def test_a_slow_reader_slows_the_upstream(scene, how, pki):
    """200 MiB wait for a client that reads nothing: the gate stops reading instead of storing."""
    sent = []

    def source(tls, _):
        piece = bytes(MIB)
        for _ in range(200):
            tls.send(piece)
            sent.append(MIB)

    with TlsPeer(wire.server_context(pki.ec), source) as upstream:
        s = scene(upstream.port)
        s.settled_fds()
        rss = s.gate.rss_kib()
        tls = wire.Tls(s.tunnel(how, receive_buffer=65536), s.context(how), name="localhost")
        with tls.handshake():
            before = None
            while before != len(sent):
                before = len(sent)
                time.sleep(0.5)
            assert sum(sent) < 50 * MIB
            assert s.gate.rss_kib() < rss + 8 * 1024
            got = 0
            while got < 60 * MIB:
                got += len(tls.recv(MIB))
            assert s.gate.rss_kib() < rss + 8 * 1024


def test_a_slow_reader_is_not_idle(scene, how, pki):
    """What the kernel holds for it is still delivered; only the last of it may wait longer than
    idle_timeout without a byte from the upstream."""
    size = 6 * MIB

    def handler(tls, _):
        tls.send(bytes(size))
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port, proxy={"idle_timeout": "1s"})
        tls = wire.Tls(s.tunnel(how, receive_buffer=65536), s.context(how), name="localhost")
        with tls.handshake():
            got = pieces = 0
            while chunk := tls.recv(65536):
                got += len(chunk)
                pieces += 1
                if pieces % 4 == 0 and got < size - 2 * MIB:
                    time.sleep(0.03)
        assert got == size
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "upstream"


def test_a_tunnel_whose_client_has_stopped_reading_is_idle(scene, how, pki):
    """What is queued for it does not hold the end."""
    ended = threading.Event()

    def source(tls, _):
        with contextlib.suppress(OSError):
            while True:
                tls.send(bytes(MIB))
        ended.set()

    with TlsPeer(wire.server_context(pki.ec), source) as upstream:
        s = scene(upstream.port, proxy={"idle_timeout": "1s"})
        fds = s.settled_fds()
        tls = wire.Tls(s.tunnel(how, receive_buffer=65536), s.context(how), name="localhost")
        with tls.handshake():
            closed = s.gate.wait_record(action="connection-closed")
            assert at(closed, "suitegate.closed_by") == "idle_timeout"
            assert ended.wait(PATIENCE)
            s.wait_baseline(fds)


def test_a_slow_upstream_slows_the_client(scene, how, pki):
    go = threading.Event()
    taken = []

    def handler(tls, _):
        tls.recv(1)
        go.wait(30)
        taken.append(len(tls.recv_to_end()))
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        rss = s.gate.rss_kib()
        with s.client(how) as tls:
            tls.sock.settimeout(0.5)
            sent = 0
            with pytest.raises(socket.timeout):
                while sent < 200 * MIB:
                    tls.send(bytes(MIB))
                    sent += MIB
            assert sent < 50 * MIB
            assert s.gate.rss_kib() < rss + 8 * 1024
            go.set()
            tls.sock.close()
        s.gate.wait_record(action="connection-closed")


@pytest.mark.parametrize("how,workers", [("forward", 2), ("fixed", 1)])
def test_five_hundred_tunnels_at_once(scene, how, pki, workers):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, proxy={"workers": workers})
        s.echoes(how)
        fds = s.settled_fds()
        context = s.context(how)
        tunnels = [s.client(how, context=context) for _ in range(500)]
        for i, tls in enumerate(tunnels):
            tls.send(b"tunnel %d" % i)
        for i, tls in enumerate(tunnels):
            wanted = b"tunnel %d" % i
            assert tls.recv_exactly(len(wanted)) == wanted
        for tls in tunnels:
            tls.close_notify()
        for tls in tunnels:
            assert tls.ending() == "close_notify"
            tls.close()
        s.wait_baseline(fds)
    pairs = s.opened_closed(501)
    assert sum(at(closed, "source.bytes") for _, closed in pairs) == 4 + sum(
        len(b"tunnel %d" % i) for i in range(500))


def test_a_tampered_record_ends_the_session(scene, how, pki):
    """One flipped bit after the handshake: a fatal alert, and none of the data goes upstream."""
    heard = []

    def handler(tls, _):
        heard.append(tls.recv())

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            s.gate.wait_record(action="connection-opened")
            tls.tls.write(b"will be damaged")
            raw = bytearray(tls._out.read())
            raw[-1] ^= 1
            tls.sock.sendall(raw)
            with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
                tls.recv()
        s.gate.wait_record(action="connection-closed")
    assert heard in ([], [b""])
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "client"
