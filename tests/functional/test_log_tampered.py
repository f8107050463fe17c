"""`suitegate log verify` on a log: whole, in parts, and after changes with an editor."""

import functools
import json
import re
import shutil
import time

import pytest

from forgery import Forger, chained_again, make_key, sealed, with_head
from gate import Gate, run
from logs import (LIMIT, SEALED, ZEROS, digest, fault_of, hash_of, intact, lines_of, rotate, verify,
                  written_key)
from refusals import Load, refuse_many

USAGE = 64

# The base log: the numbers of its checkpoints, of the last record in its old file, of all records.
CHECKPOINTS, OLD, ALL = [2, 13, 14, 23, 24, 31], 13, 31


# ---- the base log: made once, verified whole, in parts, and after each kind of tampering -----

class Base:
    """old has records 1 to 13, live 14 to 31; lines has all of them, key is the noted key."""

    def __init__(self, folder, start):
        make = functools.partial(Gate, folder)
        gate = start(make)
        self.key = written_key(gate)
        refuse_many(gate.port, 10)
        self.old = rotate(gate)
        refuse_many(gate.port, 6)
        gate.finish()
        gate = start(make)
        refuse_many(gate.port, 4)
        gate.finish()
        self.live, self.state = gate.audit_path, folder / "audit.state"
        self.lines = lines_of(self.old, self.live)
        assert [n for n, line in enumerate(self.lines, 1)
                if b'"action":"log-checkpoint"' in line] == CHECKPOINTS
        assert (len(lines_of(self.old)), len(self.lines)) == (OLD, ALL)


@pytest.fixture(scope="module")
def base(tmp_path_factory, start_forward):
    return Base(tmp_path_factory.mktemp("base"), start_forward)


def test_an_intact_log_is_intact(base):
    report = intact(base.old, base.live)
    assert (report["files"], report["records"], report["first_record"], report["last_record"],
            report["checkpoints"], report["signed_up_to"], report["unsigned_records"],
            report["key_given"], report["notes"]) == (2, ALL, 1, ALL, 6, 30, 0, False, [])
    assert report["first_time"] == json.loads(base.lines[0])["@timestamp"]
    assert report["last_time"] == json.loads(base.lines[-1])["@timestamp"]
    assert base.key.read_text().startswith(f"Key id: {report['key_id']}\n")
    assert intact("--key", base.key, base.old, base.live)["key_given"] is True


def test_the_verdict_in_words(base, tmp_path):
    done = run("log", "verify", base.old, base.live)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("INTACT: records 1 to 31, complete and unaltered (")
    assert "Signed up to record 30 by 6 checkpoints" in done.stdout
    assert "compare its id with the one you noted" in done.stdout
    given = run("log", "verify", "--key", base.key, base.old, base.live).stdout
    assert "(given)" in given and "compare its id" not in given
    (tmp_path / "log").write_bytes(b"".join(base.lines[:6] + base.lines[7:]))
    done = run("log", "verify", tmp_path / "log")
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.startswith("NOT INTACT: removed at record 7 (")
    assert "log line 7): record 7 is missing" in done.stdout


def test_the_order_of_the_files_does_not_matter(base):
    assert intact(base.live, base.old) == intact(base.old, base.live)


def test_standard_input_is_a_file_as_well(base):
    done = intact("-", base.live, input=base.old.read_text())
    assert (done["files"], done["records"]) == (2, ALL)
    assert intact("-", input=b"".join(base.lines).decode())["records"] == ALL


def test_a_rotated_file_alone_is_intact(base):
    report = intact("--key", base.key, base.old)
    assert (report["first_record"], report["last_record"]) == (1, OLD)


def test_a_rotated_file_with_a_date_in_its_name_is_intact(base, tmp_path):
    """logrotate's dateext names: the state beside the file is the live file's."""
    dated = tmp_path / "audit.jsonl-20261122"
    shutil.copy(base.old, dated)
    shutil.copy(base.state, tmp_path)
    assert intact(dated)["last_record"] == OLD


def test_a_file_without_those_before_it_says_what_is_not_there(base):
    report = intact("--key", base.key, base.live)
    assert (report["first_record"], report["last_record"]) == (OLD + 1, ALL)
    assert any("Records 1 to 13 are not in these files" in line
               for line in report["does_not_show"])
    assert not any("not proved" in line for line in report["does_not_show"])


def test_a_live_file_is_intact_while_it_is_written(make_log):
    gate = make_log()
    seen, enough = [], time.monotonic() + 5  # the file grows, and sanitizers are slow
    with Load(gate.port, pause=0.001):
        while len(seen) < 150 and (len(seen) < 2 or time.monotonic() < enough):
            seen.append(intact(gate.audit_path)["last_record"])
    assert seen == sorted(seen) and seen[-1] > seen[0]


