"""One source is not everybody: its limits, which source makes room, and which is still served."""

import contextlib
import pathlib
import resource
import socket
import threading

import pytest

import hellos
import wire
from gate import free_port
from scene import Scene, how, nofile, scene, talk, wait_until  # noqa: F401 (fixtures)
from upstreams import TlsPeer, echo
from verdicts import assert_refusal

HERE, THERE = "127.0.0.1", "127.0.0.2"
FLOOD = 9000


def dial(port, source):
    return socket.create_connection(("127.0.0.1", port), wire.TIMEOUT, source_address=(source, 0))


def connect(s, source):
    """CONNECT through the forward listener: the socket and its answer, whose body was read unless
    it is a 200."""
    sock = dial(s.forward, source)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(f"CONNECT 127.0.0.1:{s.upstream} HTTP/1.1\r\nHost: x:1\r\n\r\n".encode())
    head = sock.recv(12, socket.MSG_WAITALL)
    if head.endswith(b" 200"):
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        return sock, wire.parse_head(head[:-4])[0], ""
    body = head + wire.read_to_end(sock)
    return sock, int(head.split()[1]), body.decode()


def ask(s, source):
    """The status of a CONNECT; its socket is closed again."""
    sock, status, _ = connect(s, source)
    sock.close()
    return status


def tunnel(s, source):
    """An established session through the forward listener."""
    sock, status, body = connect(s, source)
    assert status == 200, body
    return wire.Tls(sock, s.context("forward"), name="localhost").handshake()


def refusals(s, code="source_limit_reached"):
    return s.gate.matching(code=code)


# ---- what one source may have --------------------------------------------------------------------

def test_connections_of_a_source_are_counted_over_all_workers(scene, echoing):
    s = scene(echoing.port, proxy={"max_connections_per_source": 3, "workers": 2})
    tunnels = [tunnel(s, HERE) for _ in range(3)]
    for _ in range(4):
        sock, status, answer = connect(s, HERE)
        assert status == 429 and "source_limit_reached" in answer
        assert "error=connection_limit_reached" in answer
        sock.close()
    assert wire.read_to_end(dial(s.fixed, HERE)) == b""
    for tls in [tunnel(s, THERE) for _ in range(3)]:
        talk(tls)
        tls.close()
    tunnels.pop().close()
    s.gate.wait_record(action="connection-closed", count=4)
    wait_until(lambda: ask(s, HERE) == 200, what="room for one")
    for tls in tunnels:
        talk(tls)
        tls.close()
    records = refusals(s)
    assert len(records) >= 5
    for record in records:
        assert_refusal(record, "source_limit_reached")
        assert record["source"]["ip"] == HERE
        assert "max_connections_per_source" in record["message"]


def test_new_connections_of_a_source_have_a_rate(scene, echoing):
    """Five at once at a rate of one a second; the sixth within that second is too much."""
    s = scene(echoing.port, proxy={"max_handshakes_per_source": "1/s", "workers": 2})
    answers = [ask(s, HERE) for _ in range(60)]
    assert answers[:5] == [200] * 5
    assert answers.count(429) > 30
    assert ask(s, THERE) == 200
    for record in refusals(s):
        assert_refusal(record, "source_limit_reached")
        assert "max_handshakes_per_source" in record["message"]


def test_limits_can_be_turned_off_by_a_reload(scene, echoing):
    s = scene(echoing.port, proxy={"max_handshakes_per_source": "1/s"})
    while ask(s, HERE) == 200:
        pass
    s.sections["proxy"]["max_handshakes_per_source"] = "0"
    s.rewrite()
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    assert {ask(s, HERE) for _ in range(20)} == {200}


def test_new_names_of_a_source_have_a_rate(scene, echoing):
    """One new certificate a second, five at once; names that have one are always served."""
    s = scene(echoing.port, proxy={"max_handshakes_per_source": "4/s"})
    port = free_port()
    s.sections["listen probe"] = {"type": "test", "address": f"127.0.0.1:{port}"}
    s.rewrite()
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"

    def served(name, source=HERE):
        with dial(port, source) as sock:
            sock.sendall(hellos.hello(name=name))
            return sock.recv(1) == b"\x16"

    found = [served(f"n{n}.example.test") for n in range(12)]
    assert found[:5] == [True] * 5 and not all(found)
    assert served("n0.example.test") and served("new.example.test", THERE)
    record = s.gate.wait_record(code="source_limit_reached")
    assert_refusal(record, "source_limit_reached")
    assert record["source"]["ip"] == HERE and "new certificate" in record["message"]


