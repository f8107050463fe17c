"""suitegate exec: real clients that know nothing of it use its proxy and trust it, and its report
is correct."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from client_programs import CLIENTS
from execution import (BODY, NO_CONNECTION, OLD, SITE, authority, bad, classes, curl, execution,
                       site)
from upstreams import Blackhole
from verdicts import SUITES

__all__ = ["bad", "classes", "execution", "site"]  # fixtures
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-cp")
JAVA_VARIABLES = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")
EACH = 'for u do %s || exit; done'


# ---- clients that the environment alone sends to the proxy --------------------------------

PYTHON = f"{sys.executable} -B -c '%s' $u"
SHELL = {
    "curl": "curl -sS $u/hello.txt",
    "wget": "wget -q -O- $u/hello.txt",
    "git": "git ls-remote $u/repo.git",
    "urllib": PYTHON % ('import sys, urllib.request as r; '
                        'print(r.urlopen(sys.argv[1] + "/hello.txt").read().decode(), end="")'),
    "requests": PYTHON % ('import sys, requests; '
                          'print(requests.get(sys.argv[1] + "/hello.txt").text, end="")'),
    "node": f"node {CLIENTS / 'get.js'} ${{HTTPS_PROXY##*:}} ${{u#https://}} /hello.txt h1",
    "LWP": "perl -MLWP::UserAgent -e 'print LWP::UserAgent->new->get($ARGV[0])->content' "
           "$u/hello.txt",
    "PHP": "php -r 'curl_exec(curl_init($argv[1]));' $u/hello.txt",
}


def through(execution, site, shell, expected):
    done = execution("sh", "-c", EACH % shell, "sh", *[u.rstrip("/") for u in site.urls],
                     options=["--json"], wrapper=site.hosts)
    assert done.status == 0, done.text
    assert done.stdout.count(expected) == 3, done.stdout
    endpoints = done.endpoints()
    assert sorted(endpoints) == sorted(site.names)
    for endpoint in endpoints.values():
        assert endpoint["verdict"] == "allowed"
        assert endpoint["allowed"] >= 1
        assert endpoint["unused"] == 0
        assert endpoint["cipher"] in {iana for iana, _ in SUITES.values()}


@pytest.mark.parametrize("client", SHELL)
def test_a_client_passes_to_any_name_of_a_compliant_server(execution, site, client):
    through(execution, site, SHELL[client], b"\tHEAD\n" if client == "git" else BODY)


@pytest.mark.skipif(not shutil.which("npm"), reason="not installed")
def test_npm_asks_its_registry_through_the_proxy(execution, site):
    done = execution("npm", "view", "nothing", "--registry", site.urls[0], "--fetch-retries", 0,
                     "--no-update-notifier", options=["--json"])
    assert done.endpoints()[site.names[0]]["allowed"] >= 1, done.text
    assert b"E404" in done.stderr


# ---- Java ---------------------------------------------------------------------------------

@pytest.mark.parametrize("api, empty", [("url", []), ("client", JAVA_VARIABLES)], ids=str)
@pytest.mark.once
def test_java_passes_to_any_name_of_a_compliant_server(execution, site, classes, api, empty):
    done = execution(*JAVA, classes, "Fetch", api, *[u + "hello.txt" for u in site.urls],
                     options=["--json"], wrapper=site.hosts, env=dict.fromkeys(empty, ""))
    assert done.stdout == 3 * BODY, done.text
    assert done.status == 0
    assert {n: e["verdict"] for n, e in done.endpoints().items()} == dict.fromkeys(
        site.names, "allowed")


@pytest.mark.once
def test_java_that_gives_a_password_for_the_trust_store_reads_it(execution, site, classes):
    done = execution(*JAVA, classes, "Fetch", "url", "changeit", site.url)
    assert done.stdout == BODY, done.text
    assert done.status == 0


@pytest.mark.parametrize("name", JAVA_VARIABLES)
@pytest.mark.once
def test_the_callers_java_options_are_kept_and_do_not_lead_past_the_proxy(execution, site,
                                                                          classes, name):
    done = execution(*JAVA, classes, "Fetch", "url", site.url, env={
        name: "-Dmine='a word' -Dhttps.proxyPort=9 -Dhttp.nonProxyHosts=* "
              "-Djavax.net.ssl.trustStore=/nonexistent"})
    assert b"mine=a word\n" in done.stderr
    assert done.stdout == BODY, done.text
    assert done.status == 0


@pytest.mark.once
def test_java_with_a_trust_store_of_its_own_does_not_trust_the_ca(execution, site, classes, pki,
                                                                  tmp_path):
    """A program's command line has priority; it is read, and a message reports it. JKS, although
    the environment names another type."""
    store = tmp_path / "own.jks"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", pki.trust,
                    "-keystore", store, "-storetype", "JKS", "-storepass", "changeit"],
                   check=True, capture_output=True)
    done = execution("java", f"-Djavax.net.ssl.trustStore={store}",
                     "-Djavax.net.ssl.trustStorePassword=changeit", *JAVA[1:], classes, "Fetch",
                     "url", site.url, options=["--json"])
    assert b"unable to find valid certification path" in done.stderr
    assert done.codes() == {site.names[0]: {"client_rejected_certificate": 1}}
    assert done.status == 1


# ---- refused ------------------------------------------------------------------------------

def test_an_old_client_is_refused_on_its_own_leg(execution, site):
    done = execution(*curl(*OLD, site.url))
    assert done.status == 1
    assert done.stdout == b""
    first, line = done.lines
    assert first == "suitegate exec: 1 connection, 1 refused, COMMAND's status 35"
    assert line.startswith(f"  refused  {site.names[0]} on the client leg: "
                           "client_protocol_too_old (1): the highest version the client offers "
                           "is below TLS 1.2; ")
    assert "TLS 1.1" in line


def test_a_request_without_tls_is_refused_on_the_clients_leg(execution, site):
    done = execution(*curl("-o", os.devnull, "-w", "%{http_code}",
                           f"http://localhost:{site.port}/"), options=["--json"])
    assert done.stdout == b"403"
    assert done.status == 1
    (endpoint,) = done.json["endpoints"]
    assert endpoint["endpoint"] == f"localhost:{site.port}"
    assert [(r["code"], r["leg"], r["blame"]) for r in endpoint["refusals"]] == [
        ("client_plaintext_http", "client", "client")]


@pytest.mark.once
def test_old_java_is_refused_on_its_own_leg(execution, site, classes, tmp_path):
    (tmp_path / "old.security").write_text("jdk.tls.disabledAlgorithms=\n")
    done = execution(*JAVA, classes, "Fetch", "client", site.url, options=["--json"], env={
        "JAVA_TOOL_OPTIONS": f"-Djava.security.properties={tmp_path / 'old.security'} "
                             "-Djdk.tls.client.protocols=TLSv1.1"})
    assert done.status == 1, done.text
    assert done.json["command_status"] == 3
    assert list(done.codes()[site.names[0]]) == ["client_protocol_too_old"]


def test_a_client_that_does_not_trust_the_ca_is_told_apart(execution, site, pki):
    done = execution(*curl("--cacert", pki.trust, site.url), options=["--json"])
    assert done.status == 1
    assert done.json["command_status"] == 60
    assert done.codes() == {site.names[0]: {"client_rejected_certificate": 1}}


def test_a_client_that_leaves_without_a_word_may_not_trust_the_ca(execution, site):
    """GnuTLS and Node complete the handshake before they verify."""
    done = execution("sh", "-c", "env -u NODE_EXTRA_CA_CERTS -u SSL_CERT_FILE "
                     f"node {CLIENTS / 'get.js'} ${{HTTPS_PROXY##*:}} {site.names[0]} / h1")
    assert done.status == 3  # node's own
    assert "allowed  " + site.names[0] in done.text
    assert done.lines[1].endswith(
        "; the client sent nothing, perhaps because it does not trust the CA")


@pytest.mark.parametrize("server, code", [
    ("untrusted", "upstream_certificate_untrusted"), ("expired", "upstream_certificate_expired"),
    ("old", "upstream_protocol_too_old")])
def test_a_bad_server_is_refused_on_the_upstreams_leg(execution, bad, server, code):
    url = getattr(bad, server)
    done = execution(*curl("-o", os.devnull, "-w", "%{http_code}", url), options=["--json"])
    assert done.stdout == b"502"
    assert done.status == 1
    assert done.json["command_status"] == 0
    (endpoint,) = done.json["endpoints"]
    assert endpoint["endpoint"] == authority(url)
    (refusal,) = endpoint["refusals"]
    assert (refusal["code"], refusal["leg"], refusal["blame"], refusal["count"]) == (
        code, "upstream", "upstream", 1)
    assert refusal["sentence"] and refusal["remedy"]


def test_a_server_is_trusted_only_by_roots_that_were_given(execution, site, pki):
    assert execution(*curl(site.url), trust=False).status == 1
    assert execution(*curl(site.url), trust=False,
                     env={"SSL_CERT_FILE": pki.trust}).status == 0
    assert execution(*curl(site.url), trust=False, options=[
        "--ca", pki.ca("stranger").cert, "--ca", pki.trust]).status == 0


def test_a_client_that_gives_up_before_the_server_answers_is_not_refused(execution):
    with Blackhole() as hole:
        done = execution(*curl("--max-time", 0.5, f"https://127.0.0.1:{hole.port}/"),
                         options=["--json"])
    assert done.json["command_status"] == 28
    assert "shutting_down" not in done.text
    assert done.status == 28


# ---- the report ---------------------------------------------------------------------------

MANY = ("curl -sS {good}; curl -sS {good}; curl -sS {old} {good}; curl -sS {untrusted}; "
        "curl -sS {expired}; curl -sS {expired}; curl -sS {other}; exit 9")


def many(execution, site, bad, **options):
    shell = MANY.format(good=site.url, untrusted=bad.untrusted, expired=bad.expired,
                        old=" ".join(OLD), other=site.urls[1])
    return execution("sh", "-c", shell, **options)


def test_one_line_an_endpoint_the_refused_ones_first(execution, site, bad):
    done = many(execution, site, bad)
    assert done.status == 1
    assert done.lines[0] == "suitegate exec: 7 connections, 4 refused, COMMAND's status 9"
    starts = [
        f"  refused  {site.names[0]} on the client leg: client_protocol_too_old (1): ",
        f"  refused  {authority(bad.untrusted)} on the upstream leg: "
        "upstream_certificate_untrusted (1): ",
        f"  refused  {authority(bad.expired)} on the upstream leg: "
        "upstream_certificate_expired (2): ",
        f"  allowed  {site.names[1]} 1 allowed with TLS_ECDHE_",
    ]
    assert len(done.lines) == 1 + len(starts), done.text
    for line, start in zip(done.lines[1:], starts):
        assert line.startswith(start), line
    assert "; 2 allowed with TLS_ECDHE_" in done.lines[1]


def test_json_says_the_same(execution, site, bad):
    done = many(execution, site, bad, options=["--json"])
    report = done.json
    assert done.status == report["exit_status"] == 1
    assert report["command_status"] == 9
    assert (report["connections"], report["refused"]) == (7, 4)
    assert report["version"] in subprocess.run(
        [os.environ.get("SUITEGATE", "build/suitegate"), "--version"], capture_output=True,
        text=True, check=True, cwd=CLIENTS.parents[2]).stdout
    assert done.codes() == {
        site.names[0]: {"client_protocol_too_old": 1}, site.names[1]: {},
        authority(bad.untrusted): {"upstream_certificate_untrusted": 1},
        authority(bad.expired): {"upstream_certificate_expired": 2}}
    sums = {n: (e["verdict"], e["allowed"], e["refused"]) for n, e in done.endpoints().items()}
    assert sums == {site.names[0]: ("refused", 2, 1), site.names[1]: ("allowed", 1, 0),
                    authority(bad.untrusted): ("refused", 0, 1),
                    authority(bad.expired): ("refused", 0, 2)}


def test_what_was_offered_and_what_is_weak_in_it_is_said(execution, site):
    """The client passes: the policy never chooses a weak suite."""
    command = ("sh", "-c", f"openssl s_client -proxy ${{https_proxy#http://}} -connect "
               f"{site.names[0]} -tls1_2 -cipher AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256 "
               "-sigalgs ECDSA+SHA256:RSA+SHA256 </dev/null >/dev/null 2>&1")
    done = execution(*command, options=["--json"])
    (endpoint,) = done.json["endpoints"]
    assert endpoint["verdict"] == "allowed"
    assert endpoint["weak_offers"] == ["TLS_RSA_WITH_AES_128_CBC_SHA"]
    assert "also offers TLS_RSA_WITH_AES_128_CBC_SHA" in execution(*command).text


def test_a_command_without_a_connection_is_told_what_to_do(execution):
    done = execution("true")
    assert done.status == 3
    assert NO_CONNECTION in done.text
    assert "suitegate run" in done.text
    done = execution("true", options=["--json"])
    assert done.status == done.json["exit_status"] == 3
    assert (done.json["connections"], done.json["endpoints"]) == (0, [])


def test_the_report_goes_to_a_file_and_nowhere_else(execution, site, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("what was there before\n" * 1000)
    done = execution(*curl(site.url), options=["--report", report])
    assert (done.status, done.stdout, done.stderr) == (0, BODY, b"")
    assert report.read_text().startswith("suitegate exec: 1 connection, 0 refused")
    assert "before" not in report.read_text()
    done = execution(*curl(site.url), options=["--json", "--report", report])
    assert (done.status, done.stderr) == (0, b"")
    assert json.loads(report.read_text())["connections"] == 1


@pytest.mark.parametrize("report", ["", "nonexistent/report", "a\nb/report"])
def test_a_report_that_cannot_be_written_is_told_before_the_command_runs(execution, tmp_path,
                                                                         report):
    done = execution("touch", tmp_path / "ran", options=["--report", tmp_path / report])
    assert done.status == 2
    assert str(tmp_path) in done.text
    assert not (tmp_path / "ran").exists()


def test_a_report_that_could_not_be_written_after_all_is_no_answer(execution, site):
    done = execution(*curl(site.url), options=["--report", "/dev/full"])
    assert (done.status, done.stdout) == (2, BODY)
    assert "/dev/full: No space left on device" in done.text


# ---- exit status --------------------------------------------------------------------------

@pytest.mark.parametrize("refused, allowed, own, expected", [
    (True, True, 0, 1), (True, True, 7, 1), (True, False, 0, 1), (True, False, 7, 1),
    (False, True, 0, 0), (False, True, 255, 255), (False, False, 0, 3), (False, False, 7, 7),
])
def test_a_refusal_counts_more_than_the_commands_status_and_that_more_than_none(
        execution, site, refused, allowed, own, expected):
    shell = "; ".join([
        *([f"curl -s {' '.join(OLD)} {site.url}"] if refused else []),
        *([f"curl -s {site.url}"] if allowed else []), f"exit {own}"])
    done = execution("sh", "-c", shell, options=["--json"])
    report = done.json
    assert done.status == report["exit_status"] == expected
    assert report["command_status"] == own
    assert report["refused"] == int(refused)
    assert report["connections"] == int(refused) + int(allowed)


def test_five_hundred_connections(execution, site):
    code = ("import concurrent.futures as f, ssl, sys, urllib.request as r\n"
            "trust = ssl.create_default_context()\n"
            "def get(_): return r.urlopen(sys.argv[1], context=trust).read()\n"
            "with f.ThreadPoolExecutor(8) as pool:\n"
            "    print(len(set(pool.map(get, range(500)))))\n")
    done = execution.python(code, site.url, options=["--json"])
    assert (done.status, done.stdout) == (0, b"1\n"), done.text
    assert done.json["connections"] == done.endpoints()[site.names[0]]["allowed"] == 500


def test_a_name_that_only_the_hosts_file_has_is_reported_by_name(execution, site):
    done = execution(*curl(site.urls[2] + "hello.txt"), wrapper=site.hosts)
    assert f"  allowed  {SITE}:{site.port} 1 allowed" in done.text
