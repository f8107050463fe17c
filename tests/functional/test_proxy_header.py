"""The PROXY protocol in: from its senders the gate learns who the client is."""

import contextlib
import pathlib
import random
import socket
import struct
import sys

import pytest

import hellos
import proxies
import wire
from client_programs import command
from gate import free_port, ini
from hellos import hello
from names import ELSEWHERE, World
from upstreams import Process
from verdicts import only_refusal

HERE = pathlib.Path(__file__).parent
SENDER, CLIENT = "127.0.0.9", "192.0.2.77"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TYPES = ("forward", "fixed", "test", "sni", "socks5")


def v1(source=CLIENT, destination="203.0.113.7", ports=(4711, 443), family="TCP4"):
    return f"PROXY {family} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()


def v2(body=None, command=0x21, family=0x11, tlvs=b"", length=None):
    if body is None:
        body = socket.inet_aton(CLIENT) + socket.inet_aton("203.0.113.7") + struct.pack(">HH", 4711, 443)
    body += tlvs
    size = len(body) if length is None else length
    return SIGNATURE + struct.pack(">BBH", command, family, size) + body


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_checksum(flip=0, **parts):
    zeros = v2(tlvs=tlv(3, bytes(4)) + parts.pop("after", b""), **parts)
    at = zeros.index(tlv(3, bytes(4))) + 3
    return zeros[:at] + struct.pack(">I", crc32c(zeros) ^ flip) + zeros[at + 4:]


@pytest.fixture
def make_behind(make_gate, pki, ca_folder, origin):
    """make_behind(type, **listen options) -> Gate behind a sender of PROXY headers"""
    def make(kind="test", *, proxy=None, upstream=None, options=None, **listen):
        port = free_port()
        needs = {"fixed": {"upstream": f"127.0.0.1:{origin.port}", "upstream_name": "localhost"},
                 "sni": {"allow_upstreams": "*", "upstream_port": origin.port}}
        gate = make_gate(ini({
            "proxy": {"workers": 1, **(proxy or {})},  # records in the order of the connections
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, **(upstream or {})},
            "audit": {"file": "audit.jsonl"},
            "listen behind": {"type": kind, "address": f"127.0.0.1:{port}",
                              "proxy_protocol_from": f"{SENDER}/32", "allow_clients": "192.0.2.0/24",
                              **needs.get(kind, {}), **listen},
        }), **(options or {}))
        gate.port, gate.ca_path = port, ca_folder / "ca.pem"
        return gate

    return make


def send(gate, raw, source=SENDER, pieces=None):
    """What comes back, to the end."""
    with hellos.connect(gate.port, source=source) as sock:
        for piece in pieces or [raw]:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        return hellos.read_all(sock)


def session(gate, header, source=SENDER, context=None):
    """A whole TLS session behind the header, with a test listener; its answer."""
    with hellos.connect(gate.port, source=source) as sock:
        sock.sendall(header)
        with wire.Tls(sock, context or wire.client_context(gate.ca_path), name="localhost") as tls:
            tls.handshake()
            return wire.get(tls, "/health")


# ---- who the client is ----------------------------------------------------------------------

def after_header(kind, origin):
    """What a client of this type sends first."""
    return {"forward": hellos.connect_request(f"127.0.0.1:{origin.port}"),
            "socks5": b"\5\1\0"}.get(kind, b"")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("header", [v1(), v2(), v2(tlvs=tlv(2, b"localhost"))], ids=["v1", "v2", "tlv"])
def test_each_type_takes_it(make_behind, origin, kind, header):
    gate = make_behind(kind, **({} if kind == "test" else {"allow_upstreams": "127.0.0.0/8"}
                                if kind != "sni" else {}))
    with hellos.connect(gate.port, source=SENDER) as sock:
        sock.sendall(header + after_header(kind, origin))
        if kind == "forward":
            assert b"200" in hellos.read_until(sock, b"\r\n\r\n")
        if kind == "socks5":
            assert sock.recv(2) == b"\5\0"
            sock.sendall(b"\5\1\0\1\x7f\0\0\1" + struct.pack(">H", origin.port))
            assert sock.recv(10)[1] == 0
        sock.sendall(hello(suites=(0x002F,)))
        hellos.read_all(sock)
    record = only_refusal(gate, "client_no_approved_suite")
    assert record["source"] == {"ip": CLIENT, "port": 4711}
    assert record["suitegate"]["via"] == SENDER


