"""CONNECT requests over the rules of RFC 9112, also judged by other proxies.

Where all proxies agree, the gate agrees. Where they differ, DECIDED has the gate's verdict and why.
"""

import contextlib
import random
import threading

import pytest

import proxies
import upstreams
import wire
from gate import free_port
from upstreams import Peer

COMBINATIONS = 300
LONG = b"X: " + b"y" * 6000

# Each axis: the usual value first. A request takes one value of each.
AXES = {
    "lead": {"none": b"", "CRLF": b"\r\n", "LF": b"\n", "two CRLF": b"\r\n\r\n", "space": b" ",
             "CR": b"\r"},
    "line": {"plain": b"CONNECT {authority} {version}",
             "two spaces": b"CONNECT  {authority} {version}",
             "two spaces behind": b"CONNECT {authority}  {version}",
             "tab": b"CONNECT\t{authority} {version}",
             "trailing space": b"CONNECT {authority} {version} ",
             "fourth word": b"CONNECT {authority} {version} x",
             "lower case method": b"connect {authority} {version}",
             "no port": b"CONNECT 127.0.0.1 {version}",
             "userinfo": b"CONNECT me@{authority} {version}",
             "path": b"CONNECT {authority}/ {version}",
             "NUL": b"CONNECT {authority}\0 {version}"},
    "version": {"1.1": b"HTTP/1.1", "1.0": b"HTTP/1.0", "1.2": b"HTTP/1.2", "1.9": b"HTTP/1.9",
                "2.0": b"HTTP/2.0", "0.9": b"HTTP/0.9", "1.10": b"HTTP/1.10",
                "lower case": b"http/1.1", "none": b""},
    "host": {"same": [b"Host: {authority}"], "none": [], "empty": [b"Host:"],
             "no port": [b"Host: 127.0.0.1"], "another": [b"Host: other.example:1"],
             "tabs": [b"Host:\t{authority}\t"], "lower case": [b"host: {authority}"],
             "two": [b"Host: {authority}", b"Host: {authority}"],
             "two that differ": [b"Host: {authority}", b"Host: other.example"],
             "userinfo": [b"Host: me@127.0.0.1"], "space": [b"Host: 127.0.0.1 :443"],
             "path": [b"Host: 127.0.0.1/path"], "angle": [b"Host: <127.0.0.1>"],
             "IPv6": [b"Host: [::1]:443"], "open bracket": [b"Host: [::1"],
             "word for a port": [b"Host: 127.0.0.1:https"]},
    "length": {"none": [], "0": [b"Content-Length: 0"], "5": [b"Content-Length: 5"],
               "empty": [b"Content-Length:"], "minus": [b"Content-Length: -1"],
               "plus": [b"Content-Length: +0"], "word": [b"Content-Length: abc"],
               "hexadecimal": [b"Content-Length: 0x0"], "list": [b"Content-Length: 0, 0"],
               "list that differs": [b"Content-Length: 0, 1"],
               "huge": [b"Content-Length: 99999999999999999999999"],
               "two": [b"Content-Length: 0", b"Content-Length: 0"],
               "two that differ": [b"Content-Length: 0", b"Content-Length: 1"]},
    "coding": {"none": [], "chunked": [b"Transfer-Encoding: chunked"],
               "identity": [b"Transfer-Encoding: identity"],
               "twice": [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"]},
    "field": {"none": [], "usual": [b"User-Agent: x", b"Proxy-Connection: keep-alive"],
              "empty value": [b"X:"], "long": [LONG], "folded": [b"X: y", b" z"],
              "space before colon": [b"X : y"], "space in name": [b"X Y: z"],
              "no name": [b": y"], "no colon": [b"X"], "NUL": [b"X: \0"], "CR": [b"X: a\rb"],
              "control": [b"X: a\1b"], "above ASCII": [b"X: \xe4"], "parenthesis": [b"X(: y"],
              "leading space": [b" X: y"]},
    "end": {"CRLF": b"\r\n", "LF": b"\n"},
}
USUAL = {axis: next(iter(values)) for axis, values in AXES.items()}


def request(choice, authority):
    parts = {axis: AXES[axis][choice[axis]] for axis in AXES}
    line = parts["line"].replace(b"{version}", parts["version"])
    fields = [*parts["host"], *parts["length"], *parts["coding"], *parts["field"]]
    head = parts["lead"] + parts["end"].join([line, *fields, b"", b""])
    return head.replace(b"{authority}", authority.encode())


def taken(port, raw):
    """Whether the proxy opens the tunnel."""
    with wire.dial(port) as sock:
        sock.settimeout(8)
        answer = b""
        with contextlib.suppress(OSError):
            sock.sendall(raw)
            while b"\n" not in answer and (chunk := sock.recv(4096)):
                answer += chunk
        return answer.split(b" ")[1:2] == [b"200"]


# ---- the judges ------------------------------------------------------------------------------

def squid(home, port):
    return proxies.squid(home, port, "http_access allow all")


def apache(home, port):
    return upstreams.apache(home, port, ("proxy", "proxy_connect"),
                            "ProxyRequests On\nAllowCONNECT 1-65535")


def haproxy(home, port):
    """It opens no tunnels for CONNECT; only its parser judges."""
    return proxies.haproxy(home, port, f"""
frontend front
bind 127.0.0.1:{port}
http-request return status 200 if METH_CONNECT
http-request return status 405
""")


JUDGES = {"squid": squid, "apache": apache, "haproxy": haproxy, "tinyproxy": proxies.tinyproxy}


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """{name: port} of the other proxies."""
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, start in JUDGES.items():
            home, port = tmp_path_factory.mktemp(name), free_port()
            stack.enter_context(start(home, port))
            ports[name] = port
        yield ports


@pytest.fixture(scope="module")
def place():
    """The target of the tunnels: it ignores its connections."""
    with Peer(lambda sock, _: sock.recv(1)) as peer:
        yield f"127.0.0.1:{peer.port}"


def asked(judges, choice, authority):
    raw, said = request(choice, authority), {}

    def ask(name):
        said[name] = taken(judges[name], raw)

    threads = [threading.Thread(target=ask, args=(name,)) for name in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


# The gate's verdict where the judges differ, or, with "all", against all of them.
STRICT = "refused: what is ambiguous to one of several parsers is how requests are smuggled"
HOST = "refused: RFC 9112 section 3.2 has 400 for an invalid Host"
VALID = "taken: a valid field; where the tunnel leads is said by the request line alone"
LENGTH = "refused: not one Content-Length of digits (RFC 9112 section 6.3)"
CODING = "refused: a coding that is not known, or two fields (RFC 9112 section 6.1)"
DECIDED = {
    ("lead", "LF"): "taken: a lone LF ends a line (RFC 9112 section 2.2)",
    ("end", "LF"): "taken: a lone LF ends a line (RFC 9112 section 2.2)",
    **{("line", value): STRICT for value in AXES["line"] if value not in
       ("plain", "no port", "NUL", "lower case method", "userinfo", "path")},
    ("line", "lower case method"): "refused: methods are case-sensitive (RFC 9110 section 9.1)",
    ("line", "userinfo"): "refused: authority-form has none (RFC 9112 section 3.2.3)",
    ("line", "path"): "refused: authority-form has none (RFC 9112 section 3.2.3)",
    ("version", "2.0"): "refused: another major version (RFC 9110 section 2.5)",
    ("version", "0.9"): "refused: another major version (RFC 9110 section 2.5)",
    ("version", "1.10"): "refused: HTTP-version has one digit (RFC 9112 section 2.3)",
    ("version", "lower case"): "refused: HTTP-name is case-sensitive (RFC 9112 section 2.3)",
    ("host", "none"): HOST, ("host", "two"): "refused, all: RFC 9112 section 3.2 has 400 for two",
    ("host", "two that differ"): HOST, ("host", "userinfo"): HOST, ("host", "space"): HOST,
    ("host", "path"): HOST, ("host", "angle"): HOST, ("host", "open bracket"): HOST,
    ("host", "word for a port"): HOST,
    ("host", "empty"): VALID, ("host", "no port"): VALID, ("host", "another"): VALID,
    ("host", "IPv6"): VALID,
    **{("length", value): LENGTH for value in AXES["length"] if value not in ("none", "0", "5")},
    ("coding", "identity"): CODING, ("coding", "twice"): CODING,
    ("field", "folded"): "refused, all: RFC 9112 section 5.2 allows it, and nobody sends them",
    **{("field", value): "refused: no field line (RFC 9112 section 5)" for value in (
        "space before colon", "space in name", "no name", "no colon", "NUL", "CR", "control",
        "parenthesis", "leading space")},
}


def decided(choice):
    """The gate's expected verdict by the tables; None if only the judges decide."""
    verdicts = [DECIDED.get(item) for item in choice.items()]
    old = choice["version"] == "1.0"
    if old and choice["host"] == "none":
        verdicts.remove(HOST)  # HTTP/1.0 has no Host
    if any(v and v.startswith("refused") for v in verdicts):
        return False
    if choice["coding"] == "chunked" and (old or choice["length"] != "none"):
        return False  # faulty framing (RFC 9112 section 6.1)
    return None


def singles():
    for axis, values in AXES.items():
        for value in values:
            if value != USUAL[axis]:
                yield axis, value


def unlike_the_judges(forward, judges, choice, authority):
    """The fault, or None."""
    said = asked(judges, choice, authority)
    ours = taken(forward.port, request(choice, authority))
    wanted = decided(choice)
    if wanted is None:
        agreed = set(said.values())
        taken_alone = any(DECIDED.get(item, "").startswith("taken") for item in choice.items())
        if len(agreed) > 1 and not taken_alone:
            return f"the judges differ over {choice}: {said}; nothing is decided"
        wanted = agreed.pop() if len(agreed) == 1 else True
    return None if ours == wanted else f"{choice}: {ours}, the judges {said}"


@pytest.mark.alarm(120)
@pytest.mark.parametrize("axis", AXES)
def test_each_deviation(forward, judges, place, axis):
    wrong = []
    for value in AXES[axis]:
        choice = {**USUAL, axis: value}
        if fault := unlike_the_judges(forward, judges, choice, place):
            wrong.append(fault)
        said = set(asked(judges, choice, place).values())
        note = DECIDED.get((axis, value), "")
        if (len(said) == 1 and not ", all" in note) == bool(note):
            wrong.append(f"{axis} {value}: the judges say {said}, the table says {note!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.alarm(240)
def test_combinations(forward, judges, place):
    """Two to four deviations at once, drawn from the same seed each time."""
    draw, wrong, seen = random.Random(9112), [], set()
    harmless = {axis: [v for v in values if not DECIDED.get((axis, v), "").startswith("refused")]
                for axis, values in AXES.items()}
    while len(seen) < COMBINATIONS:
        choice = dict(USUAL)
        # Half of them from the accepted ones, or nearly all would be refused.
        space = harmless if len(seen) % 2 else AXES
        for axis in draw.sample(list(AXES), draw.randint(2, 4)):
            choice[axis] = draw.choice(list(space[axis]))
        key = tuple(choice.values())
        if key in seen:
            continue
        seen.add(key)
        if fault := unlike_the_judges(forward, judges, choice, place):
            wrong.append(fault)
    assert not wrong, "\n".join(wrong)
