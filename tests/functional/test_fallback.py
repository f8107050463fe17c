"""The fallback by a program that really falls back."""

import os
import subprocess

from gate import free_port, run
from scene import at, check_record

# No allowed suite: so links tries again with TLS 1.2, 1.1 and 1.0.
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
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False,
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
    # Each names the attempts that show it, and comes directly after the second attempt.
    records = gate.records()
    for retry in retries:
        before = records[records.index(retry) - 1]
        assert at(before, "suitegate.connection_id") == at(retry, "suitegate.connection_id")
        assert at(before, "event.action") == "connection-refused"
    # It names no culprit.
    assert {at(r, "suitegate.downgrade") for r in retries} == {"possible"}
    report, tail = (run("log", command, gate.audit_path).stdout for command in ("report", "tail"))
    assert "3 possible fallbacks" in report
    assert tail.count("client-fallback-retry") == 3
    assert "owngrade" not in report + tail + "".join(r["message"] for r in retries)


# Programs on one host that do not trust the certificate, each with its own lists.
PROGRAMS = {
    "curl": ["curl", "-sS", "https://localhost:{port}/"],
    "wget": ["wget", "-q", "-t1", "-O-", "https://localhost:{port}/"],
    "gnutls-cli": ["gnutls-cli", "--logfile=/dev/null", "-p", "{port}", "localhost"],
    "python": ["/usr/bin/python3", "-c", "import urllib.request as u; "
               "u.urlopen('https://localhost:{port}/')"],
    "node": ["node", "--dns-result-order=ipv4first", "-e", "require('https').get('https://localhost:{port}/')"],
}


ENDS = ("connection-refused", "connection-closed")


def failing(gate, name):
    """One failing attempt of that program. Node's fails after the handshake."""
    seen = len(gate.matching(lambda r: at(r, "event.action") in ENDS))
    command = [part.format(port=gate.port) for part in PROGRAMS[name]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          check=False)
    assert done.returncode != 0, done.stdout
    return gate.wait_record(lambda r: at(r, "event.action") in ENDS, count=seen + 1)


def every_pair(names):
    """A sequence in which each name follows each other name."""
    steps = {a: [b for b in names if b != a] for a in names}
    walk, path = [], [names[0]]
    while path:
        if steps[path[-1]]:
            path.append(steps[path[-1]].pop())
        else:
            walk.append(path.pop())
    return walk


def test_other_programs_of_the_same_host_are_no_fallback(make_fixed):
    gate = make_fixed()
    for name in every_pair(list(PROGRAMS)):
        failing(gate, name)
    assert gate.stop() == 0
    assert len(gate.matching(code="client_rejected_certificate")) >= 12
    retries = gate.matching(action="client-fallback-retry")
    assert not retries, [r["suitegate"]["client"] for r in retries]