@pytest.mark.parametrize("header", [v1(), v2(), with_checksum()], ids=["v1", "v2", "checksum"])
@pytest.mark.parametrize("pieces", ["bytes", "whole"])
def test_in_any_pieces(make_behind, header, pieces):
    gate = make_behind()
    raw = header + hello(suites=(0x002F,))
    assert send(gate, raw, pieces=[raw[i:i + 1] for i in range(len(raw))] if pieces == "bytes" else None)
    assert only_refusal(gate, "client_no_approved_suite")["source"]["ip"] == CLIENT


def test_ipv6(make_behind):
    gate = make_behind(allow_clients="2001:db8::/32")
    session(gate, v1("2001:db8::5", "2001:db8::6", family="TCP6"))
    body = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack(">HH", 1, 2)
    session(gate, v2(body, family=0x21))
    opened = [gate.wait_record(action="connection-opened", count=n) for n in (1, 2)]
    assert [r["source"]["ip"] for r in opened] == ["2001:db8::5", "2001:db8::7"]


def test_without_a_client_the_sender_is_it(make_behind):
    gate = make_behind(allow_clients=f"{SENDER}/32")
    for header in (v2(command=0x20), v2(b"", command=0x20, family=0), b"PROXY UNKNOWN\r\n",
                   v2(b"", family=0)):
        session(gate, header)
    for n in range(1, 5):
        assert gate.wait_record(action="connection-opened", count=n)["source"]["ip"] == SENDER


def test_allow_clients_is_for_the_client(make_behind):
    gate = make_behind(allow_clients="192.0.2.77/32")
    session(gate, v1())
    for header in (v1(source="192.0.2.78"), v1(source=SENDER), v2(command=0x20)):
        assert send(gate, header + hello()) == b""
    denied = [gate.wait_record(code="client_denied", count=n) for n in (1, 2, 3)]
    assert [r["source"]["ip"] for r in denied] == ["192.0.2.78", SENDER, SENDER]


def test_limits_are_for_the_client(make_behind):
    gate = make_behind(proxy={"max_connections_per_source": 2})
    with contextlib.ExitStack() as stack:
        def hold(number):
            sock = stack.enter_context(hellos.connect(gate.port, source=SENDER))
            sock.sendall(v1(source=f"192.0.2.{number}"))
            return sock
        for number in range(20):
            hold(number)
            hold(number)
        third = hold(5)
        assert hellos.read_all(third) == b""
        assert gate.wait_record(code="source_limit_reached")["source"]["ip"] == "192.0.2.5"
        gate.process.poll()
    assert not gate.matching(code="limit_reached")


def test_a_sender_is_counted_until_its_header_is_read(make_behind):
    """Its own connections are not limited by those of its clients."""
    gate = make_behind(proxy={"max_connections_per_source": 2},
                       allow_clients=["192.0.2.0/24", f"{SENDER}/32"])
    for number in range(3):
        session(gate, v1(source=f"192.0.2.{number}"))
    session(gate, v2(command=0x20))
    assert not gate.matching(code="source_limit_reached")


