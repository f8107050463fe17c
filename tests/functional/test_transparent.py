"""A transparent listener takes connections that the firewall leads to it, and connects each one to
the address that its client dialled. The rules are those of conf/, in network namespaces."""

import os
import pathlib

import pytest

from client_programs import command
from conftest import BODY
from gate import ROOT, StartError, ini, run
from names import World
from network import CLIENT, GATE, OTHER_SERVER, PORT, SERVER, Network
from upstreams import Process
from verdicts import only_refusal

APP, BOTH, ELSEWHERE = "app.example.test", "both.example.test", "elsewhere.example.test"
ZONE = {APP: {"A": [SERVER[4]], "AAAA": [SERVER[6]]},
        BOTH: {"A": ["10.99.2.9", SERVER[4], OTHER_SERVER[4]]},
        ELSEWHERE: {"A": [OTHER_SERVER[4]], "AAAA": [OTHER_SERVER[6]]},
        "broken.example.test": "SERVFAIL", "silent.example.test": "SILENT"}
LISTENER = 8443
HOW = ("redirect", "tproxy")
LOCAL_ROUTES = "\n".join(
    f"ip {family} rule add fwmark 0x53 lookup 53; ip {family} route add local default dev lo table 53"
    for family in ("", "-6"))


@pytest.fixture(scope="module")
def network(tmp_path_factory, pki):
    folder = tmp_path_factory.mktemp("network")
    (folder / "hello.txt").write_bytes(BODY)
    names = ("DNS:*.example.test", f"IP:{SERVER[4]}", f"IP:{SERVER[6]}")
    leaves = pki.leaf("far-ec", san=names), pki.leaf("far-rsa", san=names, key="rsa2048")
    with World(folder, ZONE) as world, Network(world) as made:
        with made.origin(folder, folder, *leaves):
            made.at_gate(LOCAL_ROUTES)
            yield made


def rules(how):
    """In a namespace the proxy's user is root."""
    return (ROOT / "conf" / f"nftables-{how}.nft").read_text().replace("= suitegate", "= 0")


@pytest.fixture
def make_transparent(make_gate, request, pki, ca_folder):
    """make_transparent(how, SECTION={..}, wrapper=[..], network=.., **listen options) -> Gate"""
    def make(how="redirect", *, policy=None, parent=None, wrapper=(), network=None,
             listen_parent=None, **listen):
        network = network or request.getfixturevalue("network")
        network.firewall(f"flush ruleset\n{rules(how)}")
        gate = make_gate(ini({
            "policy": policy or {},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust},
            **({"parent office": parent} if parent else {}),
            "audit": {"file": "audit.jsonl"},
            "listen all": {"type": "transparent", "transparent": how,
                           "address": f"[::]:{LISTENER}", "allow_clients": ["0.0.0.0/0", "::/0"],
                           "parent": listen_parent, **listen},
        }), wrapper=[*network.world.enter, *wrapper])
        gate.ca_path = ca_folder / "ca.pem"
        return gate

    return make


def url_host(address):
    return f"[{address}]" if ":" in address else address


def curl(network, gate, name, address):
    """Its answer to a client for which the name leads to the address."""
    return command(*network.clients, "curl", "-sS", "--resolve",
                   f"{name}:{PORT}:{url_host(address)}", "--cacert", gate.ca_path,
                   f"https://{name}/hello.txt")


def by_address(network, gate, address):
    return command(*network.clients, "curl", "-sS", "--cacert", gate.ca_path,
                   f"https://{url_host(address)}/hello.txt")


# ---- who gets through -----------------------------------------------------------------------

@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", HOW)
def test_a_client_gets_to_the_address_that_it_dials(make_transparent, network, how, family):
    gate = make_transparent(how)
    done = curl(network, gate, APP, SERVER[family])
    assert done.stdout == BODY, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert opened["source"]["ip"] == CLIENT[family]
    assert opened["destination"] == {"domain": APP, "ip": SERVER[family], "port": PORT}
    assert opened["suitegate"]["identity"] == APP


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", HOW)
def test_without_a_name_the_address_is_the_identity(make_transparent, network, how, family):
    gate = make_transparent(how)
    done = by_address(network, gate, SERVER[family])
    assert done.stdout == BODY, done.stderr
    opened = gate.wait_record(action="connection-opened")
    assert opened["suitegate"]["identity"] == SERVER[family]
    assert opened["destination"] == {"ip": SERVER[family], "port": PORT}
    # The certificate of the other server is not for its address.
    by_address(network, gate, OTHER_SERVER[family])
    assert gate.wait_record(code="upstream_certificate_name_mismatch")


