"""Logs of several instances: verified together, each by itself, and one report says who saw what."""

import base64
import functools
import hashlib
import json
import random
import re
import shutil
import socket

import pytest

from forgery import Forger, chained_again, openssl
from gate import Gate, run
from logs import fault_of, hash_of, intact, lines_of, rotate, written_key
from refusals import refuse_many

NAMES = ("one", "two", "three.example.com")


class Instance:
    """refused: so many connections, half of them before its log was rotated."""

    def __init__(self, folder, start, name, refused):
        folder.mkdir()
        gate = start(functools.partial(Gate, folder), audit={"file": "audit.jsonl",
                                                             "instance": name})
        self.folder, self.name, self.refused = folder, name, refused
        self.key = written_key(gate)
        self.id = re.match(r"Key id: (\w+)\n", self.key.read_text())[1]
        refuse_many(gate.port, refused // 2)
        self.old = rotate(gate)
        refuse_many(gate.port, refused - refused // 2)
        gate.finish()
        self.live = gate.audit_path
        self.files = [self.old, self.live]

    def copied(self, folder):
        """One that a test can change."""
        shutil.copytree(self.folder, folder)
        twin = object.__new__(Instance)
        twin.__dict__.update(self.__dict__)
        twin.old, twin.live = folder / self.old.name, folder / self.live.name
        twin.folder, twin.files = folder, [twin.old, twin.live]
        return twin


@pytest.fixture(scope="module")
def base(tmp_path_factory, start_forward):
    folder = tmp_path_factory.mktemp("instances")
    return [Instance(folder / name, start_forward, name, 4 + 2 * i) for i, name in enumerate(NAMES)]


@pytest.fixture
def instances(base, tmp_path):
    return [one.copied(tmp_path / one.name) for one in base]


def files_of(instances):
    files = [file for one in instances for file in one.files]
    random.Random(7).shuffle(files)
    return files


def noted(folder, *keys):
    path = folder / "noted.pem"
    path.write_text("".join(key.read_text() for key in keys))
    return path


def by_name(report):
    logs = {log.get("instance"): log for log in report["logs"]}
    assert len(report["logs"]) == len(logs)
    return logs


def run_json(*arguments):
    done = run("log", "verify", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def write_state(file, sequence, line):
    file.with_suffix(".state").write_text(json.dumps(
        {"file": file.name, "sequence": sequence, "hash": hash_of(line).decode()}))


def test_each_log_is_verified_by_itself(base):
    report = intact(*files_of(base))
    assert report["complete"] is True and report["unused_keys"] == []
    logs = by_name(report)
    assert set(logs) == set(NAMES)
    for one in base:
        alone = intact(*one.files)
        assert alone.pop("unused_keys") == []
        assert logs[one.name] == alone
        assert (alone["instance"], alone["files"], alone["first_record"]) == (one.name, 2, 1)
        assert alone["records"] == alone["last_record"] == len(lines_of(*one.files))


def test_in_words(base):
    done = run("log", "verify", *files_of(base))
    assert done.returncode == 0
    for name in NAMES:
        assert re.search(rf"^LOG OF {re.escape(name)}\nINTACT: records 1 to \d+, complete and "
                         r"unaltered ", done.stdout, re.M)
    assert done.stdout.endswith("\n3 LOGS, 3 INTACT, 0 NOT INTACT.\n")


def test_every_log_needs_a_key_that_was_noted(base, tmp_path):
    keys = noted(tmp_path, *(one.key for one in base))
    logs = by_name(intact("--key", keys, *files_of(base)))
    assert {name: log["first_key_id"] for name, log in logs.items()} == {
        one.name: one.id for one in base}
    assert all(log["key_given"] for log in logs.values())
    status, report = run_json("--key", noted(tmp_path, base[0].key, base[2].key), *files_of(base))
    assert status == 1 and report["verdict"] == "not intact" and report["unused_keys"] == []
    logs = by_name(report)
    assert [logs[name]["verdict"] for name in NAMES] == ["intact", "not intact", "intact"]
    assert "another key" in logs["two"]["fault"]["sentence"]


def test_a_key_without_a_log_is_named(base, tmp_path):
    keys = noted(tmp_path, *(one.key for one in base))
    status, report = run_json("--key", keys, *base[1].files)
    assert (status, report["verdict"], report["complete"]) == (1, "not intact", False)
    assert report["unused_keys"] == [base[0].id, base[2].id]
    assert [log["verdict"] for log in report["logs"]] == ["intact"]
    done = run("log", "verify", "--key", keys, *base[1].files)
    assert done.returncode == 1 and f"NOT COMPLETE: no log here is signed with the key {base[0].id}" \
        in done.stdout


def test_the_key_of_one_does_not_sign_for_another(instances, tmp_path):
    """Whoever has the key of instance one cannot write the log of instance two."""
    one, two, _ = instances
    forger = Forger(tmp_path, "public_key", "key_id")
    private = openssl("pkey", "-in", one.folder / "audit.key")
    (tmp_path / "stolen").write_bytes(private)
    der = openssl("pkey", "-in", tmp_path / "stolen", "-pubout", "-outform", "DER")
    (tmp_path / "own.pub").write_bytes(openssl("pkey", "-in", tmp_path / "stolen", "-pubout"))
    forger.private = tmp_path / "stolen"
    forger.id, forger.public = hashlib.sha256(der).hexdigest(), base64.b64encode(der).decode()
    forger.said = {b"public_key": forger.public, b"key_id": forger.id}
    lines = lines_of(*two.files)
    at = len(lines_of(two.old))
    forged = chained_again(lines, sign=forger)
    two.old.write_bytes(b"".join(forged[:at]))
    two.live.write_bytes(b"".join(forged[at:]))
    (two.folder / "audit.state").unlink()
    intact("--key", tmp_path / "own.pub", *two.files)
    keys = noted(tmp_path, tmp_path / "own.pub", two.key)
    one_signed = chained_again(lines_of(*one.files), sign=forger)
    one.live.write_bytes(b"".join(one_signed))
    (one.folder / "audit.state").unlink()
    status, report = run_json("--key", keys, one.live, *two.files)
    assert (status, report["verdict"]) == (1, "not intact")
    assert report["unused_keys"] == [two.id]


def renamed_first(file, keep=None):
    """The first record's bytes are not proved by those after it: anybody can write another name."""
    lines = lines_of(file)[keep or 0:]
    lines[0] = re.sub(rb'"node":\{"name":"[^"]*"', b'"node":{"name":"uno"', lines[0])
    lines[0] = lines[0].replace(b'"key_id"', b'"key_ix"')
    file.write_bytes(b"".join(lines))


@pytest.mark.parametrize("state", [True, False])
def test_a_part_that_is_missing_is_not_hidden_by_another_name(instances, state):
    two = instances[1]
    if not state:
        (two.folder / "audit.state").unlink()
    renamed_first(two.live, keep=3)
    for files in (two.files, files_of(instances)):
        done = run("log", "verify", "--json", *files)
        assert done.returncode == 1
        report = json.loads(done.stdout)
        log = by_name(report)["two"] if "logs" in report else report
        assert log["fault"]["kind"] == "cut"


def test_nor_in_what_comes_through_a_pipe(instances):
    """Of which only the first line can be seen before it is read; and its key is a later one."""
    one, two, _ = instances
    forger = Forger(two.folder, "public_key", "key_id")
    lines = chained_again(lines_of(*two.files), sign=forger)
    lines = lines[len(lines_of(two.old)) + 3:]
    two.live.write_bytes(b"".join(lines))
    renamed_first(two.live)
    (two.folder / "audit.state").unlink()
    done = run("log", "verify", "--json", *one.files, two.old, "-", input=two.live.read_text())
    logs = json.loads(done.stdout)["logs"]
    assert done.returncode == 1
    fault = next(log["fault"] for log in logs if "fault" in log)
    assert fault["kind"] == "cut" and "the same instance's name" in fault["sentence"]


def test_a_later_part_without_a_checkpoint_is_no_log_of_its_own(instances):
    one, two, _ = instances
    lines = lines_of(two.live)
    part = two.folder / "part.jsonl"
    part.write_bytes(lines[-3])
    renamed_first(part)
    status, report = run_json(*one.files, part)
    fault = by_name(report)["uno"]["fault"]
    assert status == 1 and (fault["kind"], fault["file"]) == ("cut", str(part))
    assert "whose log this is" in fault["sentence"]


def test_a_log_that_only_its_state_file_knows_is_missing(instances):
    """Beside the files of another one."""
    one, two, _ = instances
    (one.folder / "other.jsonl").write_bytes(b"")
    last = lines_of(two.live)[-1]
    write_state(one.folder / "other.jsonl", json.loads(last)["event"]["sequence"], last)
    status, report = run_json(*one.files, one.folder / "other.jsonl")
    assert status == 1 and by_name(report)["one"]["verdict"] == "intact"
    assert by_name(report)[None]["fault"]["kind"] == "cut"


def test_a_fault_is_of_its_own_log(instances):
    one, two, three = instances
    lines = lines_of(two.live)
    two.live.write_bytes(b"".join(lines[:2] + lines[3:]))
    status, report = run_json(*files_of(instances))
    assert status == 1 and report["complete"] is False
    logs = by_name(report)
    assert logs[one.name]["verdict"] == logs[three.name]["verdict"] == "intact"
    fault = logs["two"]["fault"]
    assert (fault["kind"], fault["file"], fault["line"]) == ("removed", str(two.live), 3)
    done = run("log", "verify", *files_of(instances))
    assert done.returncode == 1 and "\n3 LOGS, 2 INTACT, 1 NOT INTACT.\n" in done.stdout


def test_a_file_that_is_missing_shows(instances):
    """One of three files: what is before it and behind it has the same name."""
    two = instances[1]
    lines = lines_of(two.live)
    later = two.folder / "later.jsonl"
    later.write_bytes(b"".join(lines[3:]))
    (two.folder / "audit.state").unlink()
    two.live.unlink()
    two.files = [two.old, later]
    status, report = run_json(*files_of(instances))
    fault = by_name(report)["two"]["fault"]
    assert status == 1 and (fault["kind"], fault["file"]) == ("cut", str(later))
    assert len(report["logs"]) == 3


def test_a_cut_end_shows_by_the_state_file_beside_it(instances):
    two = instances[1]
    two.live.write_bytes(b"".join(lines_of(two.live)[:-2]))
    status, report = run_json(*files_of(instances))
    assert status == 1 and by_name(report)["two"]["fault"]["kind"] == "cut"
    # The same if the live file has no record at all.
    two.live.write_bytes(b"")
    status, report = run_json(*files_of(instances))
    assert status == 1 and by_name(report)["two"]["fault"]["kind"] == "cut"


def test_an_empty_live_file_is_of_the_log_beside_it(instances):
    two = instances[1]
    two.old.write_bytes(two.old.read_bytes() + two.live.read_bytes())
    two.live.write_bytes(b"")
    logs = by_name(intact(*files_of(instances)))
    assert logs["two"]["records"] == len(lines_of(two.old))


@pytest.fixture
def renamed(tmp_path, start_forward):
    """One log; its instance got another name. (files before, since)"""
    folder = tmp_path / "renamed"
    folder.mkdir()
    gate = start_forward(functools.partial(Gate, folder), audit={"file": "audit.jsonl",
                                                                 "instance": "former"})
    refuse_many(gate.port, 3)
    gate.finish()
    gate = start_forward(functools.partial(Gate, folder), audit={"file": "audit.jsonl",
                                                                 "instance": "later"})
    refuse_many(gate.port, 3)
    gate.finish()
    lines = lines_of(gate.audit_path)
    at = next(i for i, line in enumerate(lines) if b'"name":"later"' in line)
    (folder / "audit.state").unlink()
    gate.audit_path.unlink()
    return folder, lines, at


def parts(folder, *contents):
    paths = []
    for i, lines in enumerate(contents):
        path = folder / f"part{i}.jsonl"
        path.write_bytes(b"".join(lines))
        paths.append(path)
    return paths


def test_a_log_may_change_its_name(renamed):
    folder, lines, at = renamed
    for cut in (at - 1, at, at + 2):
        report = intact(*reversed(parts(folder, lines[:cut], lines[cut:])))
        assert (report["files"], report["records"]) == (2, len(lines))
        assert report["notes"] == [f"From record {at + 1} on the instance is called later."]
        assert report["instance"] == "later"


def unsigned(lines):
    """As anybody can write them."""
    return chained_again([line for line in lines if b'"action":"log-checkpoint"' not in line])


def test_a_log_without_a_key_may_change_its_name(renamed):
    folder, lines, _ = renamed
    lines = unsigned(lines)
    at = next(i for i, line in enumerate(lines) if b'"name":"later"' in line)
    report = intact(*reversed(parts(folder, lines[:at], lines[at:])))
    assert (report["files"], report["records"], report["chains"]) == (2, len(lines), 1)


def test_a_state_file_that_comes_late_counts(renamed):
    """A log with a state file has one chain. Here the state lies beside a file with another name."""
    folder, lines, at = renamed
    first, second = unsigned(lines[:4]), unsigned(lines[2:])
    cut = next(i for i, line in enumerate(second) if b'"name":"later"' in line)
    files = parts(folder, first, second[:cut], second[cut:])
    assert intact(*files)["chains"] == 2
    sequence = json.loads(second[-1])["event"]["sequence"]
    write_state(files[2], sequence, second[-1])
    assert fault_of(*files)[:2] == ("inserted", 1)
    files = parts(folder, second[:cut], second[cut:])
    write_state(files[1], sequence, second[-2])
    assert fault_of(*files)[:2] == ("changed", sequence)


def test_an_empty_live_file_after_the_name_changed(renamed, instances):
    """It is of the log that ends with the record of its state file."""
    folder, lines, at = renamed
    files = parts(folder, lines[:at], lines[at:], [])
    files = [files[0].rename(folder / "audit.jsonl.2"), files[1].rename(folder / "audit.jsonl.1"),
             files[2].rename(folder / "audit.jsonl")]
    sequence = json.loads(lines[-1])["event"]["sequence"]
    write_state(files[2], sequence, lines[-1])
    for more in ([], files_of(instances)):
        report = intact(*more, *files)
        log = report if not more else by_name(report)["later"]
        assert (log["files"], log["records"]) == (2, len(lines))
    write_state(files[2], sequence, lines[-2])
    assert fault_of(*files)[:2] == ("changed", sequence)
    write_state(files[2], sequence + 1, lines[-1])
    assert fault_of(*files)[:2] == ("cut", sequence + 1)


def test_a_file_that_is_missing_where_the_name_changed_shows_by_the_key(renamed):
    folder, lines, at = renamed
    files = parts(folder, lines[:at - 2], lines[at + 1:])
    assert fault_of(*files)[:2] == ("cut", at - 1)


def test_the_report_says_who_saw_what(base):
    files = files_of(base)
    done = run("log", "report", "--json", *files)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = {row["name"]: (row["refused"], row["records"]) for row in report["instances"]}
    assert found == {one.name: (one.refused, len(lines_of(*one.files))) for one in base}
    assert sum(records for _, records in found.values()) == report["records"]
    words = run("log", "report", *files).stdout
    page = run("log", "report", "--html", *files).stdout
    for one in base:
        assert f"{one.name}: {found[one.name][1]} records, 0 attempts allowed, {one.refused} refused" \
            in words
        assert f"<tr><td>{one.name}</td><td class=\"n\">{found[one.name][1]}</td>" in page
    assert "INSTANCES" not in run("log", "report", *base[0].files).stdout


def test_the_default_name_is_the_hosts(make_forward):
    gate = make_forward()
    refuse_many(gate.port, 1)
    assert gate.wait_record(action="connection-refused")["service"] == {
        "node": {"name": socket.gethostname()}}
