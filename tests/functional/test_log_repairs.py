"""The audit log after a kill or a stop, with or without changes by somebody: no answered event is
lost, and a repair is recorded."""

import collections
import json
import re
import socket
import time

import pytest

from forgery import sealed
from gate import StartError
from logs import (LIMIT, SEALED, check_chain, fault_of, hash_of, intact, killed, lines_of, verify,
                  written_key)
from refusals import Load, refuse_many, sources
from scene import wait_until


def last_repair(gate):
    """(message, suitegate.log) of the last record about a repair."""
    def repairs():
        return [line for line in lines_of(gate.audit_path) if b'"action":"log-repaired"' in line]

    wait_until(repairs, what="a repair")  # a gate that is ready may not have written it yet
    record = json.loads(repairs()[-1])
    return record["message"], record["suitegate"].get("log", {})


# ---- nothing is lost -------------------------------------------------------------------------

def test_no_answered_refusal_is_lost_by_kills_under_load(make_log):
    answered = []
    for turn in range(5):
        gate = make_log(proxy={"workers": 2})
        with Load(gate.port, clients=4) as load:
            time.sleep(0.2 + 0.02 * turn)
            wait_until(lambda: len(load.answered) > 20, what="the load")
            killed(gate)
        answered += load.answered
    gate = make_log()
    gate.stop()
    check_chain(gate.audit_path)
    report = intact("--key", written_key(gate), gate.audit_path)
    assert sum("without its last word" in note for note in report["notes"]) == 5
    have = sources(lines_of(gate.audit_path))
    assert not collections.Counter(answered) - have, "a record is lost"
    assert have.total() <= len(answered) + 5 * 4, "a record is there twice"


def test_a_kill_while_nothing_is_written_leaves_nothing_to_repair(make_log):
    gate = make_log()
    refuse_many(gate.port, 5)
    state = gate.folder / "audit.state"
    last = gate.all_records()[-1]["event"]
    wait_until(lambda: json.loads(state.read_text())["sequence"] == last["sequence"] == 7)
    assert json.loads(state.read_text())["hash"] == last["hash"]
    killed(gate)
    gate = make_log()
    gate.stop()
    assert gate.matching(action="log-repaired") == []
    notes = intact(gate.audit_path)["notes"]
    assert len(notes) == 1 and "records before 8 ended without its last word" in notes[0]
    assert "5 of them were not signed" in notes[0]


def test_a_torn_last_line_is_taken_out_and_kept_in_a_record(make_log):
    gate = killed(make_log())
    whole = gate.audit_path.read_bytes()
    torn = lines_of(gate.audit_path)[0][:333]
    gate.audit_path.write_bytes(whole + torn)
    assert any("not complete" in note for note in intact(gate.audit_path)["notes"])
    gate = make_log()
    gate.stop()
    message, log = last_repair(gate)
    assert "cut short at 333 bytes" in message
    assert (log["torn_bytes"], log["torn"]) == (333, torn.decode())
    assert gate.audit_path.read_bytes().startswith(whole + b'{"@timestamp"')
    check_chain(gate.audit_path)
    report = intact(gate.audit_path)
    assert "Record 4 tells of a repair: see its message." in report["notes"]


@pytest.mark.parametrize("ending", [b"", b"\n"], ids=["half a line", "a line"])
def test_what_somebody_else_has_written_behind_the_end_stays_and_shows(make_log, ending):
    gate = make_log()
    gate.stop()
    whole = gate.audit_path.read_bytes()
    gate.audit_path.write_bytes(whole + b"not of this log" + ending)
    gate = make_log()
    gate.stop()
    message, log = last_repair(gate)
    assert "is no record of this log" in message or "none of this log" in message
    assert "torn" not in log
    assert gate.audit_path.read_bytes().startswith(whole + b"not of this log\n{")
    assert fault_of(gate.audit_path) == ("inserted", 5, 5)


def test_an_end_that_was_cut_off_while_it_was_stopped_is_recorded(make_log):
    gate = make_log()
    refuse_many(gate.port, 4)
    gate.stop()  # 2 + 4 + 2 records
    gate.audit_path.write_bytes(b"".join(lines_of(gate.audit_path)[:5]))
    assert fault_of(gate.audit_path) == ("cut", 6, None)
    gate = make_log()
    message, log = last_repair(gate)
    assert (log["missing_from"], log["missing_to"]) == (6, 8)
    assert "Records 6 to 8 were written and are not in the file" in message
    assert "Records 6 to 8" in gate.stderr
    gate.stop()
    assert fault_of(gate.audit_path) == ("removed", 6, 6)
    assert gate.all_records()[5]["event"]["sequence"] == 9


def test_another_last_record_than_the_one_written_is_recorded(make_log):
    gate = make_log()
    gate.stop()
    lines = lines_of(gate.audit_path)
    lines[3] = sealed(lines[3].replace(b"signed up", b"Signed up"), hash_of(lines[2]), 4)
    gate.audit_path.write_bytes(b"".join(lines))
    gate = make_log()
    assert "Record 4 is not the one that was written" in last_repair(gate)[0]
    gate.stop()
    status, report = verify(gate.audit_path)
    assert status == 1 and report["fault"]["kind"] == "changed"


