"""`suitegate check` and independent judges agree about real servers.

The judge is judged.enumerate_suites: one ClientHello for each version and each of 350 suites. nmap
and testssl.sh (SUITEGATE_TESTSSL=1: takes minutes) must agree with it, except for the differences
listed below with their reason. A test shows each of them.
"""

import functools
import json
import os
import pathlib
import re
import types

import pytest

import gate
import judged
import wire
from judged import NUMBERS, VERSIONS, hello
from pki import openssl

# Under sanitizers, test_check*.py and fuzz_reply run the same code.
pytestmark = pytest.mark.once

# The versions that each server was configured for; 3.0 is SSL.
CONFIGURED = {
    "java everything": "3.0 1.0 1.1 1.2 1.3",
    "java tls12": "1.2",
    "java sslv2hello": "3.0",
    "java usual": "1.2 1.3",
    "openssl everything": "1.0 1.1 1.2 1.3",
    "openssl rsa dsa": "1.0 1.1 1.2",  # -sigalgs without PSS excludes TLS 1.3
    "openssl tls1": "1.0",
    "openssl tls1_1": "1.1",
    "openssl tls1_2": "1.2",
    "openssl tls1_3": "1.3",
    "openssl default": "1.2 1.3",
    "openssl eight": "1.2",
    "openssl ec": "1.2",
    "openssl rsa": "1.0 1.2 1.3",  # with a hole: -no_tls1_1
    "openssl eddsa": "1.2 1.3",
    "openssl anon": "1.0 1.1 1.2",
    "openssl psk": "1.0 1.1 1.2 1.3",
    "gnutls normal": "1.0 1.1 1.2 1.3",
    "gnutls everything": "1.0 1.1 1.2",
    "gnutls no etm": "1.0 1.1 1.2 1.3",
    "gnutls gost": "1.0 1.1 1.2 1.3",
    "gnutls unsafe": "1.0 1.1 1.2 1.3",
    "gnutls tls12": "1.2",
    "gnutls psk": "1.0 1.1 1.2",
    "gnutls srp": "1.0 1.1 1.2",
    "nginx default": "1.2 1.3",  # OpenSSL's security level excludes TLS 1.0 and 1.1
    "nginx eight": "1.2",
    "nginx old": "1.0 1.1",
    "nginx h2": "1.2 1.3",
}
if not judged.HAVE_SRP:
    del CONFIGURED["gnutls srp"]
