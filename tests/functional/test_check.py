"""`suitegate check` against real servers: its findings, their meaning, the advice."""

import re
import subprocess

import pytest

import wire
from checks import EXIT, here, judge, judge_all, run, tell
from gate import free_port
from pki import DAY, openssl
from policy_servers import LOOSE, POLICY, SIGNATURES, STRICT
from upstreams import Process, gnutls_serv, nginx, s_server

SUITE = "ECDHE-ECDSA-AES128-GCM-SHA256"


# ---- the verdicts -------------------------------------------------------------------------

def test_a_server_that_accepts_the_policy_only_is_compliant(pki, strict):
    host = judge(pki, strict.port)
    assert host.verdict == "compliant"
    assert not (host.items("problems") or host.items("doubts") or host.items("findings"))
    assert host.entry["remedies"] == []
    assert host.accepted() == ["TLS 1.2"]
    assert sorted(host.suites["TLS 1.2"]) == sorted(wire.EIGHT.values())
    assert {row["openssl"]: row["iana"] for row in host.approved} == wire.EIGHT
    assert all(row["handshake"] and row["group"] == "x25519" for row in host.approved)
    assert sorted(host.groups) == ["secp256r1", "secp384r1", "secp521r1", "x25519"]
    assert [c["key"] for c in host.certificates] == ["ecdsa", "rsa"]
    assert all(c["valid"] and len(c["chain"]) == 2 for c in host.certificates)
    assert host.features["weak_signatures"] == []


def test_a_server_that_accepts_more_is_compliant_with_findings(pki, loose):
    host = judge(pki, loose.port)
    assert host.verdict == "compliant_with_findings"
    assert not host.items("problems") and not host.items("doubts")
    assert host.accepted() == ["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]
    found = host.items("findings")
    for protocol in ("TLS 1.0", "TLS 1.1"):
        assert ("accepts_protocol", protocol) in found
    for suite in ("TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
                  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_AES_256_CCM_8"):
        assert ("accepts_suite", suite) in found
    assert ("accepts_group", "x448") in host.items("notes")
    assert ("accepts_weak_signature", "rsa_pkcs1_sha1") in found
    assert host.features["weak_signatures"] and host.features["fallback_scsv"] is True
    named = {subject for code, subject in found if code == "accepts_suite"}
    assert named == set(host.suites["TLS 1.2"]) - set(wire.EIGHT.values())
    assert set(host.suites["TLS 1.0"]) == set(host.suites["TLS 1.1"])
    assert {r["product"] for r in host.entry["remedies"]} >= {
        "nginx", "Apache", "HAProxy", "Java", "Windows / IIS"}


def openssl_accepts(port, protocol, names):
    """The suites of these that openssl s_client can use, one connection each."""
    found = set()
    for name in names:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", protocol, "-cipher",
             f"{name}:@SECLEVEL=0"], input=b"", capture_output=True, timeout=50, check=False)
        if f"Cipher is {name}".encode() in done.stdout:
            found.add(name)
    return found


def test_the_suites_are_those_that_openssl_gets(pki, loose):
    """Each of OpenSSL's own suites, with another client."""
    rows = [line.split() for line in openssl(
        "ciphers", "-s", "-tls1_1", "-stdname", LOOSE).decode().splitlines()]
    iana = {row[2]: row[0] for row in rows if "PSK" not in row[2] and "SRP" not in row[2]}
    expected = openssl_accepts(loose.port, "-tls1_1", iana)
    host = judge(pki, loose.port)
    assert {iana[name] for name in expected} == set(host.suites["TLS 1.1"])


