"""source_address: from which of its own addresses the gate reaches upstreams."""

import pytest

import wire
from gate import free_port, ini, run
from names import NameServer
from scene import wait_until
from upstreams import TlsPeer
from verdicts import only_refusal

APP = "app.example.test"


@pytest.fixture
def upstream(pki):
    """Echoes; .seen has the addresses of its clients."""
    seen = []

    def script(tls, _number):
        seen.append(tls.sock.getpeername()[0])
        while data := tls.recv():
            tls.send(data)

    leaf = pki.leaf("source", san=("DNS:localhost", f"DNS:{APP}", "IP:127.0.0.1"))
    with TlsPeer(wire.server_context(leaf), script) as peer:
        peer.seen = seen
        yield peer


def ask(gate, authority):
    sock, answer = wire.connect(gate.port, authority)
    with sock:
        if answer.status == 200:
            tls = wire.Tls(sock, wire.client_context(gate.ca_path), name=authority.split(":")[0])
            tls.handshake()
            tls.close()
        return answer.status


def test_it_is_the_upstreams_client(make_forward, upstream):
    gate = make_forward(listen={"source_address": "127.0.0.77"})
    assert ask(gate, f"localhost:{upstream.port}") == 200
    wait_until(lambda: upstream.seen)
    assert upstream.seen == ["127.0.0.77"]


def test_without_it_the_system_chooses(make_forward, upstream):
    gate = make_forward()
    assert ask(gate, f"127.0.0.1:{upstream.port}") == 200
    wait_until(lambda: upstream.seen)
    assert upstream.seen == ["127.0.0.1"]


@pytest.mark.parametrize("addresses", [{"A": ["127.0.0.1"], "AAAA": ["2001:db8::1", "::1"]},
                                       {"AAAA": ["::1", "2001:db8::1"], "A": ["127.0.0.1"]}])
def test_the_other_family_is_not_tried(make_forward, upstream, tmp_path, addresses):
    with NameServer(tmp_path, {APP: addresses}, free_port("127.0.0.53")) as dns:
        gate = make_forward(listen={"source_address": "127.0.0.77"},
                            upstream={"resolver": dns.address})
        assert ask(gate, f"{APP}:{upstream.port}") == 200
    wait_until(lambda: upstream.seen)
    assert upstream.seen == ["127.0.0.77"]


def test_a_destination_of_the_other_family_only_is_no_fault_of_its_own(make_forward):
    gate = make_forward(listen={"source_address": "127.0.0.77"})
    assert ask(gate, "[::1]:443") == 503
    record = only_refusal(gate, "limit_reached")
    assert "source_address" in record["message"]
    assert record["suitegate"]["blame"] == "operator"


def test_an_address_of_another_machine_is_the_operators_fault(make_forward, upstream):
    gate = make_forward(listen={"source_address": "192.0.2.77"})
    assert ask(gate, f"127.0.0.1:{upstream.port}") == 503
    assert "source_address" in only_refusal(gate, "limit_reached")["message"]
    assert upstream.seen == []


@pytest.mark.parametrize("value", ["0.0.0.0", "::", "127.0.0.1:80", "localhost", "10.0.0.0/8"])
def test_what_is_no_address(tmp_path, ca_folder, value):
    (tmp_path / "s.ini").write_text(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "listen forward": {"type": "forward", "address": "127.0.0.1:8080",
                           "source_address": value}}))
    done = run("config", "-c", tmp_path / "s.ini")
    assert done.returncode == 1
    assert "source_address: must be an IP address" in done.stderr
