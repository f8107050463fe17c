"""A deadline is for the peer, not for a stopped gate: what has arrived in time counts."""

import contextlib
import threading
import time

import pytest

import wire
from scene import at, how, scene, standing_still  # noqa: F401 (fixtures)
from upstreams import Blackhole, TlsPeer, echo

CLIENTS = 100  # more than one check of the sockets returns


def test_a_hello_that_has_arrived_is_served(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, proxy={"hello_timeout": "8s"})
        context = s.context(how)
        clients = [wire.Tls(s.tunnel(how), context, name="localhost") for _ in range(CLIENTS)]
        for tls in clients:
            with contextlib.suppress(wire.ssl.SSLWantReadError):
                tls.tls.do_handshake()
            hello = tls._out.read()
            tls.sock.sendall(hello[:7])
            tls.rest = hello[7:]
        with standing_still(s.gate.proxy(), 8.5):
            for tls in clients:
                tls.sock.sendall(tls.rest)
        for tls in clients:
            with tls.handshake():
                tls.close_notify()
                assert tls.ending() == "close_notify"
    s.opened_closed(CLIENTS)


def test_an_answer_of_the_upstream_that_has_arrived_is_taken(scene, how, pki):
    asked, answer = threading.Event(), threading.Event()

    class Late(TlsPeer):
        def _play(self, sock, number):
            asked.set()
            answer.wait(20)
            super()._play(sock, number)

    with Late(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, proxy={"handshake_timeout": "1s"})
        tls = wire.Tls(s.tunnel(how), s.context(how), name="localhost")

        def shake():
            with contextlib.suppress(OSError, EOFError):
                tls.handshake()

        client = threading.Thread(target=shake)
        client.start()
        assert asked.wait(10)
        time.sleep(0.2)  # its hello has been sent by now
        with standing_still(s.gate.proxy(), 1.5):
            answer.set()
        client.join(20)
        with tls:
            tls.close_notify()
            assert tls.ending() == "close_notify"
    s.opened_closed()


def test_a_tunnel_with_bytes_in_it_is_not_idle(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, proxy={"idle_timeout": "1s"})
        with s.client(how) as tls:
            s.gate.wait_record(action="connection-opened")
            with standing_still(s.gate.proxy(), 1.5):
                tls.send(b"still here")
            assert tls.recv_exactly(10) == b"still here"
            tls.close_notify()
            assert tls.ending() == "close_notify"
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "client"


def test_a_connect_request_that_has_arrived_is_answered(scene, pki):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, proxy={"hello_timeout": "1s"})
        target = f"127.0.0.1:{upstream.port}"
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
        with wire.dial(s.forward) as sock:
            sock.sendall(request[:10])
            time.sleep(0.2)
            with standing_still(s.gate.proxy(), 1.5):
                sock.sendall(request[10:])
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_stands_is_taken(scene):
    """The upstream's queue was full; it accepted the connection while the gate was stopped."""
    with Blackhole() as upstream:
        s = scene(upstream.port, proxy={"connect_timeout": "2s"})
        target = f"127.0.0.1:{upstream.port}"
        with wire.dial(s.forward) as sock:
            sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            time.sleep(0.3)
            taken = []
            with standing_still(s.gate.proxy(), 4):
                upstream._listener.settimeout(0.5)
                end = time.monotonic() + 3.5  # the kernel asks again after 1 s and 3 s
                while time.monotonic() < end:
                    with contextlib.suppress(OSError):
                        taken.append(upstream._listener.accept()[0])
            try:
                assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
            finally:
                for one in taken:
                    one.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
def test_what_never_comes_is_still_too_late(scene, sent):
    s = scene(1, proxy={"hello_timeout": "1s"})
    with wire.dial(s.fixed) as sock:
        sock.sendall(sent)
        time.sleep(0.2)
        with standing_still(s.gate.proxy(), 1.5):
            pass
        assert wire.read_to_end(sock) == b""