needs_srp = pytest.mark.skipif(not judged.HAVE_SRP, reason="this machine's GnuTLS has no SRP")
COUNTS = {  # the number of suites, by the servers' own lists
    ("java everything", "SSL 3.0"): 52, ("java everything", "TLS 1.2"): 78,
    ("openssl everything", "TLS 1.2"): 77, ("openssl psk", "TLS 1.2"): 121,
    ("openssl everything", "TLS 1.3"): 5, ("gnutls everything", "TLS 1.2"): 105,
    ("gnutls psk", "TLS 1.2"): 141, ("openssl eight", "TLS 1.2"): 8, ("nginx eight", "TLS 1.2"): 8,
}
FEATURES = {  # the effect of each server's options
    "openssl tls1_1": {"session_tickets": False},
    "openssl tls1_2": {"encrypt_then_mac": False, "extended_master_secret": True},
    "openssl everything": {"encrypt_then_mac": True, "session_tickets": True,
                           "fallback_scsv": True, "compression": False,
                           "ocsp_staple": False, "alpn": []},
    "openssl eight": {"ocsp_staple": True, "fallback_scsv": None},
    "openssl ec": {"alpn": ["h2", "http/1.1"]},
    "openssl rsa": {"secure_renegotiation": True},  # -comp: not every OpenSSL supports it
    "gnutls normal": {"secure_renegotiation": True, "extended_master_secret": True,
                      "encrypt_then_mac": True, "session_tickets": True, "alpn": []},
    "gnutls no etm": {"encrypt_then_mac": False, "session_tickets": False},
    "gnutls unsafe": {"secure_renegotiation": False, "extended_master_secret": False,
                      "session_tickets": False, "alpn": ["http/1.1"]},
    "nginx eight": {"session_tickets": False, "alpn": ["http/1.1"]},
    "nginx h2": {"extended_master_secret": False, "encrypt_then_mac": False,
                 "session_tickets": True, "alpn": ["h2", "http/1.1"]},
    "java everything": {"encrypt_then_mac": False, "fallback_scsv": False},
    "nginx default": {"fallback_scsv": None},  # nothing below TLS 1.2
}
SESSION_IDS = {  # whether a session is resumed by its number
    "openssl everything": True, "openssl tls1_1": True, "gnutls normal": True,
    "gnutls unsafe": False,  # --nodb
    "nginx eight": False,  # ssl_session_cache none, the default: a number and no session
    "nginx old": True, "java usual": True,
}
WEAK = {  # signatures that the configuration allows or excludes
    "openssl everything": {"rsa_pkcs1_sha1", "rsa_pkcs1_sha224", "ecdsa_sha1", "ecdsa_sha224"},
    "openssl eight": set(), "openssl default": {"rsa_pkcs1_sha224"}, "openssl eddsa": set(),
    "gnutls normal": {"rsa_pkcs1_sha1", "ecdsa_sha1"},
    "java everything": set(judged.WEAK.values()),
    "java usual": {"rsa_pkcs1_sha224", "ecdsa_sha224"},
}
PREFERENCE = {
    "openssl everything": "client", "openssl rsa dsa": "server", "openssl eight": "server",
    "openssl ec": "server", "nginx default": "client", "nginx eight": "server",
    "gnutls normal": "client", "gnutls unsafe": "server", "java everything": "server",
    "openssl tls1_3": "client",
}
GROUPS = {
    "openssl tls1_3": {"TLS 1.3": {"secp384r1", "x448"}},
    "openssl rsa": {"TLS 1.2": {"x25519"}, "TLS 1.3": {"x25519"}},
    "nginx eight": {"TLS 1.2": {"secp256r1", "secp384r1"}},
    # An ECDSA certificate on P-256 needs P-256 among the client's groups (RFC 8422 section 5.1).
    "openssl ec": {"TLS 1.2": {"secp256r1"}},
}
LEAVES = {
    "openssl everything": {"rsa2048", "ec256"}, "openssl rsa dsa": {"rsa2048", "dsa1024"},
    "openssl eight": {"rsa2048", "ec256"}, "nginx h2": {"rsa2048", "ec256"},
    "openssl ec": {"ec256"}, "openssl rsa": {"rsa2048"}, "openssl eddsa": {"ed25519"},
    "openssl anon": set(), "gnutls normal": {"rsa2048", "ec256"},
    "java usual": {"rsa2048", "ec256"},
}

KEYS = {"rsa2048": ("rsa", 2048), "ec256": ("ecdsa", 256)}
NEVER_USED = ()  # with an approved suite

# ---- where the other judges see less -----------------------------------------------------------

# Suites that nmap 7.93 and testssl.sh 3.0.8 do not find although the server completes its flight
# with them: server, protocols, names, and the test below that shows why.
ALL_OLD = ("TLS 1.0", "TLS 1.1", "TLS 1.2")
NMAP_MISSES = (
    ("openssl eddsa", ("TLS 1.2",), "_ECDHE_ECDSA_", "test_why_nmap_misses_ed25519"),
    ("gnutls everything", ("TLS 1.2",), "_DHE_DSS_", "test_why_nmap_misses_dsa_of_gnutls"),
    ("gnutls srp", ("TLS 1.2",), "_DHE_DSS_", "test_why_nmap_misses_dsa_of_gnutls"),
    ("gnutls srp", ALL_OLD, "_SRP_", "test_why_srp_is_missed"),
    ("gnutls gost", ("TLS 1.2",), "", "test_why_nmap_misses_tls12_with_gost"),
)
TESTSSL_MISSES = (
    ("openssl anon", ("TLS 1.0", "TLS 1.1"), "_anon_", "test_why_testssl_misses_anonymous_tls10"),
    ("gnutls gost", ("TLS 1.2",), "_GOSTR341112_", "test_why_testssl_misses_gost"),
)
# What testssl.sh finds of these depends on the server's preference.
TESTSSL_FINDS_SOME = ("openssl psk", "gnutls psk", "gnutls srp")  # test_why_testssl_finds_some
# Suites that check itself does not find.
CHECK_MISSES = (
    ("gnutls srp", ALL_OLD, "_SRP_", "test_why_srp_is_missed"),
)


def missed(table, name, protocol, names):
    """The names that the table lists as not seen."""
    return {n for server, protocols, part, _ in table for n in names
            if server == name and protocol in protocols and part in n}