def test_a_name_with_several_addresses(make_transparent, network):
    gate = make_transparent()
    for address in (SERVER[4], OTHER_SERVER[4]):
        assert curl(network, gate, BOTH, address).stdout == BODY
    gate.wait_record(action="connection-opened", count=2)
    opened = gate.matching(action="connection-opened")
    assert [r["destination"]["ip"] for r in opened] == [SERVER[4], OTHER_SERVER[4]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_programs_of_the_gates_own_machine(make_transparent, tmp_path, pki):
    """All but the proxy's own user."""
    folder = tmp_path / "world"
    folder.mkdir()
    (folder / "hello.txt").write_bytes(BODY)
    leaf = pki.leaf("far-own", san=("DNS:*.example.test",))
    with World(folder, ZONE, users=True) as world, Network(world) as network:
        with network.origin(folder, folder, leaf):
            gate = make_transparent(network=network)
            done = command(*world.enter, "setpriv", "--reuid", "65534", "--clear-groups", "curl",
                           "-sSk", "--resolve", f"{APP}:{PORT}:{SERVER[4]}",
                           f"https://{APP}/hello.txt")
            assert done.stdout == BODY, done.stderr
            opened = gate.wait_record(action="connection-opened")
            assert opened["source"]["ip"] == "10.99.2.1"
            assert opened["destination"] == {"domain": APP, "ip": SERVER[4], "port": PORT}


# ---- names that do not lead to the address --------------------------------------------------

@pytest.mark.parametrize("name", [ELSEWHERE, "nowhere.example.test"])
def test_another_name_is_refused(make_transparent, network, name):
    gate = make_transparent()
    failed = curl(network, gate, name, SERVER[4])
    assert BODY not in failed.stdout
    record = only_refusal(gate, "client_server_name_mismatch")
    assert record["destination"] == {"domain": name, "ip": SERVER[4], "port": PORT}
    assert SERVER[4] in record["message"]
    assert record["tls"]["client"]["server_name"] == name


@pytest.mark.parametrize("name", [ELSEWHERE, "nowhere.example.test"])
def test_or_allowed_if_the_policy_says_so(make_transparent, network, name):
    """Its upstream still is the address, and has to prove the name."""
    gate = make_transparent(policy={"server_name_mismatch": "allow"})
    assert curl(network, gate, name, SERVER[4]).stdout == BODY
    opened = gate.wait_record(action="connection-opened")
    assert opened["destination"] == {"ip": SERVER[4], "port": PORT}
    assert opened["suitegate"]["identity"] == name
    assert BODY not in curl(network, gate, "other.test", SERVER[4]).stdout
    assert gate.wait_record(code="upstream_certificate_name_mismatch")


def test_a_name_that_cannot_be_looked_up(make_transparent, network):
    gate = make_transparent()
    assert BODY not in curl(network, gate, "broken.example.test", SERVER[4]).stdout
    assert gate.wait_record(code="upstream_name_lookup_failed")["suitegate"]["blame"] == "upstream"
    with network.world.without_dns():
        assert BODY not in curl(network, gate, "silent.example.test", SERVER[4]).stdout
    assert gate.wait_record(code="resolver_unavailable")


# ---- what is allowed ------------------------------------------------------------------------

@pytest.mark.parametrize("pattern", [f"*.example.test:{PORT}", "10.99.2.2/32", f"{SERVER[4]}:443"])
def test_a_pattern_for_the_name_or_the_address_is_enough(make_transparent, network, pattern):
    gate = make_transparent(allow_upstreams=pattern)
    assert curl(network, gate, APP, SERVER[4]).stdout == BODY


@pytest.mark.parametrize("pattern", ["*.example.test:8443", "10.99.2.3/32", "other.test"])
def test_all_others_are_denied(make_transparent, network, pattern):
    gate = make_transparent(allow_upstreams=pattern)
    assert BODY not in curl(network, gate, APP, SERVER[4]).stdout
    assert only_refusal(gate, "destination_denied")["destination"]["ip"] == SERVER[4]


def test_a_name_that_nobody_checked_allows_nothing(make_transparent, network):
    gate = make_transparent(policy={"server_name_mismatch": "allow"},
                            allow_upstreams="*.example.test")
    assert BODY not in curl(network, gate, APP, SERVER[4]).stdout
    assert only_refusal(gate, "destination_denied")


def test_special_addresses_are_denied(make_transparent, network):
    gate = make_transparent()
    assert BODY not in by_address(network, gate, "169.254.169.254").stdout
    assert only_refusal(gate, "destination_denied")["destination"]["ip"] == "169.254.169.254"


@pytest.mark.parametrize("how", HOW)
def test_the_listener_itself_is_no_destination(make_transparent, network, how):
    gate = make_transparent(how)
    command(*network.clients, "curl", "-sS", "-k", f"https://{GATE[4]}:{LISTENER}/")
    assert only_refusal(gate, "proxy_loop")["destination"]["ip"] == GATE[4]


# ---- the configuration ----------------------------------------------------------------------

def test_tproxy_needs_a_capability(make_transparent):
    with pytest.raises(StartError, match="tproxy needs CAP_NET_RAW"):
        make_transparent("tproxy", wrapper=["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"])


def test_a_reload_may_change_how(make_transparent, network):
    gate = make_transparent("redirect")
    assert curl(network, gate, APP, SERVER[4]).stdout == BODY
    gate.write_config(gate.config.replace("transparent = redirect", "transparent = tproxy"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    network.firewall(f"flush ruleset\n{rules('tproxy')}")
    assert curl(network, gate, APP, SERVER[4]).stdout == BODY
    assert "proxy_loop" not in str(gate.records())


def test_the_default_is_redirect(tmp_path, ca_folder):
    sections = {"ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
                "listen all": {"type": "transparent", "address": "127.0.0.1:8443"}}
    path = pathlib.Path(tmp_path) / "s.ini"
    path.write_text(ini(sections))
    assert "transparent = redirect" in run("config", "-c", path).stdout
    sections["listen all"]["transparent"] = "magic"
    path.write_text(ini(sections))
    done = run("config", "-c", path)
    assert done.returncode == 1
    assert "transparent: must be redirect or tproxy, not" in done.stderr


def test_a_client_of_a_weak_suite_is_refused(make_transparent, network):
    """The policy is the same as everywhere."""
    gate = make_transparent()
    command(*network.clients, "openssl", "s_client", "-connect", f"{SERVER[4]}:{PORT}", "-tls1_2",
            "-cipher", "kRSA:@SECLEVEL=0", "-servername", APP)
    assert only_refusal(gate, "client_no_approved_suite")["source"]["ip"] == CLIENT[4]


# ---- together with the rest -------------------------------------------------------------------

@pytest.mark.parametrize("name, outcome", [
    (APP, "pass"), (ELSEWHERE, "client_server_name_mismatch"),
    ("nowhere.example.test", "client_server_name_mismatch")])
def test_only_watching(make_transparent, network, name, outcome):
    """The client sees the server's own certificate; what its name leads to is judged all the same."""
    gate = make_transparent(mode="observe")
    for count in range(1, 6):  # a client may be gone before the name's address is known
        done = command(*network.clients, "curl", "-sSk", "--tls-max", "1.2", "--resolve",
                       f"{name}:{PORT}:{SERVER[4]}", "-w", "%{certs}", f"https://{name}/hello.txt")
        assert done.stdout.startswith(BODY)
        assert b"suitegate" not in done.stdout.split(b"Subject:")[0]
        record = gate.wait_record(action="connection-observed", count=count)
        would = record["suitegate"]["would_refuse"]
        if would["outcome"] != "unknown":
            break
    assert would.get("code", would["outcome"]) == outcome
    assert record["destination"] == {"ip": SERVER[4], "port": PORT}
    assert record["suitegate"]["identity"] == name
    gate.settle()
    closed = gate.matching(action="connection-closed")
    assert len(closed) == count and closed[0]["destination"]["bytes"] > len(BODY)


def test_watching_asks_for_the_name_where_it_decides(make_transparent, network):
    """If only the name is allowed, the hello comes first, and the name has to lead there."""
    gate = make_transparent(mode="observe", allow_upstreams=f"*.example.test:{PORT}")
    how = ["curl", "-sSk", "--resolve"]
    for name, passes in ((APP, True), (ELSEWHERE, False)):
        done = command(*network.clients, *how, f"{name}:{PORT}:{SERVER[4]}",
                       f"https://{name}/hello.txt")
        assert (done.stdout == BODY) == passes, done.stderr
    assert gate.wait_record(action="connection-observed")
    assert gate.wait_record(code="client_server_name_mismatch")


def test_a_name_without_an_answer_is_not_the_parents_fault(make_transparent, network):
    gate = make_transparent(parent={"url": "http://127.0.0.1:3128"}, listen_parent="office")
    curl(network, gate, "broken.example.test", SERVER[4])
    assert only_refusal(gate, "upstream_name_lookup_failed")["suitegate"]["blame"] == "upstream"


@pytest.mark.parametrize("name, code", [(APP, None), (ELSEWHERE, "client_server_name_mismatch")])
def test_through_a_parent(make_transparent, network, tmp_path, name, code):
    """The name has to lead to the address here, too; the parent then gets the name."""
    (tmp_path / "tinyproxy.conf").write_text("Port 3128\nListen 127.0.0.1\nTimeout 20\n"
                                             f'LogFile "{tmp_path}/log"\nAllow 127.0.0.1\n')
    argv = [*network.world.enter, "tinyproxy", "-d", "-c", tmp_path / "tinyproxy.conf"]
    with Process(argv, 3128, tmp_path / "out"):
        gate = make_transparent(parent={"url": "http://127.0.0.1:3128"},
                                listen_parent="office")
        done = curl(network, gate, name, SERVER[4])
    if code:
        assert BODY not in done.stdout
        assert only_refusal(gate, code)
    else:
        assert done.stdout == BODY, done.stderr
        opened = gate.wait_record(action="connection-opened")
        assert opened["suitegate"]["parent"] == "office"
        assert opened["destination"]["domain"] == APP