@pytest.mark.parametrize("parent", [None, "office"])
def test_no_one_is_a_program_of_this_machine_by_header(make_gate, pki, ca_folder, tmp_path, parent):
    """For addresses that only such a program may reach, here or at the parent."""
    with World(tmp_path, {}) as world:
        gate = make_gate(ini({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, "parent": parent},
            "parent office": {"url": "http://127.0.0.1:9"}, "audit": {"file": "audit.jsonl"},
            "listen forward": {"type": "forward", "address": f"{ELSEWHERE}:8080",
                               "proxy_protocol_from": f"{ELSEWHERE}/32",
                               "allow_clients": "127.0.0.0/8"}}), wrapper=world.enter)
        code = (f"import socket; s = socket.create_connection(('{ELSEWHERE}', 8080), "
                f"source_address=('{ELSEWHERE}', 0)); "
                f"s.sendall({v1(source='127.0.0.1')!r} + b'CONNECT 127.0.0.1:1 HTTP/1.0\\r\\n\\r\\n'); "
                "print(s.recv(99))")
        done = command(*world.enter, "python3", "-c", code)
        assert b"403" in done.stdout, done.stderr
        assert only_refusal(gate, "destination_denied")["suitegate"]["via"] == ELSEWHERE


def test_no_one_sees_recent_by_header(make_gate, ca_folder, tmp_path):
    """But for a client of this machine whose header comes from this machine."""
    with World(tmp_path, {}) as world:
        gate = make_gate(ini({
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "audit": {"file": "audit.jsonl"},
            "listen test": {"type": "test", "address": f"{ELSEWHERE}:8443",
                            "proxy_protocol_from": [f"{ELSEWHERE}/32", f"{SENDER}/32"],
                            "allow_clients": "127.0.0.0/8"}}), wrapper=world.enter)
        for sender, status in ((ELSEWHERE, b"403"), (SENDER, b"200")):
            code = (f"import sys; sys.path.insert(0, {str(HERE)!r}); import wire; "
                    f"s = wire.dial(8443, '{ELSEWHERE}', source='{sender}'); "
                    f"s.sendall({v1(source='127.0.0.1')!r}); "
                    f"tls = wire.Tls(s, wire.client_context('{ca_folder}/ca.pem'), name='localhost'); "
                    "print(wire.get(tls.handshake(), '/recent').status)")
            done = command(*world.enter, sys.executable, "-B", "-c", code)
            assert done.stdout.strip() == status, done.stderr
        gate.wait_record(action="connection-closed", count=2)


# ---- bad ones -------------------------------------------------------------------------------

BAD = {
    "missing": hello(), "missing http": b"GET / HTTP/1.0\r\n\r\n", "lower case": v1().lower(),
    "no CRLF": v1().replace(b"\r", b""), "long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "one port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "a name": v1(source="localhost"),
    "IPv6 as TCP4": v1(source="::1"), "port": v1(ports=(65536, 1)), "UDP": v1(family="UDP4"),
    "version 1 binary": v2(command=0x11), "command 2": v2(command=0x22), "short": v2(b"\x7f\0\0\1"),
    "short IPv6": v2(family=0x21), "half a TLV": v2(tlvs=b"\4\0"), "long TLV": v2(tlvs=b"\4\0\5abc"),
    "checksum": with_checksum(flip=1), "checksum size": v2(tlvs=tlv(3, b"abc")),
    "huge": v2(length=0xFFFF),
}


@pytest.mark.parametrize("how", BAD)
def test_a_malformed_one(make_behind, how):
    gate = make_behind()
    assert send(gate, BAD[how]) == b""
    record = only_refusal(gate, "client_bad_proxy_header")
    assert record["source"]["ip"] == SENDER
    assert "via" not in record["suitegate"]


def test_one_that_ends_early_and_a_late_one(make_behind):
    gate = make_behind(proxy={"hello_timeout": "300ms"})
    for part in (v1()[:-1], v2()[:-1], b"P"):
        assert send(gate, part) == b""
    ended = [gate.wait_record(code="client_bad_proxy_header", count=n) for n in (1, 2, 3)]
    assert all("ended within it" in r["message"] for r in ended)
    for part in (b"", v2()[:20]):
        with hellos.connect(gate.port, source=SENDER) as sock:
            sock.sendall(part)
            assert hellos.read_all(sock) == b""
    late = [gate.wait_record(code="client_bad_proxy_header", count=n) for n in (4, 5)]
    assert all("hello_timeout" in r["message"] for r in late)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("header", [v1(), v2()], ids=["v1", "v2"])
