"""The clients that a test listener refuses, and /recent, where the operator sees them."""

import json
import re

import pytest

import hellos
from client_programs import CLIENTS, REFUSED_OPTIONS, command, s_client
from hellos import ECDSA_SUITES, REFUSED_HELLOS, RSA_SUITES, TLS11, hello
from names import World
from probe import (addresses, connect, data, make_probe, page, probe, recent_of,  # noqa: F401
                   request, share_probe, starter)
from scene import wait_until
from verdicts import VERDICTS, assert_refusal

RECENT = 100


# ---- refused clients -------------------------------------------------------------------------

def assert_on_recent(gate, record):
    """On the page as in the operator's browser, and as data."""
    code = record["event"]["code"]
    said = recent_of(gate, record)
    assert (said["passed"], said["code"]) == (False, code)
    assert said["sentence"] == record["event"]["reason"]
    assert said["remedy"].endswith(".")
    assert (said["ip"], said["port"]) == (record["source"]["ip"], record["source"]["port"])
    assert said["listener"] == record["suitegate"]["listener"] == "probe"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    shown = page(gate, "/recent")
    row, = [r for r in shown.rows if record["suitegate"]["connection_id"] in r[2]]
    assert row[1] == f"{code}{said['sentence']}.{said['remedy']}"
    assert f"{said['ip']}:{said['port']}" in row[0] and row[2].startswith(said.get("offered", "-"))
    return said


@pytest.mark.parametrize("name", REFUSED_HELLOS)
def test_a_refused_hello_is_in_the_log_and_on_recent(probe, name):
    code, raw = REFUSED_HELLOS[name]
    alert = VERDICTS[code].alert
    assert hellos.ask(probe.port, raw).raw == hellos.alert_bytes(alert)
    record = probe.wait_record(code=code)
    assert_refusal(record, code)
    assert record["destination"]["port"] == probe.port
    said = assert_on_recent(probe, record)
    # All that could be parsed is in both.
    assert ("offered" in said) == ("hello_version" in record["suitegate"].get("client", {}))
    if "offered" in said:
        assert re.match(r"up to (SSL|TLS|0x)\S* ?\S*, \d of the policy's suites", said["offered"])


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_openssl_refused(probe, name):
    """-tls1_2 alone is not enough; the browser shows what is missing."""
    arguments, code, alert = REFUSED_OPTIONS[name]
    done = s_client(probe.port, probe.ca_path, *arguments, stdin=request())
    assert f"SSL alert number {alert}".encode() in done.stderr, done.stderr
    assert_on_recent(probe, probe.wait_record(code=code))


@pytest.mark.parametrize("sends", ["client_certificate_invalid", "client_revocation_unknown"])
def test_a_refused_certificate_is_on_recent(make_probe, pki, sends):
    """Others, who send none, see it: the listener does not require one."""
    stale = sends == "client_revocation_unknown"
    leaf = pki.leaf("recent-client", san=(), eku="clientAuth") if stale else pki.ec
    gate = make_probe(listen={
        "client_certificate": "optional", "client_ca": pki.trust,
        "client_crl": pki.crl("recent-stale", last=-7200, following=-3600) if stale else None})
    done = s_client(gate.port, gate.ca_path, "-cert", leaf.cert, "-cert_chain", leaf.chain, "-key",
                    leaf.key, stdin=request())
    assert b"SSL alert number 42" in done.stderr
    assert_on_recent(gate, gate.wait_record(code=sends))


def test_what_was_offered_instead_is_named(probe):
    hellos.ask(probe.port, hello(suites=(0x009C, 0x002F, 0xFEDC)))
    said = recent_of(probe, probe.wait_record(code="client_no_approved_suite"))
    assert said["offered"] == ("up to TLS 1.2, 0 of the policy's suites: "
                               "TLS_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA, "
                               "0xfedc")


@pytest.mark.parametrize("parts, name", [
    ({"groups": (0x001E,)}, "x448"), ({"schemes": (0x0201,)}, "rsa_pkcs1_sha1"),
    ({"compression": b"\1"}, "DEFLATE")], ids=["groups", "schemes", "compression"])
