"""What began under a configuration ends under it, and a configuration that is gone gives its memory
back, although tunnels that began under it are still open."""

import pytest

import wire
from gate import free_port, sanitized
from scene import Scene, at, talk

RELOADS, ENTRIES = 10, 20_000


@pytest.fixture
def stage(make_gate, pki, ca_folder, echoing, tmp_path):
    """A scene with a large list of destinations, and an observing and a test listener."""
    allowed = tmp_path / "allowed.txt"
    allowed.write_text("127.0.0.1\n" + "".join(f"h{i}.example.com:443\n" for i in range(ENTRIES)))
    ports = {"observing": free_port(), "test": free_port()}

    class Stage(Scene):
        def ini(self):
            self.sections["listen forward"]["allow_upstreams"] = f"file:{allowed}"
            self.sections["listen observing"] = [
                ("type", "fixed"), ("address", f"127.0.0.1:{ports['observing']}"),
                ("upstream", f"127.0.0.1:{echoing.port}"), ("mode", "observe")]
            self.sections["listen test"] = {"type": "test",
                                            "address": f"127.0.0.1:{ports['test']}"}
            return super().ini()

    s = Stage(make_gate, pki, ca_folder, echoing.port)
    s.ports = ports
    return s


def reload(s):
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"


@pytest.mark.skipif(sanitized(), reason="a sanitizer keeps freed memory")
def test_an_old_configuration_gives_its_memory_back(stage):
    """A list of this size takes more than 3 MiB."""
    def reload_with_tunnels():
        for _ in range(RELOADS):
            tunnels.append(stage.client("forward"))
            talk(tunnels[-1])
            reload(stage)

    tunnels = []
    reload_with_tunnels()
    before = stage.gate.rss_kib()
    reload_with_tunnels()
    assert stage.gate.rss_kib() < before + RELOADS * 200
    for tls in tunnels:
        talk(tls)
        tls.close()


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_was_begun_goes_on(stage, rounds):
    s = stage
    silent = {how: wire.dial(port) for how, port in (("forward", s.forward), ("fixed", s.fixed),
                                                     ("test", s.ports["test"]))}
    asked = s.tunnel("forward")
    tunnels = [s.client(how) for how in ("forward", "fixed")]
    observed = wire.Tls(wire.dial(s.ports["observing"]), s.context("fixed"), name="localhost")
    observed.handshake()
    for tls in (*tunnels, observed):
        talk(tls)
    shown = wire.Tls(wire.dial(s.ports["test"]), s.context("forward"), name="localhost").handshake()
    digest = s.gate.records()[0]["suitegate"]["policy"]["digest"]
    s.sections["policy"]["minimum_rsa_bits"] = 3072
    for _ in range(rounds):
        s.rewrite()
        reload(s)
    for tls in (*tunnels, observed):
        talk(tls)
    assert wire.get(shown, "/").status == 200
    begun = [wire.Tls(asked, s.context("forward"), name="localhost"),
             wire.Tls(silent["fixed"], s.context("fixed"), name="localhost")]
    for tls in begun:
        tls.handshake()
        talk(tls)
    late = wire.Tls(silent["test"], s.context("forward"), name="localhost").handshake()
    assert wire.get(late, "/").status == 200
    for tls in (*tunnels, *begun, observed, shown, late):
        tls.close()
    silent["forward"].close()
    s.gate.wait_record(action="connection-closed", count=7)
    assert s.gate.stop() == 0
    closed = s.gate.matching(action="connection-closed")
    assert {at(r, "suitegate.policy.digest") for r in closed} == {digest}
    assert {at(r, "suitegate.listener") for r in closed} == {
        "forward", "front", "observing", "test"}
