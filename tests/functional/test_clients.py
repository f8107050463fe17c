"""Real clients through the proxy: what they get, and their records."""

import subprocess

import pytest

import jvm
from client_programs import CLIENTS, GET, REFUSED_OPTIONS, WEAK, command, s_client
from hellos import GROUPS
from verdicts import SUITES, assert_refusal, connection_records, only_refusal

GROUP_NAMES = dict(zip(("X25519", "P-256", "P-384", "P-521"), GROUPS))
CURVES = {"X25519": "x25519", "P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}


def s_client_proxy(gate, target_port, *arguments, stdin=GET):
    return command("openssl", "s_client", "-proxy", f"127.0.0.1:{gate.port}", "-connect",
                   f"localhost:{target_port}", "-servername", "localhost", "-verify_hostname",
                   "localhost", "-CAfile", gate.ca_path, "-x509_strict", "-verify_return_error",
                   "-ign_eof", *arguments, stdin=stdin)


def curl(gate, url, *arguments, ca=None):
    return command("curl", "-sS", "--max-time", 30, "--noproxy", "", "--proxy", gate.url,
                   "--cacert", ca or gate.ca_path, *arguments, url)


@pytest.fixture(scope="session")
def stranger(pki):
    """A CA that has signed no certificate here."""
    return pki.ca("stranger").cert


def truststore(folder, certificate):
    store = folder / "trust.p12"
    done = command("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", certificate,
                   "-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit")
    assert done.returncode == 0, done.stdout
    return store


def java(port, url, store):
    return command(*jvm.argv("Get", port, url, store))


def node(port, authority, ca, protocol="h1", path="/hello.txt"):
    return command("node", CLIENTS / "get.js", port, authority, path, protocol,
                   env={"NODE_EXTRA_CA_CERTS": str(ca)})


# ---- openssl ------------------------------------------------------------------------------

@pytest.mark.parametrize("suite", SUITES.values(), ids=[own for _, own in SUITES.values()])
def test_openssl_with_each_suite_at_a_fixed_listener(fixed, origin, suite):
    iana, own = suite
    done = s_client(fixed.port, fixed.ca_path, "-tls1_2", "-cipher", own)
    assert origin.body in done.stdout, done.stderr
    assert f"Cipher is {own}".encode() in done.stdout
    tls = fixed.wait_record(action="connection-opened")["tls"]
    assert tls["cipher"] == iana
    assert (tls["version"], tls["version_protocol"]) == ("1.2", "tls")
    assert tls["established"] is True


@pytest.mark.parametrize("suite", SUITES.values(), ids=[own for _, own in SUITES.values()])
def test_openssl_with_each_suite_through_the_forward_proxy(forward, origin, suite):
    """The minted leaf has the key type that the suite needs."""
    iana, own = suite
    done = s_client_proxy(forward, origin.port, "-tls1_2", "-cipher", own)
    assert origin.body in done.stdout, done.stderr
    assert b"Verification: OK" in done.stdout
    assert forward.wait_record(action="connection-opened")["tls"]["cipher"] == iana


@pytest.mark.parametrize("group", GROUP_NAMES)
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_openssl_with_each_group(share_fixed, origin, group, key):
    """An ECDSA P-256 certificate needs P-256 among the client's groups (RFC 8422 5.1)."""
    gate = share_fixed(keys=(key,))
    groups = group if key == "rsa" or group == "P-256" else f"{group}:P-256"
    done = s_client(gate.port, gate.ca_path, "-tls1_2", "-groups", groups)
    assert origin.body in done.stdout, done.stderr
    if key == "rsa":
        assert gate.wait_record(action="connection-opened")["tls"]["curve"] == CURVES[group]


def test_openssl_as_it_comes(fixed, origin):
    """TLS 1.3 offered first: the result is TLS 1.2, and the client is not called weak."""
    done = s_client(fixed.port, fixed.ca_path)
    assert origin.body in done.stdout, done.stderr
    assert b"New, TLSv1.2" in done.stdout
    assert b"Extended master secret: yes" in done.stdout
    assert b"Compression: NONE" in done.stdout
    assert b"Secure Renegotiation IS supported" in done.stdout


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_openssl_refused_at_a_fixed_listener(fixed, name):
    arguments, code, alert = REFUSED_OPTIONS[name]
    done = s_client(fixed.port, fixed.ca_path, *arguments)
    assert done.returncode != 0
    assert f"SSL alert number {alert}".encode() in done.stderr, done.stderr
    only_refusal(fixed, code)


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_openssl_refused_through_the_forward_proxy(forward, origin, name):
    arguments, code, alert = REFUSED_OPTIONS[name]
    done = s_client_proxy(forward, origin.port, *arguments)
    assert done.returncode != 0
    assert f"SSL alert number {alert}".encode() in done.stderr, done.stderr
    only_refusal(forward, code)


def test_a_session_is_resumed_by_its_ticket(fixed, origin):
    """-reconnect comes back five times with the session that it got."""
    done = s_client(fixed.port, fixed.ca_path, "-tls1_2", "-reconnect")
    assert origin.body in done.stdout, done.stderr
    assert done.stdout.count(b"New, TLSv1.2") == 1
    assert done.stdout.count(b"Reused, TLSv1.2") == 5
    fixed.wait_record(action="connection-opened", count=6)
    assert sum(r["tls"]["resumed"] for r in fixed.matching(action="connection-opened")) == 5


def test_no_session_is_resumed_by_its_id(fixed, origin, tmp_path):
    """There is no session cache: a client without a ticket gets a full handshake."""
    session = tmp_path / "session.pem"
    done = s_client(fixed.port, fixed.ca_path, "-tls1_2", "-no_ticket", "-reconnect", "-sess_out",
                    session)
    assert origin.body in done.stdout, done.stderr
    assert done.stdout.count(b"New, TLSv1.2") == 6
    assert b"Reused" not in done.stdout
    assert not session.exists()
    fixed.wait_record(action="connection-opened", count=6)
    assert not any(r["tls"]["resumed"] for r in fixed.matching(action="connection-opened"))


# ---- gnutls ---------------------------------------------------------------------------------

def gnutls(port, ca, priority):
    return command("gnutls-cli", "--x509cafile", ca, "--port", port, "--sni-hostname", "localhost",
                   "--verify-hostname", "localhost", "--priority", priority, "127.0.0.1",
                   stdin=GET)


@pytest.mark.parametrize("priority", [
    "NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
    "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM",
    "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION",
], ids=["default", "tls12", "aes256", "no_renegotiation_info"])
def test_gnutls_cli(fixed, origin, priority):
    done = gnutls(fixed.port, fixed.ca_path, priority)
    assert origin.body in done.stdout, done.stdout + done.stderr
    fixed.wait_record(action="connection-opened")


@pytest.mark.parametrize("priority, code", [
    ("NORMAL:-VERS-ALL:+VERS-TLS1.1", "client_protocol_too_old"),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.0", "client_protocol_too_old"),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "client_tls13_only"),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", "client_no_approved_suite"),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA", "client_no_approved_suite"),
], ids=["tls11", "tls10", "tls13", "static_rsa", "dhe"])
def test_gnutls_cli_refused(fixed, priority, code):
    done = gnutls(fixed.port, fixed.ca_path, priority)
    assert done.returncode != 0
    only_refusal(fixed, code)


