"""What independent scanners find at a fixed listener with both key types: TLS 1.2 and the eight
suites, nothing else."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from verdicts import SUITES

IANA = {iana for iana, _ in SUITES.values()}
OPENSSL = {own for _, own in SUITES.values()}

pytestmark = pytest.mark.once


def scan(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, timeout=110, check=True)
    return ElementTree.fromstring(done.stdout)


def nmap(port):
    report = scan("nmap", "-Pn", "-sT", "-n", "-p", port, "--script", "ssl-enum-ciphers",
                  "-oX", "-", "127.0.0.1")
    script = report.find(".//script[@id='ssl-enum-ciphers']")
    assert script is not None, ElementTree.tostring(report)
    return {table.get("key"): table for table in script.findall("table")}


def sslscan(port):
    return scan("sslscan", "--xml=-", "--no-colour", "--sni-name=localhost",
                f"127.0.0.1:{port}").find("ssltest")


def test_nmap_finds_tls12_and_the_eight(fixed):
    versions = nmap(fixed.port)
    assert set(versions) == {"TLSv1.2"}
    tls12 = versions["TLSv1.2"]
    names = [elem.text for elem in tls12.findall("table[@key='ciphers']/table/elem[@key='name']")]
    assert sorted(names) == sorted(IANA)
    assert [e.text for e in tls12.findall("table[@key='compressors']/elem")] == ["NULL"]
    assert tls12.find("elem[@key='cipher preference']").text == "server"
    assert fixed.alive()


def test_sslscan_finds_tls12_and_the_eight(fixed):
    found = sslscan(fixed.port)
    enabled = [(p.get("type"), p.get("version")) for p in found.findall("protocol")
               if p.get("enabled") == "1"]
    assert enabled == [("tls", "1.2")]
    ciphers = [(c.get("sslversion"), c.get("cipher")) for c in found.findall("cipher")]
    assert sorted(ciphers) == sorted(("TLSv1.2", name) for name in OPENSSL)
    assert fixed.alive()


def test_sslscan_finds_the_four_groups_and_no_old_weakness(fixed):
    found = sslscan(fixed.port)
    groups = [(g.get("sslversion"), int(g.get("id"), 16)) for g in found.findall("group")]
    assert sorted(groups) == [("TLSv1.2", g) for g in (0x17, 0x18, 0x19, 0x1D)]
    for compression in found.findall("compression"):
        assert compression.get("supported") == "0"
    assert found.find("renegotiation").get("supported") == "0"
    for heartbleed in found.findall("heartbleed"):
        assert heartbleed.get("vulnerable") == "0"


@pytest.mark.parametrize("key, word", [("ec", "ECDSA"), ("rsa", "RSA")])
def test_one_key_type_leaves_four_suites(make_fixed, key, word):
    gate = make_fixed(keys=(key,))
    versions = nmap(gate.port)
    names = {elem.text for elem in
             versions["TLSv1.2"].findall("table[@key='ciphers']/table/elem[@key='name']")}
    assert names == {name for name in IANA if f"_{word}_WITH_" in name}


def test_narrowed_policy_is_what_scanners_see(make_fixed):
    names = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    gate = make_fixed(policy={"suite": names})
    versions = nmap(gate.port)
    assert sorted(elem.text for elem in versions["TLSv1.2"].findall(
        "table[@key='ciphers']/table/elem[@key='name']")) == names


def test_profile_2020_is_the_four_rsa_suites(make_fixed):
    gate = make_fixed(policy={"profile": "2020"})
    found = sslscan(gate.port)
    assert {c.get("cipher") for c in found.findall("cipher")} == \
        {name for name in OPENSSL if "-RSA-" in name}


def test_scan_is_on_record(fixed):
    """A scanner's probes are refusals with codes, none of them an internal error."""
    nmap(fixed.port)
    fixed.settle()
    codes = {r["event"].get("code") for r in fixed.records()}
    assert "client_no_approved_suite" in codes
    assert "client_protocol_too_old" in codes
    assert "internal_error" not in codes
