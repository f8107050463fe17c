"""The key that signs the log changes every day: each one is announced, signed by the one before,
and the old one is wiped. `log verify` follows from the key that was noted first."""

import json
import os
import pathlib
import re
import shutil
import time

import pytest

from forgery import Forger, chained_again, with_head
from gate import run
from logs import (fault_of, intact, is_checkpoint, killed, lines_of, rotate, signature_holds,
                  verify, written_key)
from refusals import refuse_many
from scene import wait_until

DAY = 86400


def key_file(gate):
    return gate.audit_path.with_suffix(".key")


def next_file(gate):
    return gate.folder / "audit.key.next"


def age(path, seconds=DAY + 60):
    os.utime(path, (time.time() - seconds,) * 2)


def announcements(gate):
    return [r for r in gate.all_records() if r["suitegate"].get("log", {}).get("trigger") == "key"]


def key_id(note):
    return re.match(r"Key id: ([0-9a-f]{64})\n", note.read_text())[1]


def changed(make_log, times=1):
    """A gate whose key has changed so often, and the note of its first key."""
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    first = written_key(gate)
    for done in range(times):
        age(key_file(gate))
        gate = make_log()
        refuse_many(gate.port, 1)
        wait_until(lambda: len(announcements(gate)) > done and not next_file(gate).exists())
        refuse_many(gate.port, 1)
        gate.stop()
    return gate, first


def test_each_key_is_announced_by_the_one_before(make_log, tmp_path):
    gate, first = changed(make_log, times=3)
    report = intact(gate.audit_path, "--key", first)
    last = written_key(gate, "last.pem")
    assert report["key_changes"] == 3 and report["first_key_id"] == key_id(first)
    assert report["key_id"] == key_id(last) and report["unsigned_records"] == 0
    assert not any("another key" in note for note in report["notes"])
    assert intact(gate.audit_path)["key_changes"] == 3
    text = run("log", "verify", "--key", first, gate.audit_path).stdout
    assert f"key {key_id(first)} (given).\nThe key has changed 3 times, each announced by the " \
        f"one before; the last one is {key_id(last)}.\n" in text
    ids = [key_id(first)] + [r["suitegate"]["log"]["next_key_id"] for r in announcements(gate)]
    assert len(set(ids)) == 4 and ids[-1] == key_id(last)
    assert [r["suitegate"]["log"]["key_id"] for r in announcements(gate)] == ids[:3]
    assert signature_holds(announcements(gate)[0], first, tmp_path)
    assert signature_holds([r for r in gate.all_records() if is_checkpoint(r)][-1], last, tmp_path)


def test_a_young_key_stays(make_log):
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    first = written_key(gate)
    age(key_file(gate), DAY - 600)
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    assert not announcements(gate) and key_id(written_key(gate)) == key_id(first)


def test_it_changes_while_nothing_is_recorded(make_log):
    gate = make_log()
    gate.stop()
    age(key_file(gate), DAY - 3)
    gate = make_log()
    wait_until(lambda: announcements(gate))
    gate.stop()
    intact(gate.audit_path)


def test_the_old_key_is_wiped(make_log):
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    other_name = gate.folder / "the-same-file"
    os.link(key_file(gate), other_name)
    old = other_name.read_bytes()
    assert b"PRIVATE KEY" in old
    age(key_file(gate))
    gate = make_log()
    wait_until(lambda: announcements(gate) and not next_file(gate).exists())
    gate.stop()
    assert other_name.read_bytes() == bytes(len(old))
    assert key_file(gate).stat().st_mode & 0o777 == 0o600


def test_over_a_rotation(make_log):
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    first = written_key(gate)
    age(key_file(gate))
    gate = make_log()
    wait_until(lambda: announcements(gate))
    old = rotate(gate)
    refuse_many(gate.port, 2)
    gate.stop()
    assert intact(old, gate.audit_path, "--key", first)["key_changes"] == 1
    status, report = verify(gate.audit_path, "--key", first)
    assert status == 1 and "give the files since that key's time" in report["fault"]["sentence"]
    intact(gate.audit_path, "--key", written_key(gate, "later.pem"))


# ---- ended in between ----------------------------------------------------------------------------

def test_ended_after_the_announcement(make_log):
    """The next key has not taken the old one's place yet."""
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    first = written_key(gate)
    before = gate.folder / "before"
    shutil.copy(key_file(gate), before)
    age(key_file(gate))
    gate = make_log()
    wait_until(lambda: announcements(gate) and not next_file(gate).exists())
    killed(gate)
    key_file(gate).rename(next_file(gate))
    before.rename(key_file(gate))
    key_file(gate).write_bytes(bytes(100))  # it was just being wiped
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    assert not next_file(gate).exists()
    assert intact(gate.audit_path, "--key", first)["key_changes"] == 1


@pytest.mark.parametrize("content", ["a key", "half of it", "nothing"])
def test_ended_before_the_announcement(make_log, content, tmp_path):
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    first = written_key(gate)
    key = pathlib.Path(Forger(tmp_path).private).read_text()
    next_file(gate).write_text({"a key": key, "half of it": key[:60], "nothing": ""}[content])
    next_file(gate).chmod(0o600)
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    assert not next_file(gate).exists()
    assert intact(gate.audit_path, "--key", first)["key_changes"] == 0


# ---- what a thief can do -------------------------------------------------------------------------

def test_a_former_key_signs_nothing_later(make_log):
    """Its thief cannot go on where it ended: the log's end needs the key that was announced."""
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    first = written_key(gate)
    stolen = gate.folder / "stolen"
    shutil.copy(key_file(gate), stolen)
    stolen.chmod(0o600)
    age(key_file(gate))
    gate = make_log()
    wait_until(lambda: announcements(gate) and not next_file(gate).exists())
    gate.stop()
    key_file(gate).unlink()
    shutil.copy(stolen, key_file(gate))
    os.utime(key_file(gate))
    gate = make_log()
    refuse_many(gate.port, 1)
    gate.stop()
    kind, record, _ = fault_of(gate.audit_path, "--key", first)
    announced = announcements(gate)[0]["event"]["sequence"]
    assert kind == "changed" and record > announced
    report = verify(gate.audit_path)[1]  # no key is given
    assert any("signed with another key" in note for note in report["notes"])


def test_an_announcement_that_was_changed(make_log, tmp_path):
    gate, first = changed(make_log)
    forger = Forger(tmp_path)
    lines = lines_of(gate.audit_path)
    at = next(i for i, line in enumerate(lines) if b'"trigger":"key"' in line)
    log = json.loads(lines[at])["suitegate"]["log"]
    lines[at] = lines[at].replace(log["next_public_key"].encode(),
                                  forger.public.encode()).replace(
        log["next_key_id"].encode(), forger.id.encode())
    gate.audit_path.write_bytes(b"".join(chained_again(lines, sign=with_head)))
    kind, record, _ = fault_of(gate.audit_path, "--key", first)
    assert (kind, record) == ("changed", at + 1)
