"""An sni listener connects each client to the host that its hello names, and to nothing else."""

import socket

import pytest

import hellos
from client_programs import command
from gate import free_port, ini, run
from hellos import alert_bytes, extension, hello, vector
from names import ELSEWHERE, NameServer, World, with_hosts
from verdicts import VERDICTS, only_refusal

APP = "app.example.test"  # a name of the origin's certificate
ZONE = {APP: {"A": ["127.0.0.1"]}, "other.example.test": {"A": ["127.0.0.1"]},
        "elsewhere.test": {"A": ["127.0.0.1"]}, "broken.test": "SERVFAIL",
        "silent.test": "SILENT", "metadata.test": {"A": ["169.254.169.254"]}}


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with NameServer(tmp_path_factory.mktemp("dns"), ZONE, free_port("127.0.0.53")) as server:
        yield server


@pytest.fixture
def make_sni(make_gate, pki, ca_folder, origin, dns):
    """make_sni(upstream_port=.., upstream={..}, options={..}, **listen options) -> Gate"""
    def make(*, upstream=None, proxy=None, options=None, **listen):
        port = free_port()
        gate = make_gate(ini({
            "proxy": proxy or {},
            "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, "resolver": dns.address, **(upstream or {})},
            "audit": {"file": "audit.jsonl"},
            "listen names": {"type": "sni", "address": f"127.0.0.1:{port}",
                             "allow_upstreams": ["*.example.test", "*.test"],
                             "upstream_port": origin.port, **listen},
        }), **(options or {}))
        gate.port, gate.ca_path = port, ca_folder / "ca.pem"
        return gate

    return make


def curl(gate, name):
    return command("curl", "-sS", "--resolve", f"{name}:{gate.port}:127.0.0.1", "--cacert",
                   gate.ca_path, f"https://{name}:{gate.port}/hello.txt")


def refused(gate, data, code):
    """The record of the refusal, whose alert has come."""
    with hellos.connect(gate.port) as sock:
        sock.sendall(data)
        answer = hellos.read_all(sock)
    alert = VERDICTS[code].alert
    assert answer == (b"" if alert is None else alert_bytes(alert))
    return only_refusal(gate, code)


# ---- who gets through -----------------------------------------------------------------------