@pytest.mark.parametrize("from_nobody", [False, True])
def test_nobody_else_may_send_one(make_behind, kind, header, from_nobody):
    """Neither on a listener that has senders nor on one that has none."""
    gate = make_behind(kind, allow_clients="127.0.0.0/8",
                       **({"proxy_protocol_from": None} if from_nobody else {}))
    assert send(gate, header + hello(), source="127.0.0.8") == b""
    record = only_refusal(gate, "client_bad_proxy_header")
    assert record["source"]["ip"] == "127.0.0.8"
    assert "does not name the sender" in record["message"]


def test_checks_of_a_balancer_leave_no_record(make_behind):
    gate = make_behind(allow_clients=["192.0.2.0/24", f"{SENDER}/32"])
    for raw in (b"", v2(b"", command=0x20, family=0), v1(), b"PROXY UNKNOWN\r\n"):
        assert send(gate, raw) == b""
    gate.settle()
    assert [r["event"]["action"] for r in gate.records()] == ["proxy-started", "proxy-stopped"]


# ---- real senders ---------------------------------------------------------------------------

def haproxy_before(folder, gate, option):
    """HAProxy that passes connections on from SENDER."""
    port = free_port()
    return proxies.haproxy(folder, port, f"""
frontend front
bind 127.0.0.1:{port}
default_backend back
backend back
source {SENDER}
server gate 127.0.0.1:{gate.port} {option} check inter 50ms
""", mode="tcp")


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl",
                                    "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_in_front(make_behind, origin, tmp_path, option):
    gate = make_behind("fixed", allow_clients=["127.0.0.7/32", f"{SENDER}/32"])
    with haproxy_before(tmp_path, gate, option) as front:
        done = command("curl", "-sS", "--interface", "127.0.0.7", "--resolve",
                       f"localhost:{front.port}:127.0.0.1", "--cacert", gate.ca_path,
                       f"https://localhost:{front.port}/hello.txt")
    assert done.stdout == origin.body, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert opened["source"]["ip"] == "127.0.0.7"
    assert opened["suitegate"]["via"] == SENDER
    gate.settle()
    assert not gate.matching(action="connection-refused")


def test_curl_as_the_sender(make_behind, origin):
    gate = make_behind("forward", proxy_protocol_from="127.0.0.1", allow_clients="127.0.0.1/32")
    done = command("curl", "-sS", "--haproxy-protocol", "--resolve",
                   f"localhost:{origin.port}:127.0.0.1", "-k",
                   f"https://127.0.0.1:{gate.port}/")
    assert done.returncode != 0  # it speaks TLS where CONNECT is expected
    record = gate.wait_record(code="client_bad_request")
    assert record["suitegate"]["via"] == "127.0.0.1"


# ---- judged by HAProxy and nginx ------------------------------------------------------------