def test_the_key_of_another_log_does_not_fit(base, tmp_path):
    _, public = make_key(tmp_path)
    status, report = verify("--key", public, base.old, base.live)
    assert status == 1
    assert (report["fault"]["kind"], report["fault"]["record"]) == ("changed", 2)
    assert "another key" in report["fault"]["sentence"]


@pytest.mark.parametrize("text", ["", "no key\n", None], ids=["empty", "garbage", "private"])
def test_a_key_file_without_a_public_key_decides_nothing(base, tmp_path, text):
    path = make_key(tmp_path)[0] if text is None else tmp_path / "key"
    if text is not None:
        path.write_text(text)
    done = run("log", "verify", "--key", path, base.live)
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds no public key" in done.stderr


def test_files_that_cannot_be_read_decide_nothing(base, tmp_path):
    for files in ((tmp_path / "none",), (base.live, tmp_path / "none"), (tmp_path,),
                  ("--key", tmp_path / "none", base.live)):
        done = run("log", "verify", *files)
        assert (done.returncode, done.stdout) == (2, ""), files
        assert done.stderr.startswith("suitegate: ")


@pytest.mark.parametrize("text", ["", "\n\n", "root:x:0:0\ndaemon:x:1:1\n", '{"a":1}\n{"b":2}\n'],
                         ids=["empty", "empty lines", "text", "other JSON"])
def test_what_is_no_audit_log_is_neither_intact_nor_tampered_with(tmp_path, text):
    (tmp_path / "file").write_text(text)
    done = run("log", "verify", tmp_path / "file")
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert "no audit records" in done.stderr


def test_verify_wants_a_file():
    for arguments in ((), ("--json",), ("--nonsense", "x")):
        assert run("log", "verify", *arguments).returncode == USAGE


# ---- somebody with an editor -----------------------------------------------------------------

class Copy:
    """A copy of the base log that a test can change; records keep their line numbers."""

    def __init__(self, folder, base):
        self.folder, self.key = folder, base.key
        self.files = folder / "audit.jsonl.1", folder / "audit.jsonl"
        self.old, self.live = base.lines[:OLD], base.lines[OLD:]
        shutil.copy(base.state, folder)

    def write(self):
        self.files[0].write_bytes(b"".join(self.old))
        self.files[1].write_bytes(b"".join(self.live))
        return self.files

    def put(self, lines):
        """New content for both files, in the same places."""
        self.old, self.live = lines[:OLD], lines[OLD:]

    def without_state(self):
        (self.folder / "audit.state").unlink()


@pytest.fixture
def copy(base, tmp_path):
    return Copy(tmp_path, base)


def other(line):
    """Changes its content."""
    changed = line.replace(b"Refused ", b"Allowed ")
    assert changed != line
    return changed


def change_a_byte(log):
    log.old[6] = other(log.old[6])


def change_the_first_record(log):
    log.old[0] = log.old[0].replace(b"The proxy", b"The Proxy")


def change_the_last_record(log):
    log.live[-1] = log.live[-1].replace(b"signed up", b"Signed up")


def change_a_byte_of_a_hash(log):
    digit = hash_of(log.old[6])[:1]
    log.old[6] = log.old[6].replace(b'"hash":"' + digit, b'"hash":"' + (b"1" if digit == b"0"
                                                                         else b"0"))


def change_and_hash(log):
    log.old[6] = sealed(other(log.old[6]), hash_of(log.old[5]), 7)


def change_and_hash_the_last(log):
    log.live[-1] = sealed(log.live[-1].replace(b"signed up", b"Signed up"),
                          hash_of(log.live[-2]), ALL)


def change_and_hash_the_last_of_a_file(log):
    log.old[-1] = sealed(log.old[-1].replace(b"signed up", b"Signed up"), hash_of(log.old[-2]),
                         OLD)


def remove_a_line(log):
    del log.old[6]


def remove_the_first_line_of_all(log):
    """The first remaining checkpoint names it: the rest is proved, and the gap is reported."""
    del log.old[0]


def remove_the_first_half_of_a_file(log):
    del log.live[:8]


def remove_the_end_of_a_file(log):
    del log.old[9:]


def remove_the_end(log):
    del log.live[-4:]