def test_tls13_is_a_note_with_its_suites(pki, tmp_path):
    options = [o for o in STRICT if o != "-tls1_2"]
    with s_server(tmp_path, pki.ec, *options, "-min_protocol", "TLSv1.2") as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert host.accepted() == ["TLS 1.2", "TLS 1.3"]
    for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                  "TLS_CHACHA20_POLY1305_SHA256 (not in the 2024 revision)"):
        assert suite in host.text("speaks_tls13")
    assert set(host.suites["TLS 1.3"]) == {
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


@pytest.mark.parametrize("protocol, name", [("-tls1_3", "TLS 1.3"), ("-tls1", "TLS 1.0"),
                                            ("-tls1_1", "TLS 1.1")])
def test_a_server_without_tls12_is_not_compliant(pki, tmp_path, protocol, name):
    with s_server(tmp_path, pki.ec, protocol, "-cipher", LOOSE) as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("no_tls12", "TLS 1.2")]
    assert host.accepted() == [name]
    assert host.approved == []
    assert "protocol versions" in host.remedies("nginx")
    if name == "TLS 1.3":
        assert "Microsoft's text of 2024-12-02 would take it" in host.text("speaks_tls13")
    else:
        assert ("accepts_protocol", name) in host.items("findings")
        assert host.certificates[0]["sha256"]


def test_a_server_without_an_approved_suite_is_not_compliant(pki, tmp_path):
    with s_server(tmp_path, pki.rsa, "-tls1_2", "-cipher", "AES128-SHA:DHE-RSA-AES128-SHA") as s:
        host = judge(pki, s.port)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("no_approved_suite", None)]
    assert set(host.suites["TLS 1.2"]) == {"TLS_RSA_WITH_AES_128_CBC_SHA",
                                           "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"}
    assert host.certificate("rsa")["valid"] is None
    assert "cipher suites" in host.remedies("Apache")


def test_a_server_that_does_not_know_the_name_says_so(pki, tmp_path):
    with nginx(tmp_path, pki.ec, extra="ssl_reject_handshake on;") as server:
        host = judge(pki, server.port)
        unnamed = judge(pki, server.port, host="127.0.0.1")
    assert host.items("problems") == [("name_refused", None)]
    assert "localhost" in host.text("name_refused")
    assert host.remedies("nginx")["server name"].startswith("server_name NAME;")
    assert unnamed.items("doubts") == [("refuses_every_hello", None)]
    assert "--name NAME" in unnamed.text("refuses_every_hello")
    assert unnamed.verdict == "could_not_tell"


SNI = """
const tls = require("tls"), fs = require("fs");
const [,, port, chain, key] = process.argv;
const context = tls.createSecureContext({cert: fs.readFileSync(chain), key: fs.readFileSync(key)});
tls.createServer({SNICallback: (name, done) => name === "localhost" ? done(null, context)
    : done(new Error("unknown"))}, s => s.on("error", () => {})).on("tlsClientError", () => {})
    .listen(port, "127.0.0.1");
"""


def test_a_server_that_answers_another_name_with_any_alert_is_not_accused(pki, tmp_path):
    """Node without a default certificate: it sends alert 40 to a client without a server name, and
    closes the connection for an unknown name."""
    script, port = tmp_path / "sni.js", free_port()
    script.write_text(SNI)
    with Process(["node", script, port, pki.ec.chain, pki.ec.key], port, tmp_path / "node.log"):
        named = judge(pki, port)
        unnamed = judge(pki, port, host="127.0.0.1")
        other = judge(pki, port, "--name", "other.test")
    assert "TLS 1.2" in named.accepted() and not named.items("problems")
    for host in (unnamed, other):
        assert host.verdict == "could_not_tell"
        assert host.items("doubts") == [("refuses_every_hello", None)]
        assert host.entry["remedies"] == []


def test_a_key_that_no_suite_can_use_is_told_as_that(pki, tmp_path):
    leaf = pki.leaf("edwards", key="ed25519")
    with nginx(tmp_path, leaf, ciphers=POLICY) as server:
        host = judge(pki, server.port)
        _, text = tell("--ca", pki.trust, *here(server.port))
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("certificate_key", "ECDSA")]
    assert "certificate" in host.remedies("nginx")
    assert "TLS library" not in host.remedies("nginx, Apache, HAProxy")
    assert "0 bits" not in text


def test_a_key_on_another_curve_is_not_compliant_for_that(pki, tmp_path):
    with s_server(tmp_path, pki.p224, *STRICT) as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert "no_tls12" not in host.codes("problems")