def test_records_behind_the_written_end_are_told_of(make_log):
    """A forged line with a matching hash; it could be the end of a killed process."""
    gate = make_log()
    gate.stop()
    last = lines_of(gate.audit_path)[-1]
    with open(gate.audit_path, "ab") as audit:
        audit.write(sealed(lines_of(gate.audit_path)[2], hash_of(last), 5))
    gate = make_log()
    assert "Records 5 to 5 are in the file and not in the state" in last_repair(gate)[0]
    gate.stop()
    assert "Record 7 tells of a repair: see its message." in intact(gate.audit_path)["notes"]


@pytest.mark.parametrize("text", [None, "", "{}\n"], ids=["deleted", "empty", "garbage"])
def test_a_state_file_that_is_gone_is_told_of(make_log, text):
    gate = make_log()
    refuse_many(gate.port, 3)
    gate.stop()
    state = gate.folder / "audit.state"
    state.unlink()
    if text is not None:
        state.write_text(text)
    gate = make_log()
    assert "There was no state file" in last_repair(gate)[0]
    gate.stop()
    assert check_chain(gate.audit_path) == 7 + 5
    intact(gate.audit_path)
    assert json.loads(state.read_text())["sequence"] == 12


def test_a_file_that_is_deleted_while_it_is_written_is_made_anew(make_log):
    gate = make_log()
    refuse_many(gate.port, 3)
    gate.audit_path.unlink()
    refuse_many(gate.port, 2)
    message, _ = last_repair(gate)
    assert "deleted while it was written" in message and "up to 5." in message
    gate.stop()
    assert [r["event"]["sequence"] for r in gate.all_records()] == list(range(6, 12))
    assert sources(lines_of(gate.audit_path)).total() == 2
    report = intact(gate.audit_path)
    assert any("Records 1 to 5 are not" in line for line in report["does_not_show"])


@pytest.mark.parametrize("keep", [True, False], ids=["rotated", "deleted"])
def test_the_chain_outlives_its_file_while_it_is_stopped(make_log, keep):
    gate = make_log()
    gate.stop()
    old = gate.audit_path.with_name("audit.jsonl.1")
    gate.audit_path.rename(old)
    if not keep:
        old.unlink()
    gate = make_log()
    gate.stop()
    assert [r["event"]["sequence"] for r in gate.all_records()] == [5, 6, 7, 8]
    assert gate.matching(action="log-repaired") == []
    if keep:
        check_chain(old, gate.audit_path)
        assert intact(old, gate.audit_path)["records"] == 8


def test_a_kill_just_before_a_checkpoint_is_due_is_no_removal(make_log):
    """999 records are unsigned; with a repair and the start there are more than a thousand."""
    gate = make_log()
    refuse_many(gate.port, LIMIT - 1)
    killed(gate)
    (gate.folder / "audit.state").unlink()
    gate = make_log()
    gate.stop()
    assert len(gate.matching(action="log-repaired")) == 1
    check_chain(gate.audit_path)
    intact(gate.audit_path)


def test_how_many_records_a_kill_left_unsigned_is_told(make_log):
    """Also if the next process has repaired and signed, and then could not listen."""
    gate = make_log()
    refuse_many(gate.port, 4)
    killed(gate)
    (gate.folder / "audit.state").unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match="cannot listen"):
            make_log(listen={"address": address})
    gate = make_log()
    gate.stop()
    notes = [note for note in intact(gate.audit_path)["notes"] if "last word" in note]
    assert len(notes) == 1
    assert int(re.search(r"([0-9]+) of them were not signed", notes[0])[1]) in (0, 4), notes


@pytest.mark.parametrize("shorter", [0, 1, 5])
def test_a_kill_between_a_rename_and_its_signal_uses_no_number_twice(make_log, shorter):
    """The state may be older than the renamed file, which is found by its inode."""
    gate = make_log()
    refuse_many(gate.port, 8)
    state = gate.audit_path.with_name("audit.state")
    killed(gate)
    if shorter:  # as if killed between the write and the state
        line = lines_of(gate.audit_path)[-1 - shorter]
        number, digest_ = SEALED.fullmatch(line[:-1]).group(2, 3)
        text = state.read_text()
        text = re.sub(r'"sequence":\d+,"hash":"[0-9a-f]+"',
                      f'"sequence":{number.decode()},"hash":"{digest_.decode()}"', text)
        with open(state, "r+") as file:
            file.write(f"{text.rstrip():<2047}\n"[:2048])
    old = gate.audit_path.with_name("audit.jsonl.1")
    gate.audit_path.rename(old)
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    check_chain(old, gate.audit_path)
    intact(old, gate.audit_path)


def test_a_start_that_fails_keeps_what_it_would_repair(make_log):
    gate = make_log()
    killed(gate)
    torn = b'{"@timestamp":"2026-11-22T00:00:00.000Z","ecs"'
    with open(gate.audit_path, "ab") as file:
        file.write(torn)
    key = gate.audit_path.with_name("audit.key")
    key.chmod(0o644)
    with pytest.raises(StartError):
        make_log()
    assert gate.audit_path.read_bytes().endswith(torn)
    key.chmod(0o600)
    gate = make_log()
    assert last_repair(gate)[1]["torn"].encode() == torn
    gate.stop()
    intact(gate.audit_path)