# ---- curl -----------------------------------------------------------------------------------

def test_curl_gets_the_real_content(forward, origin):
    done = curl(forward, f"https://localhost:{origin.port}/blob")
    assert done.returncode == 0, done.stderr
    assert done.stdout == origin.blob
    closed = forward.wait_record(action="connection-closed")
    opened = forward.matching(action="connection-opened")[0]
    assert opened["destination"]["domain"] == "localhost"
    assert opened["destination"]["port"] == origin.port
    assert opened["suitegate"]["identity"] == "localhost"
    assert opened["suitegate"]["upstream"]["tls"]["version"] == "1.2"
    assert opened["suitegate"]["upstream"]["tls"]["cipher"] in [i for i, _ in SUITES.values()]
    assert closed["destination"]["bytes"] > len(origin.blob)
    assert len(connection_records(forward)) == 2


def test_curl_over_http2(forward, origin):
    done = curl(forward, f"https://localhost:{origin.port}/blob", "--http2", "-w",
                "%{stderr}%{http_version}")
    assert done.stdout == origin.blob, done.stderr
    assert done.stderr == b"2"
    opened = forward.wait_record(action="connection-opened")
    assert opened["tls"]["next_protocol"] == "h2"
    assert opened["suitegate"]["upstream"]["tls"]["next_protocol"] == "h2"