# ---- text ---------------------------------------------------------------------------------

def test_text_of_a_compliant_server(pki, strict):
    code, text = tell("--ca", pki.trust, *here(strict.port))
    assert code == 0
    assert text.startswith(f"127.0.0.1:{strict.port}: compliant\n")
    for name in wire.EIGHT:
        assert re.search(rf"^ +{name} +handshake done, x25519$", text, re.M), name
    for word in ("127.0.0.1", "8 of the 8, in the client's order", "other suites    none",
                 "secp521r1", "CN=ec, issued by CN=suitegate test inter, 256 bits"):
        assert word in text
    assert "What to change" not in text and "Findings" not in text


def test_text_of_findings_names_each_and_what_to_change(pki, loose):
    code, text = tell("--ca", pki.trust, *here(loose.port))
    assert code == 3
    assert text.startswith(f"127.0.0.1:{loose.port}: compliant with findings\n")
    plain = " ".join(text.split())
    assert "it accepts TLS 1.0, TLS 1.1" in plain
    assert re.search(r"other suites \d+ at TLS 1\.2 \(findings\); at TLS 1\.0 and TLS 1\.1: TLS_", plain)
    host = judge(pki, loose.port)
    for code, subject in host.items("findings"):
        assert subject in plain, (code, subject)
    for remedy in host.entry["remedies"]:
        assert " ".join(remedy["setting"].split()) in plain
        assert f"    {remedy['product']}:\n" in text


def test_text_of_a_server_that_is_not_compliant(pki, tmp_path):
    with s_server(tmp_path, pki.ec, "-tls1_3") as server:
        code, text = tell("--ca", pki.trust, *here(server.port))
    assert code == 1
    assert text.startswith(f"127.0.0.1:{server.port}: not compliant\n")
    assert "Not compliant, because\n  - it does not accept TLS 1.2\n" in text
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text


def test_text_of_one_that_could_not_be_told():
    port = free_port()
    code, text = tell(f"127.0.0.1:{port}")
    assert code == 2
    assert text.startswith(f"127.0.0.1:{port}: could not tell\n")
    assert "Could not tell, because\n  - no connection: Connection refused\n" in text


def test_the_answer_depends_on_no_language_and_no_time_zone(pki, tmp_path):
    with s_server(tmp_path, pki.rsa, "-cipher", LOOSE) as server:
        arguments = "--ca", pki.trust, *here(server.port)
        plain = tell(*arguments, env={"LC_ALL": "C", "TZ": "UTC"})
        for env in ({"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo"},
                    {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "fr", "TZ": "America/Los_Angeles"}):
            assert tell(*arguments, env=env) == plain


def test_the_answer_is_the_same_each_time(pki, loose):
    arguments = "--ca", pki.trust, *here(loose.port)
    assert len({tell(*arguments) for _ in range(10)}) == 1


# ---- suites, order, groups ----------------------------------------------------------------

@pytest.mark.parametrize("suite", wire.EIGHT)
def test_one_approved_suite_is_enough(pki, tmp_path, suite):
    leaf = pki.ec if "ECDSA" in suite else pki.rsa
    options = ["-cipher" if o == "-cipher" else suite if o == POLICY else o for o in STRICT]
    with s_server(tmp_path, leaf, *options) as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert [(row["openssl"], row["handshake"]) for row in host.approved] == [(suite, True)]
    assert host.preference is None


@pytest.mark.parametrize("own, order", [("on", "server"), ("off", "client")])
def test_whose_order_counts(pki, tmp_path, own, order):
    backwards = list(reversed(wire.EIGHT))
    with nginx(tmp_path, pki.ec, pki.rsa, ciphers=":".join(backwards),
               extra=f"ssl_prefer_server_ciphers {own};") as server:
        host = judge(pki, server.port)
    assert host.preference == order
    assert [row["openssl"] for row in host.approved] == (
        backwards if order == "server" else list(wire.EIGHT))