CLIENTS = {
    "curl": lambda gate: curl(gate, APP),
    "openssl": lambda gate: command(
        "openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{gate.port}", "-servername", APP,
        "-CAfile", gate.ca_path, "-verify_return_error", "-verify_hostname", APP,
        stdin=f"GET /hello.txt HTTP/1.1\r\nHost: {APP}\r\nConnection: close\r\n\r\n".encode()),
    "gnutls": lambda gate: command(
        "gnutls-cli", "--x509cafile", gate.ca_path, "--sni-hostname", APP, "--verify-hostname", APP,
        "-p", gate.port, "127.0.0.1",
        stdin=f"GET /hello.txt HTTP/1.1\r\nHost: {APP}\r\nConnection: close\r\n\r\n".encode()),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_to_the_host_that_it_names(make_sni, origin, client):
    gate = make_sni()
    assert origin.body in CLIENTS[client](gate).stdout
    opened = gate.wait_record(action="connection-opened")
    assert opened["destination"]["domain"] == APP
    assert opened["destination"]["port"] == origin.port
    assert opened["suitegate"]["identity"] == APP
    assert opened["tls"]["client"]["server_name"] == APP


def test_each_name_has_its_own_certificate_and_upstream(make_sni, pki, origin):
    gate = make_sni()
    for name in (APP, "other.example.test", APP):
        assert curl(gate, name).stdout == origin.body
    # This upstream has no certificate for that name.
    failed = curl(gate, "elsewhere.test")
    record = gate.wait_record(code="upstream_certificate_name_mismatch")
    assert record["destination"]["domain"] == "elsewhere.test"
    assert b"upstream_certificate_name_mismatch" in failed.stdout


def test_the_port_is_the_listeners_own_by_default(make_sni, origin):
    gate = make_sni(upstream_port=None, address=f"127.0.0.2:{origin.port}")
    done = command("curl", "-sS", "--resolve", f"{APP}:{origin.port}:127.0.0.2", "--cacert",
                   gate.ca_path, f"https://{APP}:{origin.port}/hello.txt")
    assert done.stdout == origin.body, done.stderr
    assert f"upstream_port = {origin.port}" in run("config", "-c", gate.config_path).stdout


# ---- who does not ---------------------------------------------------------------------------

NAMELESS = {
    "no extension": hello(name=None),
    "an address": hello(name="127.0.0.1"),
    "an IPv6 address": hello(name="::1"),
    "a space": hello(name="app example.test"),
    "a slash": hello(name="app.example.test/x"),
    "a NUL": hello(name="app.example.test\0.evil.test"),
    "an empty list": hello(name=None, extra=extension(0, vector(2, b""))),
}


@pytest.mark.parametrize("how", NAMELESS)
def test_without_a_name_there_is_no_upstream(make_sni, how):
    gate = make_sni()
    with hellos.connect(gate.port) as sock:
        sock.sendall(NAMELESS[how])
        answer = hellos.read_all(sock)
    gate.settle()
    records = gate.matching(action="connection-refused")
    assert len(records) == 1
    code = records[0]["event"]["code"]
    # What RFC 6066 forbids outright is malformed.
    assert code in ("client_no_server_name", "client_malformed_hello"), code
    assert answer == alert_bytes(VERDICTS[code].alert)
    assert "destination" not in records[0] or "domain" not in records[0]["destination"]
    if how in ("no extension", "an address"):
        assert code == "client_no_server_name"


def test_a_dot_at_the_end_of_the_name_does_not_count(make_sni, origin):
    gate = make_sni(allow_upstreams=f"{APP}:{origin.port}")
    with hellos.connect(gate.port) as sock:
        sock.sendall(hello(name=f"{APP}."))
        assert sock.recv(3) == b"\x16\3\3"


def test_a_weak_hello_is_refused_as_everywhere_and_names_its_host(make_sni):
    gate = make_sni()
    record = refused(gate, hello(name=APP, suites=(0x002F,)), "client_no_approved_suite")
    assert record["destination"]["domain"] == APP


def test_what_is_not_allowed_is_denied(make_sni, origin):
    gate = make_sni(allow_upstreams=[f"{APP}:{origin.port}", "*.else.test"])
    assert curl(gate, APP).stdout == origin.body
    done = curl(gate, "other.example.test")
    record = gate.wait_record(code="destination_denied")
    assert record["destination"]["domain"] == "other.example.test"
    assert b"destination_denied" in done.stdout
    gate.settle()
    assert not gate.matching(lambda r: r["destination"].get("ip"), code="destination_denied")


@pytest.mark.parametrize("name, code", [("missing.test", "upstream_name_not_found"),
                                        ("broken.test", "upstream_name_lookup_failed")])
def test_a_name_that_leads_nowhere(make_sni, name, code):
    gate = make_sni()
    assert code.encode() in curl(gate, name).stdout
    assert only_refusal(gate, code)["destination"]["domain"] == name


def test_a_name_that_leads_back_is_a_loop(make_sni):
    gate = make_sni(upstream_port=None)
    assert b"proxy_loop" in curl(gate, APP).stdout
    only_refusal(gate, "proxy_loop")


def test_a_client_of_another_machine_does_not_reach_this_one(make_sni, tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()
    with World(folder, ZONE) as world:
        gate = make_sni(upstream={"resolver": "127.0.0.53"}, options={"wrapper": world.enter},
                        allow_clients=["127.0.0.0/8", "10.0.0.0/8"])
        for name in (APP, "metadata.test"):
            world.ask(gate.port, hello(name=name, alpn=["h2"]), ELSEWHERE)
        gate.settle()
        denied = gate.matching(code="destination_denied")
        assert [r["destination"]["domain"] for r in denied] == [APP, "metadata.test"]


# ---- the resolver of its own ----------------------------------------------------------------

def test_the_resolver_is_asked_and_not_the_hosts_file(make_sni, tmp_path, origin):
    """The hosts file leads the name to the gate itself, as an administrator's override does."""
    gate = make_sni(options={"wrapper": with_hosts(tmp_path, [("127.0.0.99", APP)])})
    assert curl(gate, APP).stdout == origin.body
    gate.write_config(gate.config.replace("resolver = ", ";resolver = "))
    gate.reload()
    curl(gate, APP)
    gate.wait_record(code="upstream_unreachable")


def test_the_next_resolver_is_asked_if_one_is_silent(make_sni, dns, origin):
    gate = make_sni(upstream={"resolver": [f"127.0.0.1:{free_port()}", dns.address]})
    assert curl(gate, APP).stdout == origin.body


def test_a_resolver_that_is_down_is_no_fault_of_the_client(make_sni):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gate = make_sni(proxy={"connect_timeout": "2s"},
                        upstream={"resolver": f"127.0.0.1:{silent.getsockname()[1]}"})
        assert b"resolver_unavailable" in curl(gate, APP).stdout
    assert only_refusal(gate, "resolver_unavailable")["suitegate"]["blame"] == "operator"


def test_a_forward_listener_asks_it_too(make_forward, dns, origin):
    gate = make_forward(upstream={"resolver": dns.address})
    done = command("curl", "-sS", "--proxy", gate.url, "--cacert", gate.ca_path,
                   f"https://{APP}:{origin.port}/hello.txt")
    assert done.stdout == origin.body, done.stderr


# ---- the configuration ----------------------------------------------------------------------

WRONG = [
    ({"allow_upstreams": None}, {}, "an sni listener needs allow_upstreams"),
    ({"address": "127.0.0.1:0", "upstream_port": None}, {}, "needs upstream_port"),
    ({"upstream_port": "0"}, {}, "upstream_port: must be 1 to 65535"),
    ({"upstream_port": "65536"}, {}, "upstream_port: must be 1 to 65535"),
    ({"upstream": "localhost:443"}, {}, "upstream"),
    ({}, {"resolver": "ns.example.test"}, "resolver: must be the IP address of a name server"),
    ({}, {"resolver": "192.0.2.1:0"}, "resolver: must be"),
    ({}, {"resolver": "0.0.0.0"}, "resolver: must be"),
]


@pytest.mark.parametrize("listen, upstream, words", WRONG)
def test_a_wrong_configuration_says_what_is_wrong(tmp_path, ca_folder, listen, upstream, words):
    (tmp_path / "s.ini").write_text(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": upstream,
        "listen names": {"type": "sni", "address": "127.0.0.1:8443",
                         "allow_upstreams": "*.example.test", "upstream_port": 443, **listen}}))
    done = run("config", "-c", tmp_path / "s.ini")
    assert done.returncode == 1
    assert words in done.stderr


def test_the_effective_configuration_reads_back(tmp_path, ca_folder):
    (tmp_path / "s.ini").write_text(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": {"resolver": ["192.0.2.53", "[2001:db8::53]:5353", "2001:db8::54"]},
        "listen names": {"type": "sni", "address": "127.0.0.1:8443",
                         "allow_upstreams": "*.example.test"}}))
    first = run("config", "-c", tmp_path / "s.ini").stdout
    for line in ("resolver = 192.0.2.53:53", "resolver = [2001:db8::53]:5353",
                 "resolver = [2001:db8::54]:53", "upstream_port = 8443"):
        assert line in first.splitlines()
    (tmp_path / "again.ini").write_text(first)
    assert run("config", "-c", tmp_path / "again.ini").stdout == first
