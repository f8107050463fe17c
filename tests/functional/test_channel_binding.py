"""tls-server-end-point (RFC 5929) on record: does a client see the upstream's own certificate?

The tests compare the certificates of both legs themselves."""

import hashlib

import pytest

import wire
from gate import free_port, ini
from mutual import APP, asking, clients, connect, names, start, tunnel  # noqa: F401 (fixtures)
from pki import LOOPBACK
from scene import at
from upstreams import TlsPeer, nginx, page

DIFFERS = "channel-binding-differs"
ECDSA, RSA = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"


@pytest.fixture(scope="module")
def leaves(pki):
    san = (*LOOPBACK, f"DNS:{APP}")
    return {"ec": pki.leaf("binding-ec", san=san),
            "rsa": pki.leaf("binding-rsa", san=san, key="rsa2048")}


@pytest.fixture(scope="module")
def upstream(leaves, tmp_path_factory):
    """An nginx with both certificates."""
    with nginx(tmp_path_factory.mktemp("binding"), *leaves.values()) as server:
        yield server.port


@pytest.fixture
def fixed(make_gate, pki, ca_folder):
    """fixed(upstream, *own certificates) -> Gate with a fixed listener, minted without any."""
    def build(upstream, *own, workers=1, **options):
        port = free_port()
        gate = make_gate(ini({
            "proxy": {"workers": workers},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, **options},
            "audit": {"file": "audit.jsonl"},
            "listen front": {"type": "fixed", "address": f"127.0.0.1:{port}",
                             "upstream": f"127.0.0.1:{upstream}", "upstream_name": "localhost",
                             "certificate": [leaf.chain for leaf in own],
                             "key": [leaf.key for leaf in own]}}))
        gate.port = port
        return gate
    return build


def visit(sock, ciphers=None, name="localhost"):
    """The SHA-256 of the certificate that the client sees; it has asked for something."""
    with wire.Tls(sock, wire.client_context(ciphers=ciphers), name=name) as tls:
        tls.handshake()
        seen = hashlib.sha256(tls.tls.getpeercert(True)).hexdigest()
        assert wire.get(tls, "/facts").status == 200
        tls.close_notify()
    return seen


def bindings(gate, count):
    """(binding, whether the upstream's session is resumed) of so many connections, each checked
    with the certificates of both legs."""
    gate.wait_record(action="connection-closed", count=count)
    opened = gate.matching(action="connection-opened")
    closed = gate.matching(action="connection-closed")
    binding = {at(r, "suitegate.connection_id"): at(r, "suitegate.channel_binding")
               for r in opened}
    assert binding == {at(r, "suitegate.connection_id"): at(r, "suitegate.channel_binding")
                       for r in closed}
    return [(at(r, "suitegate.channel_binding"), at(r, "suitegate.upstream.tls.resumed"))
            for r in opened]


def server_seen(gate, number=1):
    """By the gate, in this connection."""
    return at(gate.wait_record(action="connection-opened", count=number),
              "suitegate.upstream.tls.server.hash.sha256")


def reload(gate):
    assert gate.reload()["event"]["action"] == "configuration-loaded"


# ---- fixed listeners -----------------------------------------------------------------------------

def test_a_minted_certificate_differs_and_one_record_says_so(fixed, upstream):
    gate = fixed(upstream, workers=2)
    for number in range(1, 9):
        assert visit(wire.dial(gate.port)) != server_seen(gate, number)
    seen = bindings(gate, 8)
    assert {binding for binding, _ in seen} == {"differs"}
    assert {resumed for _, resumed in seen} == {False, True}
    assert gate.stop() == 0
    told, = gate.matching(action=DIFFERS)
    assert at(told, "suitegate.listener") == "front"
    detail = at(told, "suitegate.detail")
    for words in ("Extended Protection", "localhost", "own certificate and key on the listener"):
        assert words in detail
    assert "source" not in told and at(told, "log.level") == "info"


def test_each_load_of_the_configuration_says_it_once(fixed, upstream):
    gate = fixed(upstream)
    for loads in (1, 2, 3):
        for _ in range(3):
            visit(wire.dial(gate.port))
        gate.wait_record(action="connection-closed", count=3 * loads)
        gate.wait_record(action=DIFFERS, count=loads)
        assert len(gate.matching(action=DIFFERS)) == loads
        reload(gate)
    gate.stop()
    assert len(gate.matching(action=DIFFERS)) == 3


def test_nothing_is_said_before_the_first_connection(fixed, upstream):
    gate = fixed(upstream)
    reload(gate)
    gate.stop()
    assert gate.matching(action=DIFFERS) == []


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_the_upstreams_own_certificate_is_the_same(fixed, leaves, tmp_path, key):
    leaf = leaves[key]
    with nginx(tmp_path, leaf) as upstream:
        gate = fixed(upstream.port, leaf)
        for number in (1, 2, 3):
            assert visit(wire.dial(gate.port)) == server_seen(gate, number)
        seen = bindings(gate, 3)
    assert seen == [("same", False), ("same", True), ("same", True)]
    gate.stop()
    assert gate.matching(action=DIFFERS) == []


