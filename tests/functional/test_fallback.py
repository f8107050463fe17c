"""The fallback dance by a program that really dances it."""

import os
import subprocess

from gate import free_port
from scene import at, check_record

# Nothing that is allowed: so links tries again with TLS 1.2, 1.1 and 1.0.
WEAK = """openssl_conf = c
[c]
ssl_conf = s
[s]
system_default = d
[d]
CipherString = AES128-SHA:ECDHE-RSA-AES128-SHA
"""


def test_links_comes_back_offering_less(make_fixed, tmp_path):
    """links reconnects by itself after a failed handshake, with less each time."""
    gate = make_fixed(upstream=free_port())
    (tmp_path / "openssl.cnf").write_text(WEAK)
    done = subprocess.run(
        ["links", "-retries", "1", "-dump", f"https://localhost:{gate.port}/"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb",
             "OPENSSL_CONF": str(tmp_path / "openssl.cnf")})
    assert done.returncode == 1, done.stdout
    gate.wait_record(action="client-fallback-retry", count=3)
    assert gate.stop() == 0
    retries = gate.matching(action="client-fallback-retry")
    for record in retries:
        check_record(record)
    steps = [(at(r, "suitegate.client.previous_offer.highest_version"),
              at(r, "suitegate.client.offer.highest_version")) for r in retries]
    assert steps == [("TLS 1.3", "TLS 1.2"), ("TLS 1.2", "TLS 1.1"), ("TLS 1.1", "TLS 1.0")]
    # Each names the attempts that show it, and stands right behind the second.
    records = gate.records()
    for retry in retries:
        before = records[records.index(retry) - 1]
        assert at(before, "suitegate.connection_id") == at(retry, "suitegate.connection_id")
        assert at(before, "event.action") == "connection-refused"
