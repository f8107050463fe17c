"""The PROXY protocol out: before TLS, upstreams learn who the client is."""

import socket
import struct

import pytest

import proxies
import wire
from client_programs import command
from gate import free_port
from upstreams import Peer, nginx
from verdicts import SUITES

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "127.0.0.7"
TYPE_AUTHORITY, TYPE_SSL, TYPE_VERSION, TYPE_CIPHER = 0x02, 0x20, 0x21, 0x23
BOTH = ["v1", "v2"]


class Header:
    """What a v2 header says."""

    def __init__(self, raw):
        assert raw[:13] == SIGNATURE + b"\x21"
        size = {0x11: 4, 0x21: 16}[raw[13]]
        family = {4: socket.AF_INET, 16: socket.AF_INET6}[size]
        self.source = socket.inet_ntop(family, raw[16:16 + size])
        self.destination = socket.inet_ntop(family, raw[16 + size:16 + 2 * size])
        self.ports = struct.unpack(">HH", raw[16 + 2 * size:20 + 2 * size])
        self.tlvs = self._tlvs(raw[20 + 2 * size:])
        ssl = self.tlvs.get(TYPE_SSL, b"")
        self.fixed, self.ssl = ssl[:5], self._tlvs(ssl[5:])

    @staticmethod
    def _tlvs(raw):
        found = {}
        while raw:
            kind, size = struct.unpack(">BH", raw[:3])
            found[kind], raw = raw[3:3 + size], raw[3 + size:]
        return found


def exactly(sock, n):
    data = b""
    while len(data) < n:
        chunk = sock.recv(n - len(data))
        assert chunk, "the header has an end"
        data += chunk
    return data


def read_header(sock):
    raw = exactly(sock, 12)
    if raw == SIGNATURE:
        raw += exactly(sock, 4)
        return raw + exactly(sock, struct.unpack(">H", raw[14:])[0])
    while not raw.endswith(b"\n"):
        raw += exactly(sock, 1)
    return raw


@pytest.fixture
def upstream(pki):
    """Reads a header, then echoes over TLS; .seen has the headers, .agreed the suites."""
    context = wire.server_context(pki.ec, pki.rsa)

    def script(sock, _number):
        peer.seen.append(read_header(sock))
        tls = wire.Tls(sock, context, server_side=True)
        tls.handshake()
        while data := tls.recv():
            tls.send(data)

    with Peer(script) as peer:
        peer.seen = []
        yield peer


def echo(gate, port=None, context=None, source=CLIENT):
    """One echo through the gate; the client's port and suite."""
    sock = wire.dial(gate.port, source=source)
    with sock:
        own = sock.getsockname()[1]
        if port:
            sock.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += sock.recv(1)
            assert b" 200 " in answer
        tls = wire.Tls(sock, context or wire.client_context(gate.ca_path), name="localhost")
        tls.handshake()
        tls.send(b"hello")
        assert tls.recv_exactly(5) == b"hello"
        suite = tls.tls.cipher()[0]
        tls.close()
    return own, suite


def test_version_1(make_fixed, upstream):
    gate = make_fixed(upstream=upstream.port, listen={"send_proxy_protocol": "v1"})
    port, _ = echo(gate)
    assert upstream.seen == [f"PROXY TCP4 {CLIENT} 127.0.0.1 {port} {gate.port}\r\n".encode()]


def test_version_2(make_fixed, upstream):
    gate = make_fixed(upstream=upstream.port, listen={"send_proxy_protocol": "v2"})
    port, suite = echo(gate)
    header = Header(upstream.seen[0])
    assert (header.source, header.destination) == (CLIENT, "127.0.0.1")
    assert header.ports == (port, gate.port)
    assert header.tlvs[TYPE_AUTHORITY] == b"localhost"
    assert header.ssl == {TYPE_VERSION: b"TLSv1.2", TYPE_CIPHER: suite.encode()}


@pytest.mark.parametrize("version", BOTH)
def test_behind_connect(make_forward, upstream, version):
    gate = make_forward(listen={"send_proxy_protocol": version})
    port, _ = echo(gate, upstream.port)
    if version == "v1":
        assert upstream.seen[0].startswith(f"PROXY TCP4 {CLIENT} 127.0.0.1 {port} ".encode())
    else:
        assert Header(upstream.seen[0]).source == CLIENT


