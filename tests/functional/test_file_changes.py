"""Certificates, keys, trust, CRLs and identities that change are read again, as a whole, without a
signal: what certbot renews needs no hook."""

import hashlib
import os
import shutil
import ssl
import subprocess

import pytest

import wire
from gate import ca_init, free_port, ini, run
from refusals import Crowd
from scene import wait_until

SOON = 15  # seconds: files are looked at every second


def shown(port):
    """SHA-256 of the certificate that the listener shows."""
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    return hashlib.sha256(der).hexdigest()


def digest(leaf):
    pem = open(leaf.cert, encoding="ascii").read()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class Live:
    """As certbot keeps them: live/ has links into archive/."""

    def __init__(self, folder, leaf):
        self.folder, self.number = folder, 0
        for name in ("live", "archive"):
            (folder / name).mkdir()
        self.chain, self.key = folder / "live/fullchain.pem", folder / "live/privkey.pem"
        self.renew(leaf)

    def renew(self, leaf):
        self.number += 1
        for link, source in ((self.key, leaf.key), (self.chain, leaf.chain)):
            copy = self.folder / "archive" / f"{link.stem}{self.number}.pem"
            shutil.copy(source, copy)
            copy.chmod(0o600)
            link.unlink(missing_ok=True)
            link.symlink_to(copy)


@pytest.fixture
def renewed(make_gate, pki, tmp_path):
    first, second = pki.leaf("first", key="ec256"), pki.leaf("second", key="ec384")
    live, port = Live(tmp_path, first), free_port()
    gate = make_gate(ini({
        "audit": {"file": "audit.jsonl"},
        "listen own": [("type", "test"), ("address", f"127.0.0.1:{port}"),
                       ("certificate", live.chain), ("key", live.key)]}))
    gate.port = port
    return gate, live, first, second


def test_a_renewed_certificate_is_shown_without_a_signal(renewed, pki):
    gate, live, first, second = renewed
    assert shown(gate.port) == digest(first)
    context = wire.client_context(pki.trust)

    class Visitors(Crowd):
        faults = []

        def ask(self):
            try:
                with wire.Tls(wire.dial(gate.port), context, name="localhost") as tls:
                    assert wire.get(tls.handshake()).status == 200
            except Exception as fault:  # whatever a client may see
                self.faults.append(repr(fault))
            return True

    with Visitors(2, pause=.05) as visitors:
        live.renew(second)
        wait_until(lambda: shown(gate.port) == digest(second), seconds=SOON)
    assert not visitors.faults
    gate.wait_record(action="configuration-loaded")
    assert "has changed: the configuration's files are read again" in gate.stderr


def test_a_certificate_without_its_key_is_rejected_once(renewed):
    gate, live, first, second = renewed
    shutil.copy(second.chain, live.folder / "archive/fullchain1.pem")
    gate.wait_record(action="configuration-rejected")
    assert shown(gate.port) == digest(first)
    shutil.copy(second.key, live.folder / "archive/privkey1.pem")
    wait_until(lambda: shown(gate.port) == digest(second), seconds=SOON)
    assert len(gate.matching(action="configuration-rejected")) == 1


def test_trust_and_crls_of_upstreams(make_gate, pki, origin, ca_folder, tmp_path):
    trust, crl, port = tmp_path / "trust.pem", tmp_path / "crl.pem", free_port()
    shutil.copy(pki.trust, trust)
    shutil.copy(pki.crl("none revoked"), crl)
    gate = make_gate(ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "upstream": {"trust": trust, "crl": crl, "resume": "no"}, "audit": {"file": "audit.jsonl"},
        "listen f": {"type": "forward", "address": f"127.0.0.1:{port}"}}))

    def fetch():
        done = subprocess.run(["curl", "-s", "-x", f"http://127.0.0.1:{port}", "--cacert",
                               ca_folder / "ca.pem", "-o", os.devnull, "-w", "%{http_code}",
                               f"https://localhost:{origin.port}/hello.txt"],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    assert fetch() == "200"
    other = tmp_path / "other"
    other.mkdir()
    ca_init(other)
    trust.write_bytes((other / "ca.pem").read_bytes())
    wait_until(lambda: fetch() == "502", seconds=SOON)
    gate.wait_record(code="upstream_certificate_untrusted")
    shutil.copy(pki.trust, trust)
    wait_until(lambda: fetch() == "200", seconds=SOON)
    crl.unlink()
    gate.wait_record(action="configuration-rejected")
    assert fetch() == "200"


def test_what_the_program_writes_itself_is_no_change(make_forward, tmp_path):
    gate = make_forward(audit={"copy": tmp_path / "copy.jsonl"})
    run("log", "key", "-c", gate.config_path)
    for _ in range(3):
        run("config", "-c", gate.config_path)
    with pytest.raises(AssertionError):
        gate.wait_record(action="configuration-loaded", timeout=4)