def test_what_the_verdict_is_about_is_named(probe, parts, name):
    hellos.ask(probe.port, hello(**parts))
    record = probe.wait_record(action="connection-refused")
    assert name in recent_of(probe, record)["offered"]


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f"],
                         ids=["ssh", "postgres"])
def test_what_is_not_tls_is_on_recent(probe, raw):
    assert hellos.ask(probe.port, raw).raw == b""
    said = assert_on_recent(probe, probe.wait_record(code="client_not_tls"))
    assert "offered" not in said


def test_a_handshake_that_is_given_up_is_on_recent(probe):
    with hellos.connect(probe.port) as sock:
        sock.sendall(hello())
        while hellos.server_messages(sock.recv(65536))[-1:] != [14]:
            pass
    said = assert_on_recent(probe, probe.wait_record(code="client_handshake_failed"))
    assert "right after the certificate" in said["detail"]
    assert said["offered"] == "up to TLS 1.2, 8 of the policy's suites"


def test_a_hello_larger_than_allowed_is_on_recent(share_probe):
    gate = share_probe(proxy={"hello_max_size": "2KiB"})
    hellos.ask(gate.port, hello(extra=hellos.extension(21, bytes(4000))))
    assert_on_recent(gate, gate.wait_record(code="client_hello_too_large"))


@pytest.mark.parametrize("have, offered", [("rsa", ECDSA_SUITES), ("ec", RSA_SUITES)])
def test_no_usable_certificate_is_on_recent(share_probe, have, offered):
    gate = share_probe(keys=(have,))
    hellos.ask(gate.port, hello(suites=offered))
    assert_on_recent(gate, gate.wait_record(code="client_no_usable_certificate"))


def renegotiate(gate):
    """R is a command to openssl s_client, unless it ignores the end of its input."""
    return command("openssl", "s_client", "-connect", f"127.0.0.1:{gate.port}", "-tls1_2",
                   stdin=b"R\n")


def test_renegotiation_is_recorded(probe):
    assert b"SSL alert number 10" in renegotiate(probe).stderr
    closed = probe.wait_record(action="connection-closed")
    assert closed["event"]["code"] == "client_renegotiation"
    assert closed["suitegate"]["closed_by"] == "client"


def test_the_alert_to_who_renegotiates_is_recorded(probe):
    renegotiate(probe)
    closed = probe.wait_record(action="connection-closed")
    assert closed["suitegate"]["alert"]["sent"] == 10


def test_who_is_over_the_limit_is_on_recent(make_probe):
    gate = make_probe(proxy={"max_connections": 2})
    held = [connect(gate) for _ in range(2)]
    assert hellos.ask(gate.port, hello()).raw == b""
    record = gate.wait_record(code="limit_reached")
    for tls in held:
        tls.close()
    wait_until(lambda: recent_of(gate, record)["code"] == "limit_reached", what="a place")


def test_a_fallback_retry_is_in_the_log(make_probe):
    gate = make_probe()
    hellos.ask(gate.port, hello(suites=(0x002F,)))
    hellos.ask(gate.port, hello(suites=(0x002F,), version=TLS11))
    gate.wait_record(action="client-fallback-retry")
    assert [e.get("code") for e in data(gate, "/recent")["attempts"]] == [
        "client_protocol_too_old", "client_no_approved_suite"]


# ---- /recent ---------------------------------------------------------------------------------

def test_looking_is_no_attempt(make_probe):
    gate = make_probe()
    assert "None yet" in page(gate, "/recent").text
    data(gate, "/json")
    shown = page(gate, "/recent")
    assert len(shown.rows) == 2 and shown.rows[1][1].startswith("passed")


def test_the_latest_hundred_newest_first(make_probe):
    gate = make_probe(proxy={"workers": 2})
    for _ in range(RECENT + 10):
        hellos.ask(gate.port, hello(version=TLS11))
    gate.wait_record(code="client_protocol_too_old", count=RECENT + 10)
    attempts = data(gate, "/recent")["attempts"]
    assert len(attempts) == RECENT and not any(a["passed"] for a in attempts)
    times = [a["time"] for a in attempts]
    assert times == sorted(times, reverse=True)
    assert len(page(gate, "/recent").rows) == 1 + RECENT