@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """{name: port}: each answers with the client's address and port as it understood them."""
    with contextlib.ExitStack() as stack:
        ports = {"haproxy": free_port(), "nginx": free_port()}
        home = tmp_path_factory.mktemp("judges")
        stack.enter_context(proxies.haproxy(home, ports["haproxy"], f"""
frontend front
bind 127.0.0.1:{ports["haproxy"]} accept-proxy
http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
""", timeout="5s"))
        temporary = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (home / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; default_type text/plain; {temporary}
  server {{
    listen 127.0.0.1:{ports["nginx"]} proxy_protocol;
    set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;
    location / {{ return 200 "$remote_addr $remote_port"; }}
  }}
}}
""")
        stack.enter_context(Process(["nginx", "-e", home / "error.log", "-c", home / "nginx.conf"],
                                    ports["nginx"], home / "nginx.log"))
        yield ports


def judged(port, header):
    """The client that the judge sees, or None if it refuses; the sender's port is not told."""
    with socket.create_connection(("127.0.0.1", port), source_address=(SENDER, 0)) as sock:
        sock.settimeout(8)
        own = sock.getsockname()[1]
        answer = b""
        with contextlib.suppress(OSError):
            sock.sendall(header + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while chunk := sock.recv(4096):
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        return None
    ip, seen = body.decode().split(" ")
    return (ip, None if ip == SENDER and seen == str(own) else int(seen or 0))


def generated():
    """Headers over the whole rule space, each with what it is."""
    chooser = random.Random(42)
    fours = ["192.0.2.1", "255.255.255.255", "10.0.0.1"]
    sixes = ["2001:db8::1", "fe80::1", "2001:db8:1:2:3:4:5:6", "::2"]
    bad = ["192.0.2.256", "192.0.2", "1.2.3.4.5", "x", "", "2001:db8:::1", "12345::1", "0x7f.0.0.1"]
    ports = ["1", "443", "65535", "0"]
    bad_ports = ["65536", "99999999999", "-1", "+1", "x", "", "1x"]
    for family, good in (("TCP4", fours), ("TCP6", sixes)):
        for source in good + bad + (sixes if family == "TCP4" else fours):
            for port in [*ports, *bad_ports]:
                yield v1(source, good[0], (port, "443"), family)
    for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 1 2 3 4\r\n", b"PROXY TCP9 1.1.1.1 2.2.2.2 1 2\r\n",
                 b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
                 b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", b"PROXY TCP4\r\n", b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"):
        yield line
    addresses = {0x11: socket.inet_aton(CLIENT) * 2 + struct.pack(">HH", 7, 8),
                 0x21: socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack(">HH", 7, 8)}
    tails = [b"", tlv(4, b""), tlv(1, b"h2"), tlv(0x20, b"\1\0\0\0\0"), tlv(2, b"name.test"),
             tlv(0xEA, bytes(200)), b"\4", b"\4\0", b"\4\0\2a", tlv(3, bytes(4))]
    for command_byte in (0x20, 0x21):
        for family in (0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x01, 0x41):
            body = addresses.get(family | 1 if family & 0xF0 in (0x10, 0x20) else 0, bytes(216))
            for tail in tails:
                yield v2(body, command_byte, family, tail)
            for cut in (0, 1, 11, 12, 35, 36):
                if cut <= len(body):
                    yield v2(body[:cut], command_byte, family)
    for command_byte in (0x10, 0x30, 0x11, 0x31, 0x01, 0xF1):
        yield v2(command=command_byte)
    for flip in (0, 1, 0x80000000):
        yield with_checksum(flip=flip)
        yield with_checksum(flip=flip, after=tlv(4, b"xx"))
    for _ in range(60):
        raw = bytearray(chooser.choice([v1(), v2(tlvs=tlv(4, b"xx")), with_checksum()]))
        raw[chooser.randrange(len(raw))] ^= 1 << chooser.randrange(8)
        yield bytes(raw)


def test_as_haproxy_and_nginx_judge(make_behind, judges):
    gate = make_behind(allow_clients=["0.0.0.0/0", "::/0"], proxy={"max_handshakes_per_source": 0,
                                                                 "hello_timeout": "2s"})
    context = wire.client_context(gate.ca_path)
    taken, headers = [], list(dict.fromkeys(generated()))
    wrong = []
    for header in headers:
        try:
            own = session(gate, header, context=context).status == 200
        except (OSError, wire.ssl.SSLError, EOFError, AssertionError):
            own = False
        if own:
            taken.append(header)
        theirs = {judged(port, header) for port in judges.values()}
        if len(theirs) == 1 and (theirs != {None}) != own:
            wrong.append((header, own, theirs))
    opened = [gate.wait_record(action="connection-opened", count=n + 1) for n in range(len(taken))]
    for header, record in zip(taken, opened):
        ip = record["source"]["ip"]
        mine = (ip, None if ip == SENDER else record["source"]["port"])
        theirs = [judged(port, header) for port in judges.values()]
        if all(t is not None and t != mine for t in theirs):
            wrong.append((header, mine, theirs))
    assert len(taken) > 100 and len(headers) - len(taken) > 100
    assert not wrong