def test_a_certificate_for_the_same_key_differs(fixed, pki, leaves, tmp_path):
    """The hash is that of the certificate."""
    twin = pki.leaf("binding-twin")
    with nginx(tmp_path, leaves["ec"]) as upstream:
        gate = fixed(upstream.port, twin)
        assert visit(wire.dial(gate.port)) != server_seen(gate)
        assert bindings(gate, 1) == [("differs", False)]
        gate.wait_record(action=DIFFERS)


def test_a_certificate_that_the_upstream_has_changed_differs(fixed, pki, leaves):
    """As after a renewal that only one of them has seen."""
    port = free_port()
    gate = fixed(port, leaves["ec"], resume="no")
    with TlsPeer(wire.server_context(leaves["ec"]), page(), port=port):
        visit(wire.dial(gate.port))
        bindings(gate, 1)
    with TlsPeer(wire.server_context(pki.leaf("binding-renewed")), page(), port=port):
        visit(wire.dial(gate.port))
        seen = bindings(gate, 2)
    assert [binding for binding, _ in seen] == ["same", "differs"]
    gate.wait_record(action=DIFFERS)


@pytest.mark.parametrize("ciphers", [ECDSA, RSA])
@pytest.mark.parametrize("resume", ["yes", "no"])
def test_two_pairs(fixed, leaves, upstream, ciphers, resume):
    """Both have both; what counts is which one each leg has. An upstream's is of the type that it
    prefers, not of its client's."""
    gate = fixed(upstream, *leaves.values(), resume=resume)
    for number in (1, 2, 3):
        seen = visit(wire.dial(gate.port), ciphers)
        assert (seen == server_seen(gate, number)) == (bindings(gate, number)[-1][0] == "same")
    gate.stop()
    same = {binding for binding, _ in bindings(gate, 3)} == {"same"}
    assert same or ciphers == RSA
    assert len(gate.matching(action=DIFFERS)) == (not same)


def test_two_listeners_speak_for_themselves(fixed, leaves, upstream):
    gate = fixed(upstream, leaves["ec"])
    others = {name: free_port() for name in ("second", "third")}
    text = gate.config
    for name, port in others.items():
        text += ini({f"listen {name}": {"type": "fixed", "address": f"127.0.0.1:{port}",
                                        "upstream": f"127.0.0.1:{upstream}",
                                        "upstream_name": "localhost"}})
    gate.write_config(text)
    reload(gate)
    for port in (gate.port, *others.values(), *others.values()):
        visit(wire.dial(port), ECDSA)
    bindings(gate, 5)
    gate.stop()
    assert sorted(at(r, "suitegate.listener") for r in gate.matching(action=DIFFERS)) == [
        "second", "third"]


# ---- the others ----------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["forward", "sni", "socks5"])
def test_other_listeners_differ_and_say_it_in_the_record_alone(asking, upstream, kind):
    """They mint, for any upstream."""
    gate = asking({kind: (kind, "none") for kind in ("forward", "sni", "socks5")},
                  upstream=upstream)
    for _ in range(2):
        visit(tunnel(gate, kind), name=APP)
    assert [binding for binding, _ in bindings(gate, 2)] == ["differs"] * 2
    assert gate.matching(action=DIFFERS) == []


def test_a_listener_without_an_upstream_has_no_binding(asking):
    gate = asking({"test": ("test", "none")})
    with connect(gate, "test") as tls:
        tls.handshake()
        assert wire.get(tls, "/health").status == 200
        tls.close_notify()
    assert bindings(gate, 1) == [(None, None)]


def test_an_observed_connection_has_no_binding(make_forward, origin):
    """The client sees the upstream's own certificate, since nothing is terminated."""
    gate = make_forward(listen={"mode": "observe"})
    sock, _ = wire.connect(gate.port, f"localhost:{origin.port}")
    visit(sock)
    assert at(gate.wait_record(action="connection-observed"), "suitegate.channel_binding") is None


def test_an_upstream_that_is_refused_has_no_binding(fixed, pki):
    with TlsPeer(wire.server_context(pki.expired)) as bad:
        gate = fixed(bad.port)
        with wire.Tls(wire.dial(gate.port), wire.client_context(), name="localhost") as tls:
            tls.handshake()
            assert wire.get(tls).status == 502
        refused = gate.wait_record(action="connection-refused")
    assert at(refused, "suitegate.channel_binding") is None
    gate.stop()
    assert gate.matching(action=DIFFERS) == []