def remove_the_old_files_last_half_line(log):
    log.old[-1] = log.old[-1][:len(log.old[-1]) // 2]


def copy_a_line_behind(log):
    log.old.insert(9, log.old[6])


def copy_a_line_in_front(log):
    log.old.insert(4, log.old[8])


def copy_the_first_line(log):
    log.live.insert(3, log.old[0])


def forge_a_line(log):
    log.old.insert(9, sealed(other(log.old[6]), hash_of(log.old[8]), 10))


def forge_a_line_with_a_wrong_hash(log):
    log.old.insert(9, log.old[6].replace(b'"sequence":7', b'"sequence":10'))


def insert_a_line_that_is_no_record(log):
    log.old.insert(9, b"no JSON\n")


def insert_a_line_in_front_of_a_file(log):
    log.live.insert(0, b"no JSON\n")


def swap_neighbours(log):
    log.old[6], log.old[7] = log.old[7], log.old[6]


def move_a_line_back(log):
    log.old.insert(11, log.old.pop(4))


def move_a_line_forward(log):
    log.old.insert(4, log.old.pop(11))


def move_a_line_to_the_other_file(log):
    log.live.append(log.old.pop(4))


def cut_the_last_line(log):
    log.live[-1] = log.live[-1][:100]


# The name of the change, the record, the file and the line of the fault (None: at the end).
TAMPERED = [
    (change_a_byte, "changed", 7, 0, 7),
    (change_the_first_record, "changed", 1, 0, 1),
    (change_the_last_record, "changed", 31, 1, 18),
    (change_a_byte_of_a_hash, "changed", 7, 0, 7),
    (change_and_hash, "changed", 8, 0, 8),
    (change_and_hash_the_last, "changed", 31, 1, 18),
    (change_and_hash_the_last_of_a_file, "changed", 14, 1, 1),
    (remove_a_line, "removed", 7, 0, 7),
    (remove_the_first_half_of_a_file, "cut", 14, 1, 1),
    (remove_the_end_of_a_file, "cut", 10, 1, 1),
    (remove_the_end, "cut", 28, 1, None),
    (remove_the_old_files_last_half_line, "cut", 13, 0, 13),
    (copy_a_line_behind, "inserted", 7, 0, 10),
    (copy_a_line_in_front, "inserted", 9, 0, 5),
    (copy_the_first_line, "inserted", 1, 1, 4),
    (forge_a_line, "inserted", 10, 0, 11),
    (forge_a_line_with_a_wrong_hash, "inserted", 10, 0, 10),
    (insert_a_line_that_is_no_record, "inserted", 10, 0, 10),
    (insert_a_line_in_front_of_a_file, "inserted", 14, 1, 1),
    (swap_neighbours, "reordered", 8, 0, 7),
    (move_a_line_back, "reordered", 6, 0, 5),
    (move_a_line_forward, "reordered", 12, 0, 5),
    (move_a_line_to_the_other_file, "reordered", 6, 0, 5),
    (cut_the_last_line, "cut", 31, 1, None),
]


@pytest.mark.parametrize("tamper,kind,record,file,line", TAMPERED,
                         ids=[row[0].__name__ for row in TAMPERED])
def test_tampering_shows(copy, tamper, kind, record, file, line):
    tamper(copy)
    files = copy.write()
    status, report = verify(*files)
    assert status == 1
    fault = report["fault"]
    assert (fault["kind"], fault["record"], fault.get("line")) == (kind, record, line), fault
    assert fault["file"] == str(files[file])
    assert verify("--key", copy.key, *reversed(files))[1]["fault"] == fault


def sign_nothing(_):
    return None


def sign_by_head(_):
    return with_head


def sign_with_another_key(folder):
    return Forger(folder)


def sign_with_another_key_under_our_id(folder):
    return Forger(folder, "public_key")


@pytest.mark.parametrize("sign", [sign_nothing, sign_by_head, sign_with_another_key,
                                  sign_with_another_key_under_our_id])
def test_a_log_that_is_chained_again_shows_by_its_signature(copy, sign):
    """Without the state file: the signature alone shows it."""
    lines = copy.old + copy.live
    lines[6] = other(lines[6])
    copy.put(chained_again(lines, 7, sign(copy.folder)))
    copy.without_state()
    for key in ((), ("--key", copy.key)):
        status, report = verify(*key, *copy.write())
        assert status == 1
        fault = report["fault"]
        assert (fault["kind"], fault["record"], fault["line"]) == ("changed", 13, 13)
        assert "records after 12," not in fault["sentence"]
        assert "records after 1," in fault["sentence"]
        assert report["signed_up_to"] == 1, "what does not hold proves nothing"


def test_an_old_checkpoint_does_not_vouch_for_later_records(copy):
    """A genuine signature covers its own record and no other."""
    lines = copy.old + copy.live
    lines[12] = lines[1]
    lines[6] = other(lines[6])
    copy.put(chained_again(lines, 7))
    copy.without_state()
    assert fault_of(*copy.write()) == ("changed", 13, 13)


def test_a_log_signed_anew_with_another_key_shows_by_the_key_that_was_noted(copy):
    lines = copy.old + copy.live
    lines[6] = other(lines[6])
    forger = Forger(copy.folder, "public_key", "key_id")
    copy.put(chained_again(lines, sign=forger))
    copy.without_state()
    files = copy.write()
    report = intact(*files)
    assert report["key_id"] == forger.id
    assert any("compare its id" in line for line in report["does_not_show"])
    assert fault_of("--key", copy.key, *files) == ("changed", 2, 2)


def test_a_change_of_the_key_is_told(copy):
    """From record 13 on: earlier records keep their signatures."""
    forger = Forger(copy.folder, "public_key", "key_id")
    copy.put(chained_again(copy.old + copy.live, 13, forger))
    copy.without_state()
    files = copy.write()
    assert "From record 13 on the log is signed with another key." in intact(*files)["notes"]
    assert fault_of("--key", copy.key, *files) == ("changed", 13, 13)


def test_a_log_without_any_checkpoint_does_not_pass_with_a_key(copy):
    lines = [line for line in copy.old + copy.live if b'"log-checkpoint"' not in line]
    copy.put(chained_again(lines))
    copy.without_state()
    files = copy.write()
    assert "Nothing is signed" in intact(*files)["does_not_show"][0]
    kind, _, _ = fault_of("--key", copy.key, *files)
    assert kind == "removed"


@pytest.mark.parametrize("spare", [0, 1])
def test_a_thousand_records_without_a_checkpoint_show_that_one_was_taken_out(copy, spare):
    lines = copy.old[:2] + copy.old[2:3] * (LIMIT + spare)
    copy.live = []
    copy.old = chained_again(lines)
    copy.without_state()
    files = copy.write()
    if spare:
        assert fault_of(*files) == ("removed", LIMIT + 3, LIMIT + 3)
    else:
        assert intact(*files)["unsigned_records"] == LIMIT


def test_what_a_log_without_its_beginning_is_worth_is_told(copy):
    """It may have been rotated away: no fault, but it is reported."""
    del copy.old[:6]
    report = intact(*copy.write())
    assert report["first_record"] == 7
    assert any("Record 7 itself is not proved" in line for line in report["does_not_show"])
    assert any("Records 1 to 6 are not" in line for line in report["does_not_show"])


def test_the_first_record_is_proved_by_the_checkpoint_behind_it(copy):
    remove_the_first_line_of_all(copy)
    report = intact(*copy.write())
    assert report["first_record"] == 2
    assert not any("not proved" in line for line in report["does_not_show"])
    copy.old[0] = copy.old[0].replace(b"signed up", b"Signed up")
    assert fault_of(*copy.write()) == ("changed", 2, 1)


def test_an_end_that_is_cut_off_shows_by_the_state_alone(copy):
    """Without it nothing can be proved, and that is reported."""
    remove_the_end(copy)
    copy.without_state()
    report = intact(*copy.write())
    assert report["last_record"] == 27
    assert any("what came behind the last record was cut off" in line
               for line in report["does_not_show"])


def test_an_end_that_is_replaced_by_a_longer_one_shows_by_the_state(copy):
    """The state has the hash of record 31, and the file has another record 31."""
    remove_the_end(copy)
    copy.put(chained_again(copy.old + copy.live + [other(copy.old[6])] * 6, 28))
    assert fault_of(*copy.write())[:2] == ("changed", 31)


def test_half_a_last_line_is_no_fault(copy):
    cut_the_last_line(copy)
    copy.without_state()
    report = intact(*copy.write())
    assert report["last_record"] == 30
    assert any("last line is not complete" in line for line in report["notes"])


def test_forged_chains_behind_a_signed_one_show(make_log, tmp_path):
    """Without the state file, a chain that begins again is trusted only if it is signed."""
    gate = make_log()
    refuse_many(gate.port, 3)
    gate.stop()
    genuine = lines_of(gate.audit_path)
    forged, previous = [], ZEROS
    for number in range(1, 900):
        covered = re.sub(rb'"sequence":\d+,"hash":"$', b'"sequence":%d,"hash":"' % number,
                         SEALED.fullmatch(genuine[3][:-1]).group(1))
        previous = digest(previous, covered)
        forged.append(covered + previous + b'"}}\n')
    path = tmp_path / "elsewhere" / "log"
    path.parent.mkdir()
    path.write_bytes(b"".join(genuine[:2] + forged))
    assert fault_of(path)[0] == "removed"
    assert fault_of("--key", written_key(gate), path)[0] == "removed"


def test_a_blank_line_is_an_insertion(make_log):
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    lines = lines_of(gate.audit_path)
    gate.audit_path.write_bytes(b"".join(lines[:2] + [b"\n"] + lines[2:]))
    assert fault_of(gate.audit_path) == ("inserted", 3, 3)
