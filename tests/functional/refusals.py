"""Connections that are refused, once or endlessly: they fill a log."""

import collections
import itertools
import json
import threading

import wire


# ---- each of another source -------------------------------------------------------------------

ADDRESSES = itertools.count(1)


def refuse(port):
    """One connection that gets a record: (status of the answer, its own address and port). Each has
    another address: many from one would be counted instead."""
    n = next(ADDRESSES)
    with wire.dial(port, source=f"127.{9 + (n >> 16)}.{n >> 8 & 255}.{n & 255}") as sock:
        sock.sendall(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status = int(sock.recv(12)[9:])
        wire.read_to_end(sock)
        return status, sock.getsockname()


class Crowd:
    """Clients that ask one after the other until the end, each in a thread of its own."""

    def __init__(self, clients, pause=0.0):
        self._pause, self._ended = pause, threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(clients)]

    def ask(self):
        """Once. False: no more."""
        raise NotImplementedError

    def _go_on(self):
        while not self._ended.wait(self._pause) and self.ask():
            pass

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()


class Load(Crowd):
    """Clients that are refused; .answered has their addresses."""

    def __init__(self, port, clients=2, pause=0.0, status=403):
        self.answered = []
        self._port, self._wanted = port, status
        super().__init__(clients, pause)

    def ask(self):
        try:
            status, source = refuse(self._port)
        except (OSError, ValueError):  # killed
            return False
        if status == self._wanted:
            self.answered.append(source)
        return True


def refuse_many(port, count):
    for _ in range(count):
        assert refuse(port)[0] == 403


def sources(lines):
    """The number of records per source."""
    ends = (json.loads(line)["source"] for line in lines
            if b'"action":"connection-refused"' in line)
    return collections.Counter((end["ip"], end["port"]) for end in ends)


# ---- of one source --------------------------------------------------------------------------

REPEATED = "connection-refused-repeated"


def refuse_again(gate):
    """The answer to one connection from the same address as the last one."""
    sock = wire.dial(gate.port)
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    answer = wire.read_to_end(sock)
    sock.close()
    return answer


def flood(gate, count=600):
    """Refusals with one code, some of them counted; their answers."""
    answers = {refuse_again(gate).split(b"\r\n")[0] for _ in range(count)}
    gate.wait_record(action=REPEATED)
    return answers