@pytest.mark.parametrize("server", ["openssl", "nginx"])
@pytest.mark.parametrize("signatures", [True, False])
def test_a_stock_server_limited_to_the_suites(pki, tmp_path, server, signatures):
    """Its groups are outside the policy and not weaker. The one finding: OpenSSL signs with SHA-224
    if the client offers nothing better. One line disables it."""
    eight = ":".join(wire.EIGHT)
    if server == "openssl":
        start = s_server(tmp_path, pki.rsa, "-cipher", eight,
                         *(["-sigalgs", SIGNATURES] if signatures else []))
    else:
        line = f"ssl_conf_command SignatureAlgorithms {SIGNATURES};" if signatures else ""
        start = nginx(tmp_path, pki.ec, pki.rsa, protocols="TLSv1.2 TLSv1.3", ciphers=eight,
                      extra=line)
    with start as running:
        host = judge(pki, running.port)
    assert "x448" in host.groups or server == "nginx"
    assert host.codes("findings") == (set() if signatures else {"accepts_weak_signature"})
    assert {name for _, name in host.items("findings")} <= {"rsa_pkcs1_sha224", "ecdsa_sha224"}
    assert host.verdict == ("compliant" if signatures else "compliant_with_findings")


@pytest.mark.parametrize("groups, names", [
    ("P-384", ["secp384r1"]), ("P-521:P-256", ["secp256r1", "secp521r1"]), ("X25519", ["x25519"])])
def test_groups_are_those_that_the_server_has(pki, tmp_path, groups, names):
    options = [groups if ":P-384:" in o else o for o in STRICT]
    with s_server(tmp_path, pki.rsa, *options) as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert sorted(host.groups) == names
    assert {row["group"] for row in host.approved} <= set(names)


def test_a_server_with_no_group_of_the_policy_is_not_compliant(pki, tmp_path):
    options = ["X448:brainpoolP256r1" if ":P-384:" in o else o for o in STRICT]
    with s_server(tmp_path, pki.rsa, *options) as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert "no_tls12" not in host.codes("problems")
    assert "groups" in host.remedies("nginx")


def test_a_server_that_signs_with_sha1_only_is_not_compliant(pki, tmp_path):
    options = ["RSA+SHA1" if o == SIGNATURES else f"{POLICY}:@SECLEVEL=0" if o == POLICY else o
               for o in STRICT]
    with s_server(tmp_path, pki.rsa, *options) as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert ("accepts_weak_signature", "rsa_pkcs1_sha1") in host.items("findings")
    assert host.features["weak_signatures"] == ["rsa_pkcs1_sha1"]
    assert not any(row["handshake"] for row in host.approved)
    assert {subject for _, subject in host.items("problems")} == {
        iana for iana in wire.EIGHT.values() if "ECDHE_RSA" in iana}


# ---- certificates -------------------------------------------------------------------------