# ---- making room ---------------------------------------------------------------------------------

def silent(s):
    return dial(s.fixed, HERE)


def half_hello(s):
    sock = dial(s.fixed, HERE)
    sock.sendall(hellos.hello()[:40])
    return sock


def half_request(s):
    sock = dial(s.forward, HERE)
    sock.sendall(b"CONNECT 127.0.0.1:")
    return sock


WAITING = [silent, half_hello, half_request]


def unread(sock):
    """How many bytes of the socket its local peer has not read."""
    def text(address):
        return f"{int.from_bytes(socket.inet_aton(address[0]), 'little'):08X}:{address[1]:04X}"

    ends = [text(sock.getpeername()), text(sock.getsockname())]
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1:3] == ends:
            return int(fields[4].partition(":")[2], 16)
    return None


def taken(s, sock, count):
    """Waits until the gate has that many clients, and all bytes of this one."""
    wait_until(lambda: s.gate.fds() >= count and unread(sock) == 0, what=f"{count} descriptors")


def is_left_alone(sock):
    """Neither answered nor closed."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionResetError:
        pass
    return False


@pytest.mark.parametrize("wait", WAITING)
def test_who_waits_makes_room_oldest_first(scene, echoing, wait):
    s = scene(echoing.port, proxy={"max_connections": 4})
    with tunnel(s, THERE) as first:
        fds = s.settled_fds()
        crowd = []
        for n in range(3):
            crowd.append(wait(s))
            taken(s, crowd[-1], fds + n + 1)
        wait_until(lambda: s.settled_fds() == fds + 3, what="all to be read")
        with tunnel(s, THERE) as second:
            talk(second)
            talk(first)
            assert [is_left_alone(sock) for sock in crowd] == [False, True, True]
        record = s.gate.wait_record(code="source_limit_reached")
        assert_refusal(record, "source_limit_reached")
        assert record["source"]["ip"] == HERE and "make room" in record["message"]
        for sock in crowd:
            sock.close()


def test_the_silent_before_the_half_open(scene, echoing):
    s = scene(echoing.port, proxy={"max_connections": 4})
    fds = s.settled_fds()
    crowd = []
    for n, wait in enumerate([half_request, half_hello, silent, half_hello]):
        crowd.append(wait(s))
        taken(s, crowd[-1], fds + n + 1)
    wait_until(lambda: s.settled_fds() == fds + 4, what="all to be read")
    with tunnel(s, THERE) as tls:
        talk(tls)
        assert [is_left_alone(sock) for sock in crowd] == [True, True, False, True]
    for sock in crowd:
        sock.close()


def test_a_source_is_not_blamed_for_its_one_connection(scene, echoing):
    """Each source has one, and there is no room: the operator has to change that."""
    s = scene(echoing.port, proxy={"max_connections": 4})
    fds = s.settled_fds()
    crowd = []
    for n in range(4):
        crowd.append(dial(s.fixed, f"127.0.0.{10 + n}"))
        taken(s, crowd[-1], fds + n + 1)
    with tunnel(s, THERE) as tls:
        talk(tls)
    record = s.gate.wait_record(code="limit_reached")
    assert_refusal(record, "limit_reached")
    assert not refusals(s)
    for sock in crowd:
        sock.close()


def test_behind_a_sender_its_greediest_client_makes_room(make_gate, pki, ca_folder, echoing):
    class Behind(Scene):
        def ini(self):
            front = self.sections["listen front"]
            self.sections["listen front"] = [*front, ("proxy_protocol_from", "127.0.0.9")]
            return super().ini()

    s = Behind(make_gate, pki, ca_folder, echoing.port, proxy={"max_connections": 4})
    fds = s.settled_fds()
    crowd = []
    for n, client in enumerate((20, 21, 21, 21)):
        crowd.append(dial(s.fixed, "127.0.0.9"))
        crowd[-1].sendall(f"PROXY TCP4 127.0.0.{client} 127.0.0.1 1 2\r\n".encode())
        taken(s, crowd[-1], fds + n + 1)
    with tunnel(s, THERE) as tls:
        talk(tls)
        assert [is_left_alone(sock) for sock in crowd] == [True, False, True, True]
    assert s.gate.wait_record(code="source_limit_reached")["source"]["ip"] == "127.0.0.21"
    for sock in crowd:
        sock.close()


def test_who_talks_never_makes_room(scene, echoing):
    s = scene(echoing.port, proxy={"max_connections": 3})
    tunnels = [tunnel(s, HERE) for _ in range(3)]
    assert ask(s, THERE) == 503
    for tls in tunnels:
        talk(tls)
        tls.close()


def test_without_descriptors_who_waits_makes_room(scene, echoing):
    s = scene(echoing.port)
    s.echoes()
    fds = s.settled_fds()
    with nofile(s.gate, fds + 8):
        crowd = [silent(s) for _ in range(30)]
        wait_until(lambda: tunnel_or_none(s), what="a tunnel")
        for sock in crowd:
            sock.close()


def tunnel_or_none(s):
    """Whether a client of another source is served at this moment."""
    with contextlib.suppress(AssertionError, OSError, EOFError):
        with tunnel(s, THERE) as tls:
            talk(tls)
            return True
    return False


# ---- floods --------------------------------------------------------------------------------------

def room_for_a_flood():
    """Descriptors of this process; False if they are not allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard > FLOOD + 1000