@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_is_that_of_the_session(make_fixed, upstream, suite):
    """For each one, in full and resumed handshakes, and after the client has changed its offer."""
    name = SUITES[suite][1]
    gate = make_fixed(upstream=upstream.port, listen={"send_proxy_protocol": "v2"})
    one = wire.client_context(gate.ca_path, ciphers=name)
    several = wire.client_context(gate.ca_path)
    assert echo(gate, context=one)[1] == name
    agreed = [name, *(echo(gate, context=c)[1] for c in (one, several, one))]
    told = [Header(raw).ssl[TYPE_CIPHER].decode() for raw in upstream.seen]
    assert told == agreed


def test_what_a_sender_said_is_passed_on(make_fixed, upstream):
    gate = make_fixed(upstream=upstream.port,
                      listen={"send_proxy_protocol": "v2", "proxy_protocol_from": "127.0.0.9/32",
                              "allow_clients": "2001:db8::/32"})
    with wire.dial(gate.port, source="127.0.0.9") as sock:
        sock.sendall(b"PROXY TCP6 2001:db8::5 2001:db8::6 4711 4443\r\n")
        tls = wire.Tls(sock, wire.client_context(gate.ca_path), name="localhost")
        tls.handshake()
        tls.send(b"x")
        assert tls.recv_exactly(1) == b"x"
        tls.close()
    header = Header(upstream.seen[0])
    assert (header.source, header.destination) == ("2001:db8::5", "2001:db8::6")
    assert header.ports == (4711, 4443)


def test_none_by_default(make_fixed, echoing):
    gate = make_fixed(upstream=echoing.port)
    echo(gate)


# ---- as HAProxy sends it, and as HAProxy and nginx read it ------------------------------------

def test_it_is_what_haproxy_sends(make_fixed, upstream, pki, tmp_path):
    pem = pki.bundle("haproxy-out", pki.ec.chain, pki.ec.key)
    port = free_port()
    lines = f"""
frontend front
bind 127.0.0.1:{port} ssl crt {pem} no-tlsv13 ciphers ECDHE-ECDSA-AES128-GCM-SHA256
default_backend back
backend back
server up 127.0.0.1:{upstream.port} ssl verify none send-proxy-v2 proxy-v2-options ssl,authority,ssl-cipher"""
    with proxies.haproxy(tmp_path, port, lines, mode="tcp") as front:
        front.ca_path = pki.trust
        echo(front)
    gate = make_fixed(upstream=upstream.port, listen={"send_proxy_protocol": "v2"})
    echo(gate, context=wire.client_context(gate.ca_path, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    theirs, ours = map(Header, upstream.seen)
    assert ours.tlvs.keys() == theirs.tlvs.keys()
    assert ours.tlvs[TYPE_AUTHORITY] == theirs.tlvs[TYPE_AUTHORITY]
    assert ours.fixed == theirs.fixed
    assert ours.ssl == theirs.ssl


@pytest.mark.parametrize("version", BOTH)
def test_nginx_reads_it(make_fixed, pki, tmp_path, version):
    port = free_port()
    extra = f"""listen 127.0.0.1:{port} ssl proxy_protocol;
        location = /who {{ return 200 "$proxy_protocol_addr $proxy_protocol_port"; }}"""
    with nginx(tmp_path, pki.ec, pki.rsa, extra=extra):
        gate = make_fixed(upstream=port, listen={"send_proxy_protocol": version})
        done = command("curl", "-sS", "--interface", CLIENT, "--resolve",
                       f"localhost:{gate.port}:127.0.0.1", "--cacert", gate.ca_path,
                       "--local-port", "20001-29999", "-w", " %{local_port}",
                       f"https://localhost:{gate.port}/who")
    ip, seen, own = done.stdout.decode().split()
    assert (ip, seen) == (CLIENT, own)


@pytest.mark.parametrize("version", BOTH)
def test_haproxy_reads_it(make_fixed, pki, tmp_path, version):
    port = free_port()
    pem = pki.bundle("haproxy-in", pki.ec.chain, pki.ec.key)
    with proxies.haproxy(tmp_path, port, f"""
frontend front
bind 127.0.0.1:{port} ssl crt {pem} accept-proxy
http-request return status 200 content-type text/plain lf-string "%[src] %[fc_pp_authority]"
"""):
        gate = make_fixed(upstream=port, listen={"send_proxy_protocol": version})
        done = command("curl", "-sS", "--interface", CLIENT, "--resolve",
                       f"localhost:{gate.port}:127.0.0.1", "--cacert", gate.ca_path,
                       f"https://localhost:{gate.port}/")
    assert done.stdout.decode().split() == [CLIENT] + (["localhost"] if version == "v2" else [])
