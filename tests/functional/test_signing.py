"""Private keys are the keeper's: the proxy has none of long life, asks for each signature, and
waits for none while it has something else to do."""

import concurrent.futures
import os
import signal
import time

import pytest

import hellos
import wire
from gate import free_port, ini, sanitized
from memory import found_in
from mutual import APP, clients  # noqa: F401 (fixture)
from scene import at, scene, standing_still, wait_until  # noqa: F401 (fixtures)
from upstreams import TlsPeer, echo, s_server


@pytest.fixture
def echoing(pki):
    with TlsPeer(wire.server_context(pki.ec), echo) as peer:
        yield peer


@pytest.mark.skipif(sanitized(), reason="its memory is too large to be read")
def test_no_private_key_of_long_life_is_in_the_proxy(make_gate, pki, ca_folder, clients,  # noqa: F811
                                                     tmp_path):
    leaf = pki.leaf("asking", san=("DNS:localhost", "IP:127.0.0.1", f"DNS:{APP}"))
    with s_server(tmp_path, leaf, "-tls1_2", "-CAfile", clients.trust, "-Verify", "9", "-www") \
            as upstream:
        fixed, forward = free_port(), free_port()
        own = [(k, v) for x in (pki.ec, pki.rsa) for k, v in (("certificate", x.chain),
                                                              ("key", x.key))]
        gate = make_gate(ini({
            "proxy": {"workers": 2},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, "resume": "no"}, "audit": {"file": "audit.jsonl"},
            "identity a": {"certificate": clients.ec.chain, "key": clients.ec.key,
                           "upstreams": "localhost"},
            "listen fixed": [("type", "fixed"), ("address", f"127.0.0.1:{fixed}"),
                             ("upstream", f"127.0.0.1:{upstream.port}"),
                             ("upstream_name", "localhost"), *own],
            "listen forward": {"type": "forward", "address": f"127.0.0.1:{forward}"}}))
        for _ in range(4):
            for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
                context = wire.client_context(pki.trust)
                context.set_ciphers(ciphers)
                with wire.Tls(wire.dial(fixed), context, name="localhost") as tls:
                    tls.handshake()
                    tls.send(b"GET / HTTP/1.0\r\n\r\n")
                    tls.recv()
            sock, answer = wire.connect(forward, f"localhost:{upstream.port}")
            assert answer.status == 200
            with wire.Tls(sock, wire.client_context(ca_folder / "ca.pem"), name="localhost") as tls:
                tls.handshake()
                tls.send(b"GET / HTTP/1.0\r\n\r\n")
                tls.recv()
        opened = [gate.wait_record(action="connection-opened", count=n + 1) for n in range(12)]
        assert all(at(r, "suitegate.upstream.client_certificate.identity") == "a" for r in opened)
        keys = {"listener, EC": pki.ec.key, "listener, RSA": pki.rsa.key,
                "identity": clients.ec.key, "CA, EC": ca_folder / "issuing-ecdsa.pem",
                "CA, RSA": ca_folder / "issuing-rsa.pem"}
        assert {name: found_in(gate.proxy(), key) for name, key in keys.items()} == \
            dict.fromkeys(keys, set())
        for name, key in keys.items():  # they can be found where they are
            assert found_in(gate.pid, key), name
        for pid in gate.pid, gate.proxy():  # the root's is not read at all
            assert not found_in(pid, ca_folder / "ca.key")


@pytest.mark.parametrize("keys", [("ec",), ("rsa",)])
def test_without_the_keeper_what_needs_no_signature_goes_on(scene, echoing, keys):  # noqa: F811
    s = scene(echoing.port, keys=keys, proxy={"handshake_timeout": "2s"})
    assert s.echoes("forward") and s.echoes("fixed")
    with standing_still(s.gate.pid):
        for _ in range(3):
            assert s.echoes("forward")  # its certificate is known
        with pytest.raises((OSError, EOFError, AssertionError)):
            s.echoes("fixed")
    record = s.gate.wait_record(code="internal_error")
    assert record["suitegate"]["blame"] == "operator" and "did not sign in time" in record["message"]
    assert s.echoes("fixed")