def test_curl_over_http11(forward, origin):
    done = curl(forward, f"https://localhost:{origin.port}/hello.txt", "--http1.1", "-w",
                "%{stderr}%{http_version}")
    assert done.stdout == origin.body, done.stderr
    assert done.stderr == b"1.1"
    assert forward.wait_record(action="connection-opened")["tls"]["next_protocol"] == "http/1.1"


def test_curl_offering_only_cbc_is_not_given_h2(forward, origin):
    """RFC 9113 section 9.2.2: h2 needs one of the GCM suites."""
    done = curl(forward, f"https://localhost:{origin.port}/hello.txt", "--http2", "--tls-max",
                "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256", "-w",
                "%{stderr}%{http_version}")
    assert done.stdout == origin.body, done.stderr
    assert done.stderr == b"1.1"


@pytest.mark.parametrize("host, ip", [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")])
def test_curl_to_an_address(forward, origin, host, ip):
    """No server name: the leaf has the address."""
    done = curl(forward, f"https://{host}:{origin.port}/hello.txt")
    assert done.stdout == origin.body, done.stderr
    opened = forward.wait_record(action="connection-opened")
    assert opened["destination"]["ip"] == ip
    assert opened["suitegate"]["identity"] == ip


def test_curl_on_an_ipv6_listener(share_forward, origin):
    gate = share_forward(address="::1")
    done = curl(gate, f"https://localhost:{origin.port}/hello.txt")
    assert done.stdout == origin.body, done.stderr
    assert gate.wait_record(action="connection-opened")["source"]["ip"] == "::1"


def test_curl_that_does_not_trust_the_ca(forward, origin, stranger):
    done = curl(forward, f"https://localhost:{origin.port}/", ca=stranger)
    assert done.returncode == 60, done.stderr
    forward.wait_record(code="client_rejected_certificate")
    record = only_refusal(forward, "client_rejected_certificate")
    assert record["suitegate"]["alert"]["received"] == 48


def test_curl_limited_to_tls11(forward, origin):
    done = curl(forward, f"https://localhost:{origin.port}/", "--tlsv1.0", "--tls-max", "1.1",
                "--ciphers", WEAK)
    assert done.returncode == 35, done.stderr
    only_refusal(forward, "client_protocol_too_old")


def test_curl_asking_for_plain_http(forward, origin):
    done = command("curl", "-sS", "-i", "--noproxy", "", "--proxy", forward.url,
                   f"http://localhost:{origin.port}/")
    assert done.stdout.startswith(b"HTTP/1.1 403 "), done.stdout
    assert b"client_plaintext_http" in done.stdout
    only_refusal(forward, "client_plaintext_http")


# ---- Java -----------------------------------------------------------------------------------

def test_java_shows_the_code_of_a_refusal(forward, tmp_path):
    """From the answer to its CONNECT it shows only the status line."""
    done = java(forward.port, "https://localhost:1/", truststore(tmp_path, forward.ca_path))
    assert b"502 Bad Gateway (upstream_unreachable)" in done.stderr, done.stderr
    only_refusal(forward, "upstream_unreachable")


@pytest.mark.once
def test_java_through_the_forward_proxy(forward, origin, tmp_path):
    store = truststore(tmp_path, forward.ca_path)
    done = java(forward.port, f"https://localhost:{origin.port}/blob", store)
    assert done.stdout == origin.blob, done.stderr
    assert forward.wait_record(action="connection-opened")["tls"]["cipher"] == \
        done.stderr.decode().split()[-1]


@pytest.mark.once
def test_java_that_does_not_trust_the_ca(forward, origin, tmp_path, stranger):
    store = truststore(tmp_path, stranger)
    done = java(forward.port, f"https://localhost:{origin.port}/blob", store)
    assert done.returncode == 3, done.stderr
    forward.wait_record(code="client_rejected_certificate")
    record = only_refusal(forward, "client_rejected_certificate")
    assert record["suitegate"]["alert"]["received"] == 46


# ---- Node -----------------------------------------------------------------------------------

def node_refuses_every_ipv6():
    """As Debian 13's Node does, whatever the certificate says."""
    asked = ("process.exitCode = require('tls').checkServerIdentity('::1', { subject: { CN: 'x' }, "
             "subjectaltname: 'IP Address:0:0:0:0:0:0:0:1' }) ? 1 : 0")
    return subprocess.run(["node", "-e", asked], check=False).returncode == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_node_through_the_forward_proxy(forward, origin, host):
    if host == "[::1]" and node_refuses_every_ipv6():
        pytest.skip("this machine's Node takes no certificate for an IPv6 address")
    done = node(forward.port, f"{host}:{origin.port}", forward.ca_path)
    assert done.stdout == origin.body, done.stderr
    assert forward.wait_record(action="connection-opened")["tls"]["cipher"] == \
        done.stderr.decode().split()[0]


def test_node_over_http2(forward, origin):
    done = node(forward.port, f"localhost:{origin.port}", forward.ca_path, "h2", "/blob")
    assert done.stdout == origin.blob, done.stderr
    assert done.stderr.decode().split()[1] == "h2"
    assert forward.wait_record(action="connection-opened")["tls"]["next_protocol"] == "h2"


def test_node_that_does_not_trust_the_ca(forward, origin, stranger):
    """Node completes the handshake before it verifies, and then leaves without an alert."""
    done = node(forward.port, f"localhost:{origin.port}", stranger)
    assert done.returncode == 3
    assert b"UNABLE_TO_" in done.stderr or b"SELF_SIGNED" in done.stderr, done.stderr
    forward.wait_record(lambda r: r["event"]["action"] in ("connection-closed",
                                                           "connection-refused"))


# ---- a client that retries with less --------------------------------------------------------

@pytest.fixture
def alone(make_fixed):
    """For this test only: earlier attempts of other tests would count."""
    return make_fixed()


def retry_records(gate):
    return gate.matching(code="client_fallback_retry")


def test_retry_with_a_lower_version_is_recorded(alone, stranger):
    s_client(alone.port, stranger, "-tls1_2", "-cipher", WEAK)
    alone.wait_record(code="client_rejected_certificate")
    s_client(alone.port, stranger, "-tls1_1", "-cipher", WEAK)
    alone.wait_record(code="client_protocol_too_old")
    record = alone.wait_record(code="client_fallback_retry")
    assert record["event"]["action"] == "client-fallback-retry"
    assert record["suitegate"]["downgrade"] == "possible"
    assert record["suitegate"]["identity"] == "localhost"
    before = record["suitegate"]["client"]["previous_offer"]
    now = record["suitegate"]["client"]["offer"]
    assert before != now
    assert "1.2" in str(before) and "1.1" in str(now)
    assert len(retry_records(alone)) == 1


def test_retry_with_fewer_suites_is_recorded_and_let_in(alone, stranger, origin):
    s_client(alone.port, stranger, "-tls1_2")
    alone.wait_record(code="client_rejected_certificate")
    done = s_client(alone.port, alone.ca_path, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256")
    assert origin.body in done.stdout
    alone.wait_record(code="client_fallback_retry")
    alone.wait_record(action="connection-opened")


def test_same_offer_again_is_no_fallback(alone, stranger):
    for count in (1, 2):
        s_client(alone.port, stranger, "-tls1_2")
        alone.wait_record(code="client_rejected_certificate", count=count)
    alone.settle()
    assert retry_records(alone) == []


def test_less_after_success_is_no_fallback(alone, origin):
    done = s_client(alone.port, alone.ca_path, "-tls1_2")
    assert origin.body in done.stdout
    done = s_client(alone.port, alone.ca_path, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256")
    assert origin.body in done.stdout
    alone.settle()
    assert retry_records(alone) == []


def test_refused_weak_client_that_comes_back_better_is_no_fallback(alone, origin):
    s_client(alone.port, alone.ca_path, "-tls1_1", "-cipher", WEAK)
    assert_refusal(alone.wait_record(code="client_protocol_too_old"), "client_protocol_too_old")
    assert origin.body in s_client(alone.port, alone.ca_path, "-tls1_2").stdout
    alone.settle()
    assert retry_records(alone) == []
