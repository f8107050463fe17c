"""The advice of `suitegate check` works: real servers with its settings become compliant."""

import pathlib
import re
import subprocess

import pytest

import jvm
import proxies
from checks import judge
from gate import free_port
from pki import openssl
from policy_servers import LOOSE
from upstreams import Process, https_apache, nginx


# ---- the advice ---------------------------------------------------------------------------

def with_settings(text, settings, indent=""):
    """A configuration in which each setting replaces the line of the same directive."""
    for setting in settings:
        words = setting.split()
        directive = " ".join(words[:2] if words[0] in ("ssl_conf_command", "SSLOpenSSLConfCmd")
                             else words[:1])
        lines = [line for line in text.splitlines() if not line.strip().startswith(directive)]
        at = lines.index(f"{indent}# settings") + 1
        text = "\n".join(lines[:at] + setting.splitlines() + lines[at:]) + "\n"
    return text


def becomes_compliant(pki, product, start, *options, only=None, left=frozenset()):
    """Findings about a loose server; then its configuration with the advised lines."""
    with start([]) as server:
        before = judge(pki, server.port, *options)
    assert before.verdict == "compliant_with_findings"
    remedies = before.remedies(product)
    assert set(remedies) >= {"protocol versions", "cipher suites"}
    settings = [s for topic, s in remedies.items() if topic in (only or remedies)]
    with start(settings) as server:
        after = judge(pki, server.port, *options)
    assert set(after.codes("findings")) <= left
    assert after.verdict == ("compliant_with_findings" if left else "compliant")
    return before


@pytest.mark.once
def test_the_advice_for_nginx_works(pki, tmp_path):
    def start(settings):
        folder = tmp_path / f"with-{len(settings)}"
        folder.mkdir()
        server = nginx(folder, pki.ec, pki.rsa, protocols="TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
                       ciphers=LOOSE, extra="ssl_ecdh_curve X448:X25519:prime256v1;\n# settings\n")
        path = pathlib.Path(server.argv[-1])
        text = "\n".join(line.strip() for line in path.read_text().splitlines())
        path.write_text(with_settings(text, settings))
        return server
    becomes_compliant(pki, "nginx", start)


def apache(folder, pki, settings):
    return https_apache(folder, pki.ec, with_settings(f"""
SSLCertificateFile {pki.rsa.chain}
SSLCertificateKeyFile {pki.rsa.key}
SSLProtocol all
SSLCipherSuite {LOOSE}
# settings
""", settings))


@pytest.mark.once
def test_the_advice_for_apache_works(pki, tmp_path):
    becomes_compliant(pki, "Apache", lambda settings: apache(tmp_path, pki, settings))


def haproxy(folder, pki, settings):
    port = free_port()
    home = folder / f"haproxy-{port}"
    home.mkdir()
    pems = [pki.bundle(f"haproxy-{l.name}", l.chain, l.key) for l in (pki.ec, pki.rsa)]
    crts = " ".join(f"crt {pem}" for pem in pems)
    return proxies.haproxy(home, port, f"""
frontend front
bind 127.0.0.1:{port} ssl {crts}
""", settings=with_settings(f"""
global
# settings
ssl-default-bind-options ssl-min-ver TLSv1.0
ssl-default-bind-ciphers {LOOSE}
""", settings))


@pytest.mark.once
def test_the_advice_for_haproxy_works(pki, tmp_path):
    """Version 2.6 of Debian 12 has no setting for signature algorithms: SHA-224 stays."""
    becomes_compliant(pki, "HAProxy", lambda settings: haproxy(tmp_path, pki, settings),
                      only=("protocol versions", "cipher suites", "groups"),
                      left={"accepts_weak_signature"})


def java(folder, leaf, settings=()):
    """Settings replace the JDK's own list of disabled algorithms, or are options of java."""
    port, store = free_port(), folder / "store.p12"
    openssl("pkcs12", "-export", "-in", leaf.chain, "-inkey", leaf.key, "-out", store,
            "-passout", "pass:changeit")
    options = [s for s in settings if s.startswith("-D")]
    added = [re.sub(r"^.*: add | \(.*$", "", " ".join(s.split())) for s in settings
             if "disabledAlgorithms: add " in s]
    argv = jvm.argv("Serve", port, store, ", ".join(added), options=options)
    return Process(argv, port, folder / f"java-{port}.log")


@pytest.mark.once
def test_the_advice_for_java_works(pki, tmp_path):
    """It has no fallback protection, so it is in order only without the old versions."""
    root = pki.ca("rsa-root", key="rsa2048")
    leaf = pki.leaf("rsa-under-rsa", key="rsa2048", issuer=root)
    before = becomes_compliant(pki, "Java", lambda settings: java(tmp_path, leaf, settings),
                               "--ca", root.cert)
    assert before.features["fallback_scsv"] is False
    assert ("ignores_fallback_scsv", None) in before.items("findings")


@pytest.mark.once
def test_a_chain_signed_with_another_type_of_key_is_no_fault(pki, tmp_path):
    """An RSA certificate under an ECDSA CA; openssl s_client can connect."""
    with java(tmp_path, pki.rsa) as server:
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-CAfile",
             pki.trust, "-verify_return_error", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            input=b"", capture_output=True, timeout=50, check=False)
        host = judge(pki, server.port)
    if b"Verify return code: 0 (ok)" not in done.stdout:
        raise RuntimeError("no client gets a connection")
    assert host.items("problems") == []
    assert host.verdict == "compliant_with_findings"
