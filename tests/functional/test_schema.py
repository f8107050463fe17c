"""The files in conf/ besides the configuration: the record's schema, the index template, and the
files for logrotate and systemd. The schema is compared with what the program writes."""

import contextlib
import copy
import hashlib
import json
import os
import random
import re
import shutil
import subprocess

import pytest

import hellos
from gate import BINARY, ROOT, Gate, free_port, run
from refusals import flood
from verdicts import SUITES, VERDICTS

fastjsonschema = pytest.importorskip("fastjsonschema")

CONF = ROOT / "conf"
SCHEMA = json.loads((CONF / "record.schema.json").read_text())
TEMPLATE = json.loads((CONF / "elastic-index-template.json").read_text())
VALIDATE = fastjsonschema.compile(SCHEMA)
FITTING = {"string": {"keyword", "date", "ip", "match_only_text"}, "integer": {"long"},
           "boolean": {"boolean"}}


def resolved(schema):
    """Resolves the references; keys beside a reference count, too."""
    parts = [SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]] if "$ref" in schema else []
    for part in parts + schema.get("allOf", []) * ("properties" not in schema):
        schema = {**resolved(part), **schema}
    return schema


def schema_leaves(schema, path=()):
    """(dotted name, JSON type) of every field; an array counts as its items."""
    schema = resolved(schema)
    if "properties" in schema:
        assert schema["additionalProperties"] is False, path
        for name, part in schema["properties"].items():
            yield from schema_leaves(part, (*path, name))
    elif schema.get("type") == "array":
        yield from schema_leaves(schema["items"], path)
    else:
        assert "type" in schema or "const" in schema or "enum" in schema, path
        yield ".".join(path), schema.get("type", "string")


def template_leaves(mapping, path=()):
    for name, part in mapping["properties"].items():
        if "properties" in part:
            yield from template_leaves(part, (*path, name))
        else:
            yield ".".join((*path, name)), part


def valid(record):
    try:
        VALIDATE(record)
    except fastjsonschema.JsonSchemaException:
        return False
    return True


# ---- the schema -------------------------------------------------------------------------

def test_schema_has_every_code_and_no_other():
    codes = SCHEMA["properties"]["event"]["properties"]["code"]["enum"]
    policy = json.loads(run("policy", "--json").stdout)
    assert len(codes) == len(set(codes))
    assert set(codes) == {reason["code"] for reason in policy["reasons"]} == set(VERDICTS)


def test_schema_has_the_eight_suites():
    approved = SCHEMA["definitions"]["approved"]["items"]["enum"]
    assert sorted(approved) == sorted(iana for iana, _ in SUITES.values())


def test_schema_has_a_rule_for_every_action():
    actions = SCHEMA["properties"]["event"]["properties"]["action"]["enum"]
    tests = [rule["if"]["properties"].get("event", {}) for rule in SCHEMA["allOf"]]
    alone = {test["properties"]["action"].get("const") for test in tests if "properties" in test}
    assert set(actions) == alone - {None}