# ---- all at once -------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def fleet(pki, tmp_path_factory):
    with judged.Fleet(tmp_path_factory.mktemp("fleet"), pki) as servers:
        assert set(servers.ports) == set(CONFIGURED)
        yield servers
        dead = [n for n, p in servers.processes.items() if p.process.poll() is not None]
        assert not dead, f"ended while they were looked at: {dead}"


@pytest.fixture(scope="module")
def nmap(fleet):
    with judged.Nmap(*fleet.ports.values()) as run:
        yield lambda name: run.by_port()[fleet.ports[name]]


@pytest.fixture(scope="module")
def truth(nmap, fleet):
    """truth(name) -> judged.Found. nmap runs meanwhile."""
    return functools.cache(lambda name: judged.enumerate_suites(fleet.ports[name]))


@pytest.fixture(scope="module")
def traits(truth, fleet):
    return functools.cache(lambda name: judged.Traits(fleet.ports[name], truth(name)))


def check(*arguments, timeout=60):
    """(exit code, what --json printed)."""
    done = gate.run("check", "--json", *arguments, timeout=timeout)
    assert done.returncode in (0, 1, 2, 3), (done.returncode, done.stderr)
    return done.returncode, json.loads(done.stdout)


def only_address(report):
    (host,) = report["hosts"]
    (address,) = host["addresses"]
    return types.SimpleNamespace(**address, host=host)


@pytest.fixture(scope="module")
def answer(fleet, pki):
    """answer(name) -> .exit, .report and what it says of the one address."""
    @functools.cache
    def get(name):
        code, report = check("--ca", pki.trust, "--name", "localhost",
                             f"127.0.0.1:{fleet.ports[name]}")
        found = only_address(report)
        found.exit, found.report = code, report
        return found
    return get


servers = pytest.mark.parametrize("name", CONFIGURED)


def configured(name):
    return {f"SSL {w}" if w == "3.0" else f"TLS {w}" for w in CONFIGURED[name].split()}


@servers
def test_what_was_configured_is_found(name, answer):
    assert {p for p, yes in answer(name).protocols.items() if yes} == configured(name)


# ---- the judges agree with the configuration ---------------------------------------------------

@servers
@pytest.mark.once
def test_judge_finds_what_was_configured(name, truth):
    found = truth(name)
    assert {p for p, yes in found.protocols.items() if yes} == configured(name)
    assert not found.broken
    for (server, protocol), count in COUNTS.items():
        if server == name:
            assert len(found.suites[protocol]) == count


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.once
def test_judge_finds_the_features_configured(name, traits):
    features = traits(name).features()
    wanted = {k: v for k, v in FEATURES[name].items() if k in features}
    assert {k: features[k] for k in wanted} == wanted


@pytest.mark.parametrize("name", PREFERENCE)
@pytest.mark.once
def test_judge_finds_the_preference_configured(name, traits):
    assert traits(name).preference() == PREFERENCE[name]


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.once
def test_judge_finds_the_groups_configured(name, traits):
    assert {p: traits(name).groups(p) for p in GROUPS[name]} == GROUPS[name]


@servers
@pytest.mark.once
def test_nmap_agrees_with_the_judge(name, truth, nmap):
    """nmap finds nothing that was missed; what it misses is explained. Newer versions miss less."""
    suites, _ = nmap(name)
    for protocol, names in truth(name).suites.items():
        explained = missed(NMAP_MISSES, name, protocol, names)
        assert names - explained <= suites[protocol] <= names, protocol


# ---- check agrees with the judges --------------------------------------------------------------

@servers
@pytest.mark.once
def test_protocols(name, answer, truth):
    assert answer(name).protocols == truth(name).protocols


@servers
@pytest.mark.once
def test_suites(name, answer, truth):
    found = answer(name).suites
    wanted = {p: names - missed(CHECK_MISSES, name, p, names)
              for p, names in truth(name).suites.items() if names}
    assert {p: set(names) for p, names in found.items() if names} == wanted
    for names in found.values():
        assert len(set(names)) == len(names)


@servers
@pytest.mark.once
def test_suites_as_nmap_has_them(name, answer, nmap):
    theirs, _ = nmap(name)
    ours = {p: set(answer(name).suites.get(p, ())) for p in VERSIONS}
    for protocol in VERSIONS:
        assert theirs[protocol] <= ours[protocol], protocol
        extra = ours[protocol] - theirs[protocol]
        assert extra == missed(NMAP_MISSES, name, protocol, extra), protocol


