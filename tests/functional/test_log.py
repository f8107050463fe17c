"""The audit log as evidence: its chain, its signatures, who may write it, and the result of a
rotation."""

import base64
import collections
import gzip
import hashlib
import json
import signal
import subprocess
import threading
import time

import pytest

from gate import StartError, run
from logs import (LIMIT, SEALED, check_chain, intact, is_checkpoint, lines_of, rotate,
                  signature_holds, written_key)
from pki import openssl
from refusals import Load, refuse, refuse_many, sources
from scene import at, wait_until


# ---- the chain -------------------------------------------------------------------------------

def test_anybody_can_recompute_the_chain_over_rotations_and_restarts(make_log):
    gate = make_log()
    refuse_many(gate.port, 5)
    first = rotate(gate)
    refuse_many(gate.port, 5)
    gate.stop()
    gate = make_log()
    refuse_many(gate.port, 5)
    second = rotate(gate, "audit.jsonl.2")
    gate.stop()
    assert check_chain(first, second, gate.audit_path) > 15 + 10
    assert sources(lines_of(first, second, gate.audit_path)).total() == 15


def test_each_record_names_its_own_number_and_hash(make_log):
    """The envelope is not only at the end of the line: it is in the record."""
    gate = make_log()
    gate.stop()
    for number, (line, record) in enumerate(zip(lines_of(gate.audit_path), gate.all_records()), 1):
        assert record["event"]["sequence"] == number
        assert record["event"]["hash"].encode() == SEALED.fullmatch(line[:-1]).group(3)


def test_another_file_has_another_chain(make_log, tmp_path):
    gate = make_log()
    refuse_many(gate.port, 3)
    gate.write_config(gate.config.replace("audit.jsonl", "other.jsonl"))
    gate.reload()
    gate.stop()
    for name in ("audit.jsonl", "other.jsonl"):
        check_chain(tmp_path / name)
        assert json.loads(lines_of(tmp_path / name)[-1])["event"]["action"] == "log-checkpoint"
        intact(tmp_path / name)


# ---- checkpoints ----------------------------------------------------------------------------

def checkpoints(gate):
    """(trigger, number of the line, number of the line it names)."""
    return [(at(r, "suitegate.log.trigger"), r["event"]["sequence"],
             at(r, "suitegate.log.head_sequence")) for r in gate.all_records() if is_checkpoint(r)]


def test_a_start_a_rotation_and_a_stop_are_signed(make_log, tmp_path):
    gate = make_log()
    key = written_key(gate)
    refuse_many(gate.port, 3)
    old = rotate(gate)
    gate.stop()
    records = [json.loads(line) for line in lines_of(old, gate.audit_path)]
    actions = [record["event"]["action"] for record in records]
    assert actions == ["proxy-started", "log-checkpoint", *["connection-refused"] * 3,
                       "log-checkpoint", "log-checkpoint", "configuration-loaded",
                       "proxy-stopped", "log-checkpoint"]
    assert len(lines_of(old)) == 6, "a file ends and begins with its checkpoint"
    signed = [record for record in records if is_checkpoint(record)]
    assert [at(record, "suitegate.log.trigger") for record in signed] == [
        "start", "rotation", "rotation", "stop"]
    for record in signed:
        assert signature_holds(record, key, tmp_path)
        before = records[record["event"]["sequence"] - 2]["event"]
        assert (at(record, "suitegate.log.head_sequence"),
                at(record, "suitegate.log.head_hash")) == (before["sequence"], before["hash"])
    strange = {**signed[0], "@timestamp": signed[0]["@timestamp"].replace("Z", "+")}
    assert not signature_holds(strange, key, tmp_path)


def test_the_key_id_is_the_digest_of_the_public_key(make_log):
    gate = make_log()
    key = written_key(gate)
    der = openssl("pkey", "-pubin", "-in", key, "-outform", "DER")
    assert key.read_text().startswith(f"Key id: {hashlib.sha256(der).hexdigest()}\n")
    record = next(filter(is_checkpoint, gate.all_records()))
    assert at(record, "suitegate.log.key_id") == hashlib.sha256(der).hexdigest()
    assert base64.b64decode(at(record, "suitegate.log.public_key")) == der
    assert openssl("pkey", "-in", gate.folder / "audit.key", "-pubout", "-outform", "DER") == der


