"""Endless refusals of one source: some records, and counts of all others."""

import json

import gate as harness
import wire
from gate import free_port
from refusals import REPEATED, flood, refuse_again
from scene import at, check_record


def test_every_refusal_is_in_a_record_or_in_a_count(make_fixed):
    gate = make_fixed(upstream=free_port(), proxy={"max_handshakes_per_source": "0"})
    answers = flood(gate) | {refuse_again(gate).split(b"\r\n")[0] for _ in range(50)}
    sent = 650  # the last refusals are counted until the gate stops
    assert len(answers) == 1 and b" 403 " in answers.pop(), "who is counted is answered as well"
    sock = wire.dial(gate.port)  # another code has its own record
    sock.sendall(b"\x01\x02\x03\x04\x05")
    wire.read_to_end(sock)
    sock.close()
    gate.wait_record(code="client_not_tls", action="connection-refused")
    assert gate.stop() == 0
    records = gate.matching(code="client_plaintext_http")
    for record in records:
        check_record(record)
    counts = [at(r, "suitegate.repeated.count") for r in records if at(r, "event.action") == REPEATED]
    assert len(records) - len(counts) >= 250
    assert len(records) - len(counts) + sum(counts) == sent
    for record in records:
        if at(record, "event.action") == REPEATED:
            first, last = (at(record, f"suitegate.repeated.{end}") for end in ("first", "last"))
            assert first <= last <= record["@timestamp"]
            assert f"{at(record, 'suitegate.repeated.count')} more times" in record["message"]
    # The readers of the log know these records.
    run = harness.run("log", "verify", gate.audit_path)
    assert run.returncode == 0, run.stdout
    report = json.loads(harness.run("log", "report", "--json", gate.audit_path).stdout)
    assert report["reasons"] == {"client_plaintext_http": sent, "client_not_tls": 1}
    assert report["attempts"]["refused"] == report["clients"]["rows"][0]["refused"] == sent + 1
    assert sum(bucket["refused"] for bucket in report["timeline"]) == sent + 1
    assert report["blames"]["client"] == report["legs"]["client"] == sent + 1
    tail = harness.run("log", "tail", "--refused", "-", input=gate.audit_path.read_text()).stdout
    assert f"refused-repeated 127.0.0.1 ({counts[0]} times) -> front client_plaintext_http" in tail


def test_another_destination_among_many_refusals_has_its_name(make_forward):
    gate = make_forward(listen={"allow_upstreams": "allowed.example"},
                        proxy={"max_handshakes_per_source": "0"})

    def connect(host):
        sock = wire.dial(gate.port)
        sock.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert b" 403 " in wire.read_to_end(sock).split(b"\r\n")[0]
        sock.close()

    for _ in range(600):
        connect("noise.example")
    connect("secret.example")
    # On a busy machine one count may have ended before.
    record = gate.wait_record(
        lambda r: "secret.example:443" in at(r, "suitegate.repeated.destinations"), action=REPEATED)
    check_record(record)
    named = [name for one in gate.matching(action=REPEATED)
             for name in at(one, "suitegate.repeated.destinations")]
    assert list(dict.fromkeys(named)) == ["noise.example:443", "secret.example:443"]
    assert at(record, "suitegate.repeated.destinations_cut") is None