@servers
@pytest.mark.once
def test_features(name, answer, traits):
    found, wanted = answer(name).features, traits(name).features()
    assert {k: found[k] for k in wanted} == wanted
    for feature, value in FEATURES.get(name, {}).items():
        assert found[feature] == value, feature


@pytest.mark.parametrize("name", SESSION_IDS)
@pytest.mark.once
def test_session_ids(name, answer, fleet, traits):
    resumes = judged.resumes_by_id(fleet.ports[name], traits(name).best_old)
    assert resumes == SESSION_IDS[name], "the judge"
    # check reports that the server issues session IDs: some servers do and keep no session.
    assert answer(name).features["session_ids"] or not resumes


@servers
@pytest.mark.once
def test_weak_signatures(name, answer, traits):
    weak = traits(name).weak_signatures()
    if name in WEAK:
        assert weak == WEAK[name], "the judge"
    assert set(answer(name).features["weak_signatures"]) == weak


@servers
@pytest.mark.once
def test_groups(name, answer, traits):
    """For TLS 1.2, or for the server's best version below."""
    protocol = traits(name).best_old
    if protocol not in (None, "SSL 3.0"):  # SSL 3.0 has no extensions
        assert set(answer(name).groups) == traits(name).groups(protocol)


@servers
@pytest.mark.once
def test_preference(name, answer, traits, truth):
    """Among approved suites, so at TLS 1.2."""
    approved = truth(name).suites["TLS 1.2"] & set(wire.EIGHT.values())
    assert answer(name).preference == (traits(name).preference("TLS 1.2") if approved else None)


@pytest.mark.parametrize("name", LEAVES)
def test_certificates(name, answer, fleet):
    sent = {leaf: getattr(fleet.keys, leaf) for leaf in LEAVES[name]}
    found = {c["sha256"].lower().replace(":", ""): c for c in answer(name).certificates}
    wanted = {openssl("x509", "-in", leaf.cert, "-noout", "-fingerprint", "-sha256")
              .decode().split("=")[1].strip().replace(":", "").lower(): kind
              for kind, leaf in sent.items()}
    assert set(found) == set(wanted)
    for digest, kind in wanted.items():
        certificate = found[digest]
        if kind in KEYS:
            assert (certificate["key"], certificate["bits"]) == KEYS[kind]
        else:
            assert certificate["key"] not in ("rsa", "ecdsa"), certificate
        if kind in KEYS and name not in NEVER_USED:
            assert certificate["valid"] is True and not certificate.get("code"), certificate
        assert set(certificate["names"]) == {"localhost", "127.0.0.1", "::1"}
        assert certificate["subject"] == f"CN=judged-{kind}"


# ---- the verdict -------------------------------------------------------------------------------

@pytest.mark.parametrize("name, verdict, code", [
    ("openssl eight", "compliant", 0),
    ("nginx eight", "compliant_with_findings", 3),  # SHA-224 is allowed by OpenSSL's default
    ("openssl everything", "compliant_with_findings", 3),
    ("nginx h2", "compliant_with_findings", 3),
    ("openssl tls1", "not_compliant", 1),
    ("openssl tls1_3", "not_compliant", 1),
    ("openssl anon", "not_compliant", 1),
    ("openssl eddsa", "not_compliant", 1),
    ("java sslv2hello", "not_compliant", 1),
])
def test_verdict(name, verdict, code, answer):
    found = answer(name)
    assert (found.report["verdict"], found.exit) == (verdict, code), found.host
    assert found.host["verdict"] == found.verdict == verdict


@servers
@pytest.mark.once
def test_approved_are_those_of_the_eight_that_it_accepts(name, answer, truth):
    eight = truth(name).suites["TLS 1.2"] & set(wire.EIGHT.values())
    approved = answer(name).approved
    assert {a["iana"] for a in approved} == eight
    if name in ("openssl eddsa", "gnutls unsafe"):
        assert not any(a["handshake"] for a in approved) and all(a["code"] for a in approved)
    for suite in approved:
        # An Ed25519 key is outside the policy, and so is a server without renegotiation_info.
        if name not in ("openssl eddsa", "gnutls unsafe"):
            assert suite["handshake"] is True and not suite.get("code"), suite
            assert suite["key"] == ("rsa" if "_RSA_" in suite["iana"] else "ecdsa"), suite


