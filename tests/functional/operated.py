"""Asks a gate's [operate]."""

import http.client
import json
import re
import socket
import subprocess

from gate import BINARY

LINE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def ask(port, path="/", method="GET", host="127.0.0.1", source=None, timeout=20):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection(host, port, timeout=timeout,
                                            source_address=source and (source, 0))
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def ask_unix(path, what="/health"):
    """The whole answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        sock.sendall(f"GET {what} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def parse(text):
    """{(name, frozenset of labels): value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = LINE.fullmatch(line).groups()
        key = name, frozenset(LABEL.findall(labels or ""))
        assert key not in found, line
        found[key] = float(value)
    return found


class Metrics:
    """metrics("refusals_total", code="client_not_tls") is the sum of what has these labels."""

    def __init__(self, port):
        status, headers, self.text = ask(port, "/metrics")
        assert (status, headers["Content-Type"]) == (
            200, "text/plain; version=0.0.4; charset=utf-8")
        self.values = parse(self.text)

    def __call__(self, name, **labels):
        found = [value for (other, has), value in self.values.items()
                 if other == f"suitegate_{name}" and labels.items() <= set(has)]
        assert found, (name, labels)
        return sum(found)


def status(gate, *options):
    return subprocess.run([BINARY, "status", "-c", gate.config_path, *options], timeout=60,
                          capture_output=True, text=True, check=False)


def as_json(gate):
    return json.loads(status(gate, "--json").stdout)