@pytest.fixture(scope="module")
def records(tmp_path_factory, pki, start_forward, start_fixed, origin):
    """At least one record of every action that needs no fault in the machine."""
    folder = tmp_path_factory.mktemp("schema")
    gate = start_fixed(lambda config, **options: Gate(folder, config, **options),
                       proxy={"max_handshakes_per_source": "0"})
    with hellos.connect(gate.port) as sock:
        sock.sendall(hellos.hello(suites=(0x002F,)))
        hellos.read_all(sock)
    with hellos.connect(gate.port) as sock:
        sock.sendall(hellos.hello(version=hellos.TLS11, suites=(0x002F,)))
        hellos.read_all(sock)
    with hellos.connect(gate.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        hellos.read_all(sock)
    subprocess.run(["curl", "-sS", "-o", os.devnull, "--cacert", gate.ca_path,
                    f"https://localhost:{gate.port}/hello.txt"], check=True, timeout=50)
    gate.wait_record(action="connection-closed")
    flood(gate)
    good = gate.config
    gate.reload()
    gate.write_config(good + "nonsense = 1\n")
    gate.reload()
    gate.write_config(good)
    gate.finish()
    with open(gate.audit_path, "ab") as audit:
        audit.write(b'{"@timest')
    gate = Gate(folder, good)
    gate.finish()
    return gate.all_records()


def test_what_is_written_is_valid(records):
    for record in records:
        VALIDATE(record)
    seen = {record["event"]["action"] for record in records}
    actions = SCHEMA["properties"]["event"]["properties"]["action"]["enum"]
    # Every gate's records are validated, also those of test_observe.py, test_clerk.py and
    # test_upgrade.py.
    assert set(actions) - seen == {"log-dropped", "log-rejected", "process-ended",
                                   "connection-observed", "proxy-upgraded", "upgrade-rejected"}


def worst_hellos():
    """Hellos that fill a record: long lists of known and unknown values, and a name to escape."""
    draw = random.Random(11)
    anything = range(65536)
    long_names = [0xCCA9, 0xC02B, 0xC0AC, 0x006B, 0xC024]
    for turn in range(24):
        def many(most, known):
            return [draw.choice(known if draw.random() < 0.8 else anything)
                    for _ in range(draw.choice((3, most // 8, most)))]
        yield hellos.client_hello(
            suites=many(2048, long_names), groups=many(6000, [0x001D, 0x11EC, 0x0100]),
            schemes=many(6000, [0x0403, 0x0804, 0x0201]), versions=many(127, [0x0303, 0x0302]),
            name=draw.choice(('"' * 240, "\\" * 250, "localhost")),
            alpn=["\u0001\x7f\u0080" * 60] * (1 + turn % 8), compression=b"\1\0")


def test_a_record_is_bounded_whatever_the_hello(start_fixed, tmp_path):
    """16 KiB and valid; what is left out is counted and has its hash."""
    gate = start_fixed(lambda config, **options: Gate(tmp_path, config, **options),
                       upstream=free_port())
    sent = []
    for message in worst_hellos():
        with hellos.connect(gate.port) as sock:
            with contextlib.suppress(OSError):  # the answer may come before all is sent
                sock.sendall(hellos.records(message))
            hellos.read_all(sock)
        sent.append(hashlib.sha256(message).hexdigest())
    gate.wait_record(action="connection-refused", count=len(sent))
    assert gate.stop() == 0
    lines = [line for line in gate.audit_path.read_bytes().splitlines(keepends=True)
             if b'"connection-refused"' in line]
    assert max(map(len, lines)) <= 16384
    cut = 0
    for line, digest in zip(lines, sent, strict=True):
        record = json.loads(line)
        VALIDATE(record)
        client = record["suitegate"].get("client")
        assert client, record["event"]["code"]
        cut += client.get("lists_cut", False)
        if "lists_cut" in client:
            assert client["offer"]["sha256"] == digest
            for name in ("groups", "signature_schemes", "weak_offers"):
                assert len(client[name]) <= client["offer"][name]
            assert len(record["tls"]["client"]["supported_ciphers"]) <= client["offer"]["suites"]
    assert 10 < cut < len(lines)


def test_order_of_keys_does_not_matter(records):
    for record in records:
        VALIDATE(dict(reversed(record.items())))


def of(records, action):
    return copy.deepcopy(next(r for r in records if r["event"]["action"] == action))


def change(record, path, value):
    """Sets the field; None removes it."""
    *folder, name = path.split(".")
    for step in folder:
        record = record[step]
    if value is None:
        del record[name]
    else:
        record[name] = value


@pytest.mark.parametrize("action, path, value", [
    ("connection-refused", "event.code", "client_nonsense"),
    ("connection-refused", "event.code", None),
    ("connection-refused", "event.reason", None),
    ("connection-refused", "suitegate.leg", None),
    ("connection-refused", "suitegate.blame", None),
    ("connection-refused", "suitegate.blame", "nobody"),
    ("connection-refused", "suitegate.downgrade", None),
    ("connection-refused", "event.outcome", "success"),
    ("connection-refused", "event.action", "connection-opened"),
    ("connection-refused", "source", None),
    ("connection-refused", "source.ip", "300.1.1.1"),
    ("connection-refused", "payload", "secret"),
    ("connection-refused", "suitegate.client.cookies", []),
    ("connection-opened", "event.code", "internal_error"),
    ("connection-opened", "suitegate.client.approved", ["TLS_RSA_WITH_RC4_128_SHA"]),
    ("connection-opened", "tls.client.ja4", "x13"),
    ("connection-opened", "tls.established", False),
    ("connection-opened", "tls.resumed", None),
    ("connection-opened", "suitegate.upstream.tls.server.not_after", "2026-13-01T00:00:00Z"),
    ("connection-closed", "suitegate.closed_by", None),
    ("connection-closed", "source.bytes", None),
    ("client-fallback-retry", "suitegate.client.previous_offer", None),
    ("connection-refused-repeated", "suitegate.repeated", None),
    ("connection-refused-repeated", "suitegate.repeated.count", 0),
    ("connection-refused-repeated", "source.port", 1),
    ("connection-refused", "source.port", None),
    ("log-checkpoint", "suitegate.log.signature", None),
    ("log-checkpoint", "suitegate.log.public_key", "no base 64!"),
    ("log-checkpoint", "suitegate.log.dropped", 1),
    ("log-repaired", "suitegate.log.torn_bytes", None),
    ("proxy-started", "source", {"ip": "127.0.0.1", "port": 1}),
    ("proxy-started", "event.sequence", 0),
    ("proxy-started", "event.hash", "F" * 64),
    ("proxy-started", "@timestamp", "2026-11-22 03:32:46"),
], ids=lambda v: v if isinstance(v, str) and len(v) < 40 else None)
def test_another_record_is_not_valid(records, action, path, value):
    record = of(records, action)
    assert valid(record)
    change(record, path, value)
    assert not valid(record)


def test_log_dropped_is_valid(records):
    record = of(records, "log-repaired")
    record["event"] |= {"action": "log-dropped", "type": ["error"]}
    record["log"]["level"] = "error"
    record["suitegate"]["log"] = {"sink": "unix:/dev/log", "dropped": 3}
    VALIDATE(record)
    del record["suitegate"]["log"]["sink"]
    assert not valid(record)


# ---- the index template -----------------------------------------------------------------

def test_index_template_has_the_fields_of_the_schema():
    fields = dict(schema_leaves(SCHEMA))
    mapped = dict(template_leaves(TEMPLATE["template"]["mappings"]))
    assert set(mapped) == set(fields)
    for name, kind in fields.items():
        mapping = mapped[name]
        assert mapping["type"] in FITTING[kind], name
        assert (mapping["type"] == "ip") == name.endswith((".ip", ".via")), name
        assert (mapping["type"] == "date") == \
            (name in ("@timestamp", "event.created") or
             name.endswith(("not_before", "not_after", "repeated.first", "repeated.last"))), name
        if mapping["type"] == "keyword":
            assert mapping.get("ignore_above") or mapping["index"] is False, name


# ---- logrotate and systemd --------------------------------------------------------------

def test_logrotate_takes_its_file(tmp_path):
    program = shutil.which("logrotate", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        pytest.skip("logrotate is not installed")
    path = shutil.copy(CONF / "logrotate", tmp_path)
    os.chmod(path, 0o644)
    done = subprocess.run([program, "--debug", "--state", tmp_path / "state", path],
                          capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr, done.stderr
    assert re.search(r"weekly.*\(52 rotations\)", done.stderr)  # on one line, with more from 3.22
    assert re.search(r"log files >= 524288000 are rotated earlier", done.stderr)


def test_logrotate_loses_nothing(tmp_path, make_fixed):
    """The file unchanged except for its path and the process that it signals."""
    program = shutil.which("logrotate", path=os.environ["PATH"] + ":/usr/sbin")
    if not program or os.geteuid() != 0:
        pytest.skip("logrotate is not installed, or this is not root")
    gate = make_fixed(upstream=free_port())
    text = (CONF / "logrotate").read_text().replace("/var/log/suitegate/audit.jsonl",
                                                   str(gate.audit_path), 2)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, script in (("systemctl", "exit 3"), ("pkill", f"kill -HUP {gate.pid}")):
        (bin_folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_folder / name).chmod(0o755)
    (tmp_path / "rotate.conf").write_text(text.replace("weekly", "su root root\n    weekly"))
    connections = 0
    for _ in range(4):
        for _ in range(20):
            with hellos.connect(gate.port) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                hellos.read_all(sock)
            connections += 1
        loaded = gate.audit_path.stat().st_ino
        subprocess.run([program, "--force", "--state", tmp_path / "state",
                        tmp_path / "rotate.conf"], check=True, timeout=50,
                       env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"})
        gate.wait_record(action="configuration-loaded")
        assert gate.audit_path.stat().st_ino != loaded
    gate.finish()
    done = subprocess.run(
        "zcat -f $(ls -rv audit.jsonl audit.jsonl.*) | tee all | $SUITEGATE log verify -",
        shell=True, cwd=tmp_path, env={**os.environ, "SUITEGATE": BINARY}, check=False,
        capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "all").read_text().count('"connection-refused"') == connections
    assert sorted(path.suffix for path in tmp_path.glob("audit.jsonl.*")) == \
        [".1", ".gz", ".gz", ".gz"]


def test_systemd_takes_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = (CONF / "suitegate.service").read_text()
    path = tmp_path / "suitegate.service"
    path.write_text(unit.replace("/usr/local/bin/suitegate ", f"{BINARY} "))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True,
                          text=True, check=False, timeout=50)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_unit_waits_longer_than_the_drain():
    default = re.search(r"^drain_timeout = (\d+)s$", (CONF / "suitegate.ini").read_text(), re.M)
    limit = re.search(r"^TimeoutStopSec=(\d+)$", (CONF / "suitegate.service").read_text(), re.M)
    assert int(limit.group(1)) > int(default.group(1))


def test_vector_file_is_toml():
    tomllib = pytest.importorskip("tomllib")
    vector = tomllib.loads((CONF / "vector.toml").read_text())
    for kind in ("sources", "transforms", "sinks"):
        assert vector[kind]
    known = {*vector["sources"], *vector["transforms"]}
    for part in (*vector["transforms"].values(), *vector["sinks"].values()):
        assert set(part["inputs"]) <= known