def test_nobody_there():
    code, report = check("--timeout", "5s", f"127.0.0.1:{gate.free_port()}")
    assert (code, report["verdict"]) == (2, "could_not_tell")


# ---- what no server of Debian does -------------------------------------------------------------

def test_sslv2(pki, fleet):
    """Next to TLS 1.2, whose results do not change."""
    with judged.Ssl2(pki.rsa.der, to=fleet.ports["openssl eight"]) as server:
        found = only_address(check("--ca", pki.trust, "--name", "localhost",
                                   f"127.0.0.1:{server.port}")[1])
        with judged.Nmap(server.port) as run:
            theirs, _ = run.by_port()[server.port]
    assert theirs["SSL 2.0"] == set(judged.SSL2_KINDS.values())
    assert found.protocols == {p: p in ("SSL 2.0", "TLS 1.2") for p in judged.PROTOCOLS}
    assert found.verdict == "compliant_with_findings"
    assert [f["subject"] for f in found.findings] == ["SSL 2.0"]


@pytest.mark.parametrize("kinds", [tuple(judged.SSL2_KINDS), ()], ids=["kinds", "none"])
def test_sslv2_alone(kinds, pki):
    """A server that answers speaks SSL 2.0, even without a common cipher (CVE-2015-3197); a server
    that speaks nothing else is recognized."""
    with judged.Ssl2(pki.rsa.der, kinds) as server:
        code, report = check(f"127.0.0.1:{server.port}")
    assert server.asked
    assert (code, report["verdict"]) == (1, "not_compliant")
    assert only_address(report).protocols == {p: p == "SSL 2.0" for p in judged.PROTOCOLS}


def test_compression(fleet):
    with judged.Relay(fleet.ports["openssl tls1_2"], judged.compressing) as server:
        reply = judged.ask(server.port, hello(0x0303, [0xC02F], compression=(1, 0)))
        assert reply.compression == 1
        found = only_address(check(f"127.0.0.1:{server.port}")[1])
    assert found.features["compression"] is True


def test_starttls_smtp(fleet, pki, answer):
    with judged.Relay(fleet.ports["openssl everything"], greet=judged.smtp_greeting) as server:
        reply = judged.ask(server.port, hello(0x0303, [0xC02F]), judged.smtp_ask)
        assert reply.suite == 0xC02F
        _, report = check("--ca", pki.trust, "--name", "localhost", "--starttls", "smtp",
                          f"127.0.0.1:{server.port}")
    found, direct = only_address(report), answer("openssl everything")
    assert report["hosts"][0]["starttls"] == "smtp"
    for field in ("protocols", "suites", "groups", "features", "preference", "verdict"):
        assert getattr(found, field) == getattr(direct, field), field


# ---- why the other judges see less -------------------------------------------------------------

NMAP_SIGNATURES = (0x0101, 0x0201, 0x0301, 0x0401, 0x0402, 0x0403, 0x0407, 0x0408, 0x0601, 0x0602,
                   0x0603)  # nselib/tls.lua, DEFAULT_SIGALGS


def reply_to(fleet, name, suite, version=0x0303, **options):
    return judged.ask(fleet.ports[name], hello(version, [NUMBERS[suite]], **options))


@pytest.mark.once
def test_why_nmap_misses_ed25519(fleet):
    """nmap offers Ed25519 as {sha256, 7}; the scheme is 0x0807 (RFC 8422 section 5.1.3)."""
    suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    assert reply_to(fleet, "openssl eddsa", suite, signatures=NMAP_SIGNATURES).alert == (2, 40)
    assert reply_to(fleet, "openssl eddsa", suite, signatures=(0x0807,)).whole


@pytest.mark.once
def test_why_nmap_misses_dsa_of_gnutls(fleet):
    """With DSA, GnuTLS 3.7 signs TLS 1.2 with SHA-1 only, which nmap does not offer."""
    suite = "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"
    for name in CONFIGURED.keys() & {"gnutls everything", "gnutls srp"}:
        assert reply_to(fleet, name, suite, signatures=NMAP_SIGNATURES).alert == (2, 40)
        assert reply_to(fleet, name, suite, signatures=(0x0202,)).whole