def test_looking_does_not_push_out_who_was_refused(make_probe):
    gate = make_probe()
    hellos.ask(gate.port, hello(version=TLS11))
    for _ in range(RECENT):
        shown = data(gate, "/recent")
    assert "client_protocol_too_old" in [a.get("code") for a in shown["attempts"]]


def test_recent_is_of_test_listeners_only(make_probe):
    gate = make_probe(**{"listen other": {"type": "forward", "address": "127.0.0.1:0"}})
    assert hellos.ask(addresses(gate)["other"][1], request("/")).status == 403
    gate.wait_record(code="client_plaintext_http")
    assert data(gate, "/recent")["attempts"] == []


def test_who_only_connects_is_no_attempt(make_probe):
    gate = make_probe()
    for _ in range(3):
        hellos.connect(gate.port).close()
    assert data(gate, "/recent")["attempts"] == []


# Inside the World: one line each for /json and /recent, for a client outside loopback.
ELSEWHERE = """
import sys; sys.path.insert(0, {here!r})
import json, ssl, types, probe
gate = types.SimpleNamespace(port=int(sys.argv[1]), ca_path=sys.argv[2])
for path in "/json", "/recent":
    try:
        answer = probe.get(gate, path, host="192.0.2.1", name="192.0.2.1")
        print(json.dumps([answer.status, json.loads(answer.body)]))
    except (ssl.SSLError, EOFError, OSError) as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def elsewhere(world, gate):
    done = command(*world.enter, "/usr/bin/python3", "-B", "-c",
                   ELSEWHERE.format(here=str(CLIENTS.parent)), gate.port, gate.ca_path)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def here(world, gate, path):
    code = ELSEWHERE.replace("192.0.2.1", "127.0.0.1").replace('"/json", "/recent"', f'"{path}",')
    done = command(*world.enter, "/usr/bin/python3", "-B", "-c",
                   code.format(here=str(CLIENTS.parent)), gate.port, gate.ca_path)
    return json.loads(done.stdout)


@pytest.fixture
def world(tmp_path):
    """A network with an address outside loopback."""
    with World(tmp_path, {}) as world:
        assert command(*world.enter, "ip", "addr", "add", "192.0.2.1/32", "dev",
                       "lo").returncode == 0
        yield world


def test_recent_is_for_this_machine_only(make_probe, world):
    """A client from elsewhere is served, but cannot see the others."""
    gate = make_probe(address="0.0.0.0:0", listen={
        "allow_clients": ["192.0.2.0/24", "127.0.0.0/8"]}, options={"wrapper": world.enter})
    (status, said), (denied, why) = elsewhere(world, gate)
    assert (status, said["verdict"], said["source"]["ip"]) == (200, "passed", "192.0.2.1")
    assert denied == 403 and "attempts" not in why
    status, recent = here(world, gate, "/recent")
    assert status == 200
    assert [a["ip"] for a in recent["attempts"]] == ["192.0.2.1"]


def test_who_may_not_connect_is_on_recent(make_probe, world):
    gate = make_probe(address="0.0.0.0:0", listen={"allow_clients": ["127.0.0.0/8"]},
                      options={"wrapper": world.enter})
    assert [type(answer[0]) for answer in elsewhere(world, gate)] == [str, str]
    assert_refusal(gate.wait_record(code="client_denied", count=2), "client_denied")
    _, recent = here(world, gate, "/recent")
    assert [a.get("code") for a in recent["attempts"]] == ["client_denied", "client_denied"]


# ---- nothing left out ------------------------------------------------------------------------

ELSEWHERE_TESTED = {"client_hello_timeout", "client_plaintext_http", "client_rejected_certificate",
                    "client_handshake_failed", "client_not_tls", "client_denied",
                    "client_no_usable_certificate", "client_fallback_retry",
                    "client_protocol_violation", "client_certificate_required",
                    "client_certificate_invalid", "client_revocation_unknown"}
NOT_HERE = {"client_bad_request", "client_no_server_name", "client_server_name_mismatch",
            "client_bad_proxy_header", "client_login_failed", "destination_denied", "proxy_loop"}


def test_every_kind_of_refused_client_is_tested_here():
    codes = {code for code, verdict in VERDICTS.items() if verdict.leg == "client"}
    assert codes == {code for code, _ in REFUSED_HELLOS.values()} | ELSEWHERE_TESTED | NOT_HERE