FAULTS = {
    "expired": ("expired", "certificate", r"CN=expired, valid until \d{4}-\d\d-\d\d "),
    "not_yet_valid": ("not_yet_valid", "certificate",
                      r"CN=not-yet-valid, valid from \d{4}-\d\d-\d\d "),
    "wrong_name": ("name_mismatch", "certificate", "localhost; it is for other.example "),
    "common_name": ("name_mismatch", "certificate",
                    "localhost; it has no host as subjectAltName, and its common name does not count"),
    "unknown_ca": ("untrusted", "certificate chain",
                   "it came alone, and no CA that is trusted here verifies it: the issuer is "
                   "CN=suitegate test strange-root "),
    "self_signed": ("untrusted", "certificate", "it is self-signed "),
    "truncated_chain": ("untrusted", "certificate chain",
                        "it came alone, and no CA that is trusted here verifies it: the issuer is "
                        "CN=suitegate test inter "),
    "root_sent": ("untrusted", "certificate chain",
                  "its root is not trusted here .--ca FILE would.: CN=suitegate test far-root "),
    "namesake": ("untrusted", "certificate chain",
                 "it came alone, and .*: the issuer is CN=namesake "),
    "short_inter": ("weak", "certificate", "CN=suitegate test short-inter, a key of 1024 bits "),
    "rsa1024": ("weak", "certificate", "CN=rsa1024, a key of 1024 bits "),
    "sha1_leaf": ("weak", "certificate", "CN=sha1-leaf, signed by ECDSA with SHA-1 "),
    "sha1_inter": ("weak", "certificate", "CN=suitegate test sha1-inter, signed by ECDSA with SHA-1 "),
    "expired_inter": ("expired", "certificate", "CN=suitegate test expired-inter, valid until "),
    "no_server_auth": ("invalid", "certificate", "its extended key usage is not for servers"),
    "ca_without_constraints": ("invalid", "certificate chain", "is not valid .RFC 5280."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_certificate_is_not_compliant_and_says_why(pki, tmp_path, fault):
    code, topic, cause = FAULTS[fault]
    leaf = getattr(pki, fault)
    with nginx(tmp_path, leaf, ciphers=f"{POLICY}:@SECLEVEL=0") as server:
        host = judge(pki, server.port)
        status, text = tell("--ca", pki.trust, *here(server.port))
    key = "rsa" if fault == "rsa1024" else "ecdsa"
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [(f"upstream_certificate_{code}", key.upper())]
    sent = host.certificate(key)
    assert sent["valid"] is False and sent["code"] == f"upstream_certificate_{code}"
    assert len(sent["chain"]) == leaf.chain.read_bytes().count(b"BEGIN CERTIFICATE")
    assert set(host.remedies("nginx")) >= {topic}
    assert host.approved and not any(row["handshake"] for row in host.approved)
    plain = " ".join(text.split())
    assert status == 1 and f"{key.upper()} certificate: " in plain and "chain: not valid" in plain
    assert "upstream" not in plain
    assert re.search(cause, plain)
    assert [r["topic"] for r in host.entry["remedies"] if r["for"] == "problems"] == \
        [topic] * len([r for r in host.entry["remedies"] if r["topic"] == topic])
    whole = [r["for"] for r in host.entry["remedies"]]
    assert whole == sorted(whole, reverse=True)


def test_a_certificate_is_shown_as_it_was_sent(pki, tmp_path):
    leaf = pki.leaf("shown", san=("DNS:localhost", "DNS:*.shown.test", "IP:192.0.2.7"), key="ec384",
                    end=100 * DAY, subject="/O=Ex\\, Ample/CN=shown")
    with s_server(tmp_path, leaf, *STRICT) as server:
        sent = judge(pki, server.port).certificate("ecdsa")
    facts = openssl("x509", "-in", leaf.cert, "-noout", "-fingerprint", "-sha256").decode()
    assert sent["sha256"] == re.sub("[^0-9a-f]", "", facts.split("=")[1].lower())
    assert sent["names"] == ["localhost", "*.shown.test", "192.0.2.7"]
    assert "CN=shown" in sent["subject"] and "Ample" in sent["subject"]
    assert (sent["bits"], sent["signature"]) == (384, "ECDSA with SHA-256")
    assert sent["chain"][0]["sha256"] == sent["sha256"]
    assert sent["chain"][-1]["subject"] == sent["issuer"] == "CN=suitegate test inter"


@pytest.mark.parametrize("bad", ["ecdsa", "rsa"])
def test_one_bad_certificate_of_two_is_not_compliant(pki, tmp_path, bad):
    ec = pki.leaf("expired-ec", start=-9 * DAY, end=-DAY) if bad == "ecdsa" else pki.ec
    rsa = (pki.leaf("expired-rsa", key="rsa2048", start=-9 * DAY, end=-DAY) if bad == "rsa"
           else pki.rsa)
    with nginx(tmp_path, ec, rsa, ciphers=POLICY) as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert host.items("problems") == [("upstream_certificate_expired", bad.upper())]
    for key in ("ecdsa", "rsa"):
        assert host.certificate(key)["valid"] is (key != bad)
    assert {row["key"] for row in host.approved if row["handshake"]} == {"ecdsa", "rsa"} - {bad}
    assert {row.get("code") for row in host.approved if row["key"] == bad} == {
        "upstream_certificate_expired"}


def test_a_certificate_that_expires_soon_is_a_note(pki, tmp_path):
    with s_server(tmp_path, pki.leaf("soon", end=3 * DAY + 3600), *STRICT) as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert host.items("notes") == [("certificate_expires_soon", "ECDSA")]
    assert "3 days" in host.text("certificate_expires_soon")


def test_trust_is_the_given_files_and_the_environments(pki, strict):
    target = here(strict.port)
    stranger = pki.ca("stranger").cert
    assert judge_all(*target)[0].codes("problems") == {"upstream_certificate_untrusted"}
    assert judge_all("--ca", stranger, *target)[0].verdict == "not_compliant"
    assert judge_all("--ca", stranger, "--ca", pki.trust, *target)[0].verdict == "compliant"
    assert judge_all(*target, env={"SSL_CERT_FILE": str(pki.trust)})[0].verdict == "compliant"


def test_another_name_is_sent_and_verified(pki, tmp_path):
    leaf = pki.leaf("named", san=("DNS:crm.example.test",))
    with s_server(tmp_path, leaf, *STRICT) as server:
        named = judge(pki, server.port, "--name", "crm.example.test")
        plain = judge(pki, server.port)
        other = judge(pki, server.port, "--name", "192.0.2.1")
    assert (named.verdict, named.name) == ("compliant", "crm.example.test")
    assert plain.codes("problems") == other.codes("problems") == {
        "upstream_certificate_name_mismatch"}
    assert "localhost" in plain.text("upstream_certificate_name_mismatch")
    assert "192.0.2.1" in other.text("upstream_certificate_name_mismatch")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_is_judged_by_its_own_name(pki, origin, host):
    found = judge(pki, origin.port, host=host)
    assert not found.items("problems") and not found.items("doubts")
    assert found.addresses[0]["ip"] == host.strip("[]")
    assert found.certificate("ecdsa")["valid"] is True


# ---- features -----------------------------------------------------------------------------

def features(pki, server):
    with server as running:
        return judge(pki, running.port).features


@pytest.mark.parametrize("on", [True, False])
def test_session_tickets(pki, tmp_path, on):
    found = features(pki, nginx(tmp_path, pki.ec, extra=(
        f"ssl_session_tickets {'on' if on else 'off'}; ssl_session_cache builtin:100;")))
    assert found["session_tickets"] is on
    if not on:
        assert found["session_ids"] is True


def test_alpn(pki, tmp_path, origin):
    assert judge(pki, origin.port).features["alpn"] == ["h2", "http/1.1"]
    assert features(pki, nginx(tmp_path, pki.ec))["alpn"] == ["http/1.1"]
    assert features(pki, s_server(tmp_path, pki.ec, *STRICT))["alpn"] == []


def test_an_ocsp_staple_is_seen(pki, tmp_path):
    request, response = tmp_path / "ocsp.req", tmp_path / "ocsp.der"
    openssl("ocsp", "-issuer", pki.inter.cert, "-cert", pki.ec.cert, "-reqout", request)
    openssl("ocsp", "-index", pki.inter.home / "index.txt", "-CA", pki.inter.cert, "-rsigner",
            pki.inter.cert, "-rkey", pki.inter.key, "-ndays", 1, "-reqin", request, "-respout",
            response)
    found = features(pki, s_server(tmp_path, pki.ec, *STRICT, "-status_file", response))
    assert found["ocsp_staple"] is True
    assert features(pki, s_server(tmp_path, pki.ec, *STRICT))["ocsp_staple"] is False


GNUTLS = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-RSA"


@pytest.mark.parametrize("priority, feature, code", [
    (f"{GNUTLS}:%NO_ETM", "encrypt_then_mac", "no_encrypt_then_mac"),
    (f"{GNUTLS}:%NO_SESSION_HASH", "extended_master_secret", "no_extended_master_secret")])
def test_what_gnutls_can_leave_out_is_a_note(pki, tmp_path, priority, feature, code):
    with gnutls_serv(tmp_path, pki.ec, GNUTLS) as server:
        whole = judge(pki, server.port)
    with gnutls_serv(tmp_path, pki.ec, priority) as server:
        host = judge(pki, server.port)
    assert whole.features[feature] is True and code not in whole.codes("notes")
    assert host.features[feature] is False and code in host.codes("notes")
    assert host.verdict == whole.verdict == "compliant_with_findings"


def test_no_secure_renegotiation_is_not_compliant(pki, tmp_path):
    with gnutls_serv(tmp_path, pki.ec, f"{GNUTLS}:%DISABLE_SAFE_RENEGOTIATION") as server:
        host = judge(pki, server.port)
    assert host.verdict == "not_compliant"
    assert host.features["secure_renegotiation"] is False
    assert host.codes("problems") == {"upstream_no_secure_renegotiation"}
    assert "update" in host.remedies("nginx, Apache, HAProxy")["TLS library"]


@pytest.mark.parametrize("server", ["openssl", "gnutls"])
def test_a_fallback_is_stopped(pki, tmp_path, server):
    with (s_server(tmp_path, pki.ec, "-cipher", LOOSE) if server == "openssl" else
          gnutls_serv(tmp_path, pki.ec, "NORMAL:+VERS-TLS1.0")) as running:
        host = judge(pki, running.port)
    assert host.features["fallback_scsv"] is True
    assert ("accepts_protocol", "TLS 1.0") in host.items("findings")
    assert "ignores_fallback_scsv" not in host.codes("findings")


def test_fallback_needs_no_stop_where_nothing_older_is(strict, pki):
    assert judge(pki, strict.port).features["fallback_scsv"] is None


@pytest.mark.parametrize("option, needed", [("-verify", False), ("-Verify", True)])
def test_a_client_certificate_is_a_note(pki, tmp_path, option, needed):
    """The client has no certificate: a server that insists has proved all else by then."""
    with s_server(tmp_path, pki.ec, *STRICT, option, 1, "-CAfile", pki.trust) as server:
        host = judge(pki, server.port)
    assert host.verdict == "compliant"
    assert host.features["client_certificate"] is True
    assert "wants_client_certificate" in host.codes("notes")
    assert host.certificate("ecdsa")["valid"] is True
    assert all(row["handshake"] is not needed for row in host.approved)


# ---- several hosts ------------------------------------------------------------------------

@pytest.mark.parametrize("names, status", [
    (("strict", "strict"), 0), (("strict", "loose"), 3), (("loose", "closed"), 2),
    (("strict", "closed", "bare"), 1), (("bare", "loose", "strict"), 1)])
def test_several_hosts_have_one_exit_code(pki, strict, loose, tmp_path, names, status):
    verdicts = {"strict": "compliant", "loose": "compliant_with_findings",
                "closed": "could_not_tell", "bare": "not_compliant"}
    with s_server(tmp_path, pki.ec, "-tls1_3") as bare:
        ports = {"strict": strict.port, "loose": loose.port, "closed": free_port(),
                 "bare": bare.port}
        targets = [f"127.0.0.1:{ports[name]}" for name in names]
        hosts = judge_all("--ca", pki.trust, *targets)
        done = run("--ca", pki.trust, *targets)
    assert [h.entry["target"] for h in hosts] == targets
    assert [h.verdict for h in hosts] == [verdicts[name] for name in names]
    assert done.returncode == status == min(
        (EXIT[verdicts[name]] for name in names), key=(1, 2, 3, 0).index)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["HOST", "VERDICT", "BECAUSE"]
    for line, target, name in zip(lines[1:], targets, names):
        assert line.startswith(f"{target}  {verdicts[name].replace('_', ' ')}")
    assert lines[-1].startswith(f"{len(names)} hosts: {names.count('strict')} compliant, ")


@pytest.mark.parametrize("host", ["localhost", "a-long-name-of-some-sort.nosuch.onion"])
def test_the_table_is_no_wider_than_a_terminal_and_nothing_is_cut(strict, loose, host):
    target = f"{host}:{loose.port}"
    _, text = tell(f"127.0.0.1:{strict.port}", target)
    host, = judge_all(target)
    reason = (host.entry["problems"] or host.entry["doubts"])[0]
    assert reason["text"] in " ".join(text.split())