@needs_srp
@pytest.mark.once
def test_why_srp_is_missed(fleet):
    """Without a user's name in the hello the server refuses the suite (RFC 5054 section 2.5.1)."""
    suite = "TLS_SRP_SHA_RSA_WITH_AES_128_CBC_SHA"
    assert reply_to(fleet, "gnutls srp", suite, without=(12,)).alert == (2, 115)
    assert reply_to(fleet, "gnutls srp", suite, extra=((12, b"\x06nobody"),)).alert == (2, 80)
    assert reply_to(fleet, "gnutls srp", suite).whole


@pytest.mark.once
def test_why_nmap_misses_tls12_with_gost(fleet, nmap):
    """nmap fails at the first suite whose key exchange it does not know: "ssl-enum-ciphers.nse:704:
    attempt to index a nil value (local 'kex')", and reports nothing for that protocol."""
    assert not nmap("gnutls gost")[0]["TLS 1.2"]
    assert reply_to(fleet, "gnutls gost", "TLS_GOSTR341112_256_WITH_28147_CNT_IMIT").whole


@pytest.mark.once
def test_why_testssl_misses_anonymous_tls10():
    """testssl.sh tests TLS 1.0 and 1.1 with a hello without anonymous suites. If it decides that a
    protocol is absent, it asks for no suite."""
    data = pathlib.Path("/etc/testssl/tls_data.txt")
    if not data.is_file():
        pytest.skip("no testssl.sh here")
    offered = re.search(r'^readonly TLS_CIPHER="(.*?)"', data.read_text(), re.S | re.M)[1]
    pairs = re.findall("([0-9a-f]{2}),([0-9a-f]{2})", offered)
    numbers = {int(high + low, 16) for high, low in pairs}
    assert 0xC014 in numbers
    assert not any("_anon_" in judged.NAMES.get(n, "") for n in numbers)


@pytest.mark.once
def test_why_testssl_misses_gost():
    """testssl.sh does not know the number."""
    mapping = pathlib.Path("/etc/testssl/cipher-mapping.txt")
    if not mapping.is_file():
        pytest.skip("no testssl.sh here")
    assert "0xC0,0x2F" in mapping.read_text() and "0xC1,0x02" not in mapping.read_text()


@needs_srp
@pytest.mark.once
def test_why_testssl_finds_some(fleet):
    """testssl.sh offers bundles and drops a bundle at the first answer that it cannot use: the
    refusal of an SRP suite that the server prefers, or a ServerKeyExchange with a PSK hint. Each
    suite that it misses is accepted when offered alone."""
    srp, plain = (NUMBERS[f"TLS_{k}_WITH_AES_128_CBC_SHA"] for k in ("SRP_SHA_RSA", "RSA"))
    port = fleet.ports["gnutls srp"]
    bundle = judged.ask(port, hello(0x0303, [srp, plain], without=(12,)))
    assert (bundle.suite, bundle.alert) == (None, (2, 115))
    assert judged.ask(port, hello(0x0303, [plain])).whole
    for name in ("openssl psk", "gnutls psk"):
        psk = NUMBERS["TLS_DHE_PSK_WITH_AES_128_CBC_SHA"]
        bundle = judged.ask(fleet.ports[name], hello(0x0301, [psk, plain]))
        assert bundle.suite == psk and bundle.whole
        assert judged.CERTIFICATE not in bundle.messages


# ---- testssl.sh: takes minutes -----------------------------------------------------------------

slow = pytest.mark.skipif(not os.environ.get("SUITEGATE_TESTSSL"),
                             reason="takes minutes: SUITEGATE_TESTSSL=1")


@slow
@pytest.mark.alarm(600)
@servers
@pytest.mark.once
def test_testssl_agrees(name, answer, truth, fleet, tmp_path):
    protocols, suites, findings = judged.testssl(fleet.ports[name], tmp_path)
    ours = answer(name)
    for protocol in judged.PROTOCOLS:
        names = truth(name).suites[protocol]
        seen = names - missed(TESTSSL_MISSES, name, protocol, names)
        if name in TESTSSL_FINDS_SOME and protocol != "TLS 1.3":
            assert suites[protocol] <= names and bool(suites[protocol]) == bool(names), protocol
        else:
            assert suites[protocol] == seen, protocol
        assert suites[protocol] <= set(ours.suites.get(protocol, ())), protocol
        assert protocols[protocol] == bool(seen), (protocol, findings)
        assert ours.protocols[protocol] == bool(names), protocol