def test_after_a_thousand_records_there_is_a_checkpoint(make_log):
    gate = make_log()
    refuse_many(gate.port, LIMIT - 1)
    assert [trigger for trigger, _, _ in checkpoints(gate)] == ["start"]
    refuse_many(gate.port, 2)
    wait_until(lambda: len(checkpoints(gate)) == 2)
    gate.stop()
    # Record 2 is the first one; 1000 follow.
    assert checkpoints(gate)[1] == ("interval", LIMIT + 3, LIMIT + 2)
    assert check_chain(gate.audit_path) == LIMIT + 6
    assert intact(gate.audit_path)["unsigned_records"] == 0


def test_the_log_key_is_for_its_owner_and_stays(make_log):
    gate = make_log()
    key = gate.folder / "audit.key"
    before = key.read_bytes(), key.stat().st_ino
    assert key.stat().st_mode & 0o7777 == 0o600
    gate.stop()
    gate = make_log()
    gate.stop()
    assert (key.read_bytes(), key.stat().st_ino) == before
    assert len({at(r, "suitegate.log.key_id") for r in gate.all_records() if is_checkpoint(r)}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_log_key_that_others_can_read_is_refused(make_log, mode):
    gate = make_log()
    gate.stop()
    before = gate.audit_path.read_bytes()
    (gate.folder / "audit.key").chmod(mode)
    with pytest.raises(StartError, match=r"(?s)^exit 2\n.*audit\.key .*chmod 600"):
        make_log()
    assert gate.audit_path.read_bytes() == before
    done = run("log", "key", "-c", gate.config_path)
    assert done.returncode == 2 and "chmod 600" in done.stderr and done.stdout == ""


def test_the_log_key_can_be_elsewhere(make_log, tmp_path):
    (tmp_path / "keys").mkdir()
    gate = make_log(audit={"key": "keys/log.pem"})
    key = written_key(gate)
    gate.stop()
    assert (tmp_path / "keys" / "log.pem").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "audit.key").exists()
    assert intact("--key", key, gate.audit_path)["checkpoints"] == 2


def test_standard_output_without_a_key_is_chained_and_not_signed(make_forward):
    gate = make_forward(audit={"file": "-"})
    refuse_many(gate.port, 3)
    gate.stop()
    assert check_chain(gate.stdout_path) == 5
    report = intact("-", input=gate.stdout)
    assert report["checkpoints"] == 0 and "Nothing is signed" in report["does_not_show"][0]
    done = run("log", "key", "-c", gate.config_path)
    assert done.returncode == 2 and "no key" in done.stderr and done.stdout == ""


def test_standard_output_with_a_key_is_signed(make_forward):
    gate = make_forward(audit={"file": "-", "key": "log.key"})
    refuse_many(gate.port, 3)
    gate.stop()
    assert [trigger for trigger, _, _ in checkpoints(gate)] == ["start", "stop"]
    assert intact("--key", written_key(gate), "-", input=gate.stdout)["signed_up_to"] == 6


def test_standard_output_begins_a_new_chain_at_each_start(make_forward):
    """As a journal keeps it: one after the other."""
    text = ""
    for _ in range(2):
        gate = make_forward(audit={"file": "-"})
        refuse_many(gate.port, 3)
        gate.stop()
        text += gate.stdout
    report = intact("-", input=text)
    assert report["records"] == 10 and "A new chain begins" in report["notes"][0]
    assert "line 6" in report["notes"][0]


# ---- one log, one process --------------------------------------------------------------------

@pytest.mark.parametrize("way", ["the same path", "a link", "a path that was rotated away"])
def test_two_processes_cannot_write_one_log(make_log, tmp_path, way):
    gate = make_log()
    path, kept = gate.audit_path, gate.audit_path
    if way == "a link":
        path = tmp_path / "link.jsonl"
        path.hardlink_to(gate.audit_path)
    if way == "a path that was rotated away":
        kept = gate.audit_path.rename(tmp_path / "audit.jsonl.1")
    before = kept.read_bytes()
    (tmp_path / "second").mkdir()
    with pytest.raises(StartError, match="(?s)^exit 2\n.*another process is writing this log"):
        make_log(audit={"file": path}, options={"folder": tmp_path / "second"})
    assert kept.read_bytes() == before
    refuse_many(gate.port, 3)
    gate.stop()
    assert check_chain(kept) == 7
    intact(kept)