def test_a_keeper_that_hangs_for_a_moment_costs_a_moment(scene, echoing):  # noqa: F811
    s = scene(echoing.port, keys=("rsa",))
    assert s.echoes("fixed")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        with standing_still(s.gate.pid):
            waiting = [pool.submit(s.echoes, "fixed") for _ in range(20)]
            time.sleep(.5)
            assert not any(w.done() for w in waiting)
        assert all(w.result() for w in waiting)
    assert not s.gate.matching(code="internal_error")


def test_a_new_name_without_the_keeper(scene, echoing):  # noqa: F811
    """It is not the client's fault."""
    s = scene(echoing.port, proxy={"handshake_timeout": "1s"})
    assert s.echoes("fixed")
    with standing_still(s.gate.pid), pytest.raises((OSError, EOFError, AssertionError)):
        s.echoes("forward")
    record = s.gate.wait_record(code="internal_error")
    assert record["suitegate"]["blame"] == "operator"
    assert s.echoes("forward")


def test_handshakes_of_the_former_configuration_are_signed(scene, echoing):  # noqa: F811
    """A client that began before a reload goes on with the keys of then."""
    s = scene(echoing.port, keys=("ec",))
    with wire.dial(s.fixed) as sock:
        hello = hellos.hello()
        sock.sendall(hello[:20])
        time.sleep(.2)
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        sock.sendall(hello[20:])
        assert sock.recv(1) == b"\x16"
    assert s.echoes("fixed")
    os.kill(s.gate.proxy(), signal.SIGKILL)  # the next one gets signatures, too
    wait_until(lambda: "the proxy serves again" in s.gate.stderr)
    assert s.echoes("fixed")


def test_many_rejected_reloads_take_no_key_away(scene, echoing):  # noqa: F811
    s = scene(echoing.port, keys=("ec",))
    s.sections["audit"]["file"] = "nowhere/audit.jsonl"
    good, path = s.gate.config, s.gate.audit_path
    s.rewrite()
    s.gate.audit_path = path
    for _ in range(12):
        assert s.gate.reload()["event"]["action"] == "configuration-rejected"
        assert s.echoes("fixed")
    s.gate.write_config(good)
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    assert s.echoes("fixed") and s.echoes("forward")


def joined(path, *parts):
    path.touch(0o600)
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.skipif(sanitized(), reason="its memory is too large to be read")
def test_files_with_certificate_and_key(make_gate, pki, ca_folder, tmp_path, echoing):
    """Whatever names them: the proxy gets the certificates."""
    both = joined(tmp_path / "both.pem", pki.ec.chain, pki.ec.key)
    rsa = joined(tmp_path / "rsa.pem", pki.rsa.chain, pki.rsa.key)
    trust = joined(tmp_path / "trust.pem", pki.trust, ca_folder / "issuing-rsa.pem")
    ports = free_port(), free_port(), free_port()

    def fixed(port, certificate, key):
        return {"type": "fixed", "address": f"127.0.0.1:{port}", "certificate": certificate,
                "key": key, "upstream": f"127.0.0.1:{echoing.port}", "upstream_name": "localhost"}
    gate = make_gate(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": {"trust": trust}, "audit": {"file": "audit.jsonl"},
        "listen one": fixed(ports[0], both, both), "listen two": fixed(ports[1], rsa, pki.rsa.key),
        "listen three": {"type": "forward", "address": f"127.0.0.1:{ports[2]}"}}))
    for port in ports[:2]:
        with wire.Tls(wire.dial(port), wire.client_context(pki.trust), name="localhost") as tls:
            tls.handshake()
            tls.send(b"echo")
            assert tls.recv_exactly(4) == b"echo"
    for key in pki.ec.key, pki.rsa.key, ca_folder / "issuing-rsa.pem":
        assert found_in(gate.proxy(), key) == set()
        assert found_in(gate.pid, key)