def begin_flood(s, what, count):
    """That many sockets of one source, a hundred at a time, left open."""
    port = s.forward if what == "half_request" else s.fixed
    first = {"silent": b"", "half_hello": hellos.hello()[:40],
             "half_request": b"CONNECT 127.0.0.1:"}[what]
    crowd = []
    for _ in range(count):
        sock = socket.socket()
        sock.settimeout(wire.TIMEOUT)
        sock.bind((HERE, 0))
        sock.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            sock.sendall(first)
        crowd.append(sock)
    return crowd


def a_crowd(s, what, count):
    """How many of a hundred clients elsewhere are served while one source holds that many."""
    served = sum(tunnel_or_none(s) for _ in range(10))
    crowd = begin_flood(s, what, count)
    served += sum(tunnel_or_none(s) for _ in range(90))
    for sock in crowd:
        sock.close()
    assert {r["source"]["ip"] for r in refusals(s)} == {HERE}
    return served


OFF = {"max_connections_per_source": 0, "max_handshakes_per_source": 0}


@pytest.mark.parametrize("limits", [{}, OFF], ids=["limited", "unlimited"])
@pytest.mark.parametrize("what", ["silent", "half_hello", "half_request"])
def test_a_crowd_of_one_source_leaves_the_others_served(scene, echoing, what, limits):
    """unlimited: all places are taken, and waiting connections make room."""
    s = scene(echoing.port, proxy={"workers": 2, "hello_timeout": "60s", "max_connections": 600,
                                   **limits})
    assert a_crowd(s, what, 1000) >= 99


def test_nine_thousand_silent_connections_leave_the_others_served(scene, echoing):
    assert room_for_a_flood(), "too few descriptors for this test"
    s = scene(echoing.port, proxy={"workers": 2, "hello_timeout": "60s", **OFF})
    assert a_crowd(s, "silent", FLOOD) >= 99


def test_a_flood_of_handshakes_of_one_source_leaves_the_others_served(scene, pki):
    """Six threads handshake as fast as they can, for as long as the other client needs."""
    with TlsPeer(wire.server_context(pki.ec, pki.rsa), echo) as upstream:
        s = scene(upstream.port, proxy={"workers": 2, "max_handshakes_per_source": "20/s"})
        over, made = threading.Event(), []

        def flood():
            while not over.is_set() and len(made) < 5000:
                with contextlib.suppress(OSError), dial(s.fixed, HERE) as sock:
                    sock.sendall(hellos.hello())
                    made.append(len(sock.recv(1)))

        threads = [threading.Thread(target=flood) for _ in range(6)]
        for thread in threads:
            thread.start()
        served = sum(tunnel_or_none(s) for _ in range(60))
        over.set()
        for thread in threads:
            thread.join()
    assert served >= 60 * 0.99, f"{served} of 60"
    assert made.count(0) > 0 and {r["source"]["ip"] for r in refusals(s)} == {HERE}