@pytest.mark.parametrize("name", ["audit.log", "./audit.jsonl"])
def test_no_other_process_is_blamed_for_a_log_of_our_own(make_log, name):
    """audit.log would share the state and key of audit.jsonl; the other path is the same file."""
    gate = make_log()
    gate.write_config(gate.config.replace("audit.jsonl", name))
    gate.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration re" in gate.stderr)
    assert "another process" not in gate.stderr


@pytest.mark.parametrize("copy", ["audit.jsonl", "./audit.jsonl", "audit.state", "audit.key"])
def test_a_copy_that_is_the_log_itself_is_refused(make_log, copy):
    make_log().stop()
    with pytest.raises(StartError, match=r"(?s)^exit 2\n.*is written already"):
        make_log(audit={"copy": copy})


# ---- logrotate -------------------------------------------------------------------------------

LOGROTATE = """{file} {{
    su root root
    rotate 9
    nocreate
    compress
    delaycompress
    postrotate
        kill -HUP {pid}
    endscript
}}
"""


def test_logrotate_under_load_leaves_one_chain(make_log, tmp_path):
    gate = make_log()
    live = gate.audit_path
    config = tmp_path / "logrotate.conf"
    config.write_text(LOGROTATE.format(file=live, pid=gate.pid))
    config.chmod(0o644)
    with Load(gate.port, pause=0.001) as load:
        for _ in range(3):
            time.sleep(0.1)
            done = subprocess.run(["/usr/sbin/logrotate", "--force", "--state",
                                   tmp_path / "logrotate.state", config], capture_output=True,
                                  text=True, timeout=50, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            wait_until(lambda: live.exists() and live.stat().st_size)
    gate.stop()
    packed = [tmp_path / f"audit.jsonl.{n}.gz" for n in (3, 2)]
    last = tmp_path / "audit.jsonl.1"
    text = subprocess.run(["zcat", *packed], capture_output=True, text=True, check=True).stdout
    report = intact("--key", written_key(gate), "-", live, last, input=text)
    assert (report["files"], report["first_record"], report["unsigned_records"]) == (3, 1, 0)
    for path in packed:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    files = [tmp_path / f"audit.jsonl.{n}" for n in (3, 2, 1)] + [live]
    assert check_chain(*files) == report["records"]
    assert sources(lines_of(*files)) == collections.Counter(load.answered)
    assert len(load.answered) > 50


# ---- starts and reloads ---------------------------------------------------------------------

@pytest.mark.parametrize("workers", [2, 8])
def test_a_start_under_load_is_in_order(make_forward, workers):
    """proxy-started comes before every connection, however early that came."""
    gate = make_forward(proxy={"workers": workers})
    options = {"proxy": {"workers": workers}, "listen": {"address": f"127.0.0.1:{gate.port}"}}
    with Load(gate.port, clients=1, pause=0.001):
        gate.stop()
    for _ in range(4):
        stop = threading.Event()

        def knock():
            while not stop.is_set():
                try:
                    refuse(gate.port)
                except (OSError, ValueError):
                    time.sleep(0.0005)

        threads = [threading.Thread(target=knock) for _ in range(4)]
        for thread in threads:
            thread.start()
        gate_again = make_forward(**options)
        stop.set()
        for thread in threads:
            thread.join()
        gate_again.stop()
    intact(gate.audit_path)
    actions = [r["event"]["action"] for r in gate.records()]
    for number, action in enumerate(actions):
        if action == "proxy-started":
            assert number == 0 or actions[number - 1] == "proxy-stopped"


def test_a_reload_to_another_log_and_back_is_no_crash(make_log):
    gate = make_log()
    refuse_many(gate.port, 2)
    there, back = gate.config.replace("audit.jsonl", "other.jsonl"), gate.config
    gate.write_config(there)
    gate.reload()
    gate.write_config(back)
    gate.reload()
    refuse_many(gate.port, 2)
    gate.stop()
    report = intact(gate.audit_path)
    assert report["notes"] == [] and report["unsigned_records"] == 0


def test_a_new_chain_says_nothing_of_how_the_one_before_it_ended(make_forward):
    """A process that was killed is told of where its own chain goes on, and only there."""
    first = make_forward(audit={"file": "-"})
    refuse_many(first.port, 3)
    first.expected_exit = -signal.SIGKILL
    first.kill()
    text = first.stdout
    second = make_forward(audit={"file": "-"})
    second.stop()
    notes = intact("-", input=text + second.stdout)["notes"]
    assert len(notes) == 1 and "A new chain begins" in notes[0], notes
