"""The audit log as evidence: its chain, its signatures, its verdict on itself, and what a kill,
a rotation or somebody with an editor leaves of it."""

import base64
import collections
import concurrent.futures
import functools
import gzip
import hashlib
import itertools
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import wire
from gate import BINARY, Gate, StartError, run, sanitized
from pki import openssl
from scene import at, scene, wait_until  # noqa: F401 (fixtures)
from upstreams import TlsPeer

USAGE = 64
ZEROS = b"0" * 64
SEALED = re.compile(rb'(.*,"sequence":([1-9]\d*),"hash":")([0-9a-f]{64})"\}\}', re.S)
LIMIT = 1000  # records without a checkpoint

# The base log: the numbers of its checkpoints, of the last record in its old file, of all.
CHECKPOINTS, OLD, ALL = [2, 13, 14, 23, 24, 31], 13, 31


# ---- load ----------------------------------------------------------------------------------

ADDRESSES = itertools.count(1)


def refuse(port):
    """One connection that gets a record: (status of the answer, its own address and port). Each
    comes from another address: many of one would be counted instead."""
    n = next(ADDRESSES)
    with wire.dial(port, source=f"127.{9 + (n >> 16)}.{n >> 8 & 255}.{n & 255}") as sock:
        sock.sendall(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status = int(sock.recv(12)[9:])
        wire.read_to_end(sock)
        return status, sock.getsockname()


class Load:
    """Clients that are refused one after the other until the end; .answered are their addresses."""

    def __init__(self, port, clients=2, pause=0.0, status=403):
        self.answered = []
        self._wanted, self._pause, self._ended = status, pause, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for _ in range(clients)]

    def _ask(self, port):
        while not self._ended.wait(self._pause):
            try:
                status, source = refuse(port)
            except (OSError, ValueError):  # killed
                return
            if status == self._wanted:
                self.answered.append(source)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()


def refuse_many(port, count):
    for _ in range(count):
        assert refuse(port)[0] == 403


def sources(lines):
    """How often each source has a record."""
    ends = (json.loads(line)["source"] for line in lines
            if b'"action":"connection-refused"' in line)
    return collections.Counter((end["ip"], end["port"]) for end in ends)


# ---- what the log is, without suitegate ------------------------------------------------------

def lines_of(*files):
    """Each with its end."""
    return [line + b"\n" for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def digest(previous, covered):
    return hashlib.sha256(previous + covered).hexdigest().encode()


def check_chain(*files):
    """As include/audit/chain.h has it. Returns how many records there are."""
    previous, count = ZEROS, 0
    for file in files:
        assert file.read_bytes().endswith(b"}}\n")
        for line in lines_of(file):
            covered, number, given = SEALED.fullmatch(line[:-1]).groups()
            count += 1
            assert int(number) == count
            previous = digest(previous, covered)
            assert given == previous, line
            json.loads(line)
    return count


def message_of(record):
    """What a checkpoint signs, as include/audit/checkpoint.h has it."""
    log = record["suitegate"]["log"]
    before = (f"{log['previous_sequence']}\n{log['previous_hash']}\n"
              if "previous_hash" in log else "")
    return (f"suitegate log checkpoint\n{record['@timestamp']}\n"
            f"{log['head_sequence']}\n{log['head_hash']}\n{before}")


def signature_holds(record, public_key, folder):
    """By openssl. public_key: the file that `suitegate log key` printed."""
    (folder / "message").write_text(message_of(record))
    (folder / "signature").write_bytes(base64.b64decode(record["suitegate"]["log"]["signature"]))
    done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", public_key, "-signature",
                           folder / "signature", folder / "message"], capture_output=True,
                          text=True, check=False)
    return done.returncode == 0 and done.stdout == "Verified OK\n"


def is_checkpoint(record):
    return record["event"]["action"] == "log-checkpoint"


def checkpoints(gate):
    """(trigger, number of the line, number of the line it names)."""
    return [(at(r, "suitegate.log.trigger"), r["event"]["sequence"],
             at(r, "suitegate.log.head_sequence")) for r in gate.all_records() if is_checkpoint(r)]


# ---- what log verify says --------------------------------------------------------------------

def verify(*arguments, **options):
    """Exit status and report of `log verify --json`."""
    done = run("log", "verify", "--json", *arguments, **options)
    assert done.stderr == "" or done.returncode > 1
    report = json.loads(done.stdout) if done.returncode <= 1 else {}
    assert report.get("verdict") == {0: "intact", 1: "not intact"}.get(done.returncode)
    assert ("fault" in report) == (done.returncode == 1)
    return done.returncode, report


def intact(*arguments, **options):
    status, report = verify(*arguments, **options)
    assert status == 0, report
    return report


def fault_of(*arguments, **options):
    """(kind, record, line) of the fault there is; line None: at the end."""
    status, report = verify(*arguments, **options)
    assert status == 1, report
    return report["fault"]["kind"], report["fault"]["record"], report["fault"].get("line")


def written_key(gate, name="noted.pem"):
    """What an administrator notes: a file with the output of `suitegate log key`."""
    done = run("log", "key", "-c", gate.config_path)
    assert done.returncode == 0, done.stderr
    path = gate.folder / name
    path.write_text(done.stdout)
    return path


def rotate(gate, name="audit.jsonl.1"):
    old = gate.audit_path.with_name(name)
    gate.audit_path.rename(old)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    return old


def killed(gate):
    gate.expected_exit = -9
    gate.kill()
    return gate


def last_repair(gate):
    """(message, suitegate.log) of the last record that tells of a repair."""
    def repairs():
        return [line for line in lines_of(gate.audit_path) if b'"action":"log-repaired"' in line]

    wait_until(repairs, what="a repair")  # a gate that is ready may not have written it yet
    record = json.loads(repairs()[-1])
    return record["message"], record["suitegate"].get("log", {})


def started(lines):
    """A new log has its first checkpoint behind proxy-started, one that goes on in front of it."""
    last = [found[1] if (found := re.search(rb'"action":"([a-z-]+)"', line)) else None
            for line in lines[-2:]]  # what stands there may be somebody else's
    return last == [b"proxy-started", b"log-checkpoint"] or (
        last[-1:] == [b"proxy-started"] and json.loads(lines[-1])["event"]["sequence"] > 1)


@pytest.fixture
def make_log(make_forward):
    """make_forward() whose start is signed: it writes nothing more by itself."""
    def make(**options):
        gate = make_forward(**options)
        wait_until(lambda: started(lines_of(gate.audit_path)))
        return gate
    return make


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


# ---- checkpoints -----------------------------------------------------------------------------

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
    """As a journal keeps it: one behind the other."""
    text = ""
    for _ in range(2):
        gate = make_forward(audit={"file": "-"})
        refuse_many(gate.port, 3)
        gate.stop()
        text += gate.stdout
    report = intact("-", input=text)
    assert report["records"] == 10 and "A new chain begins" in report["notes"][0]
    assert "line 6" in report["notes"][0]


# ---- the base log: made once, verified whole, in parts, and after each kind of tampering -----

class Base:
    """old holds records 1 to 13, live 14 to 31; lines has all of them, key what was noted."""

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
    """As logrotate's dateext calls it: the state beside it is the live file's."""
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


def make_key(folder):
    """Another log key: its private half, and its public half as it would be noted."""
    private, public = folder / "strange.key", folder / "strange.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


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

def sealed(line, previous, number):
    """The line as number `number` behind one with the hash `previous`."""
    covered = line.rpartition(b',"sequence":')[0] + b',"sequence":%d,"hash":"' % number
    return covered + digest(previous, covered) + b'"}}\n'


def hash_of(line):
    return SEALED.fullmatch(line[:-1]).group(3)


def chained_again(lines, begin=1, sign=None):
    """Numbers and hashes made anew from record number `begin` on, as anybody can."""
    done = lines[:begin - 1]
    for number, line in enumerate(lines[begin - 1:], begin):
        previous = hash_of(done[-1]) if done else ZEROS
        if sign and b'"action":"log-checkpoint"' in line:
            line = sign(line, number - 1, previous)
        done.append(sealed(line, previous, number))
    return done


def with_member(line, name, value):
    changed, count = re.subn(b'("%s":)("[^"]*"|[0-9]+)' % name,
                             lambda found: found[1] + json.dumps(value).encode(), line)
    assert count == 1
    return changed


def with_head(line, number, previous):
    """The checkpoint names what is now before it; its signature stays."""
    return with_member(with_member(line, b"head_sequence", number), b"head_hash",
                       previous.decode())


class Forger:
    """Signs with a key of his own and says so in these members of the checkpoint."""

    def __init__(self, folder, *members):
        self.folder = folder
        self.private, public = make_key(folder)
        der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
        self.id = hashlib.sha256(der).hexdigest()
        own = {"public_key": base64.b64encode(der).decode(), "key_id": self.id}
        self.said = {name.encode(): own[name] for name in members}

    def __call__(self, line, number, previous):
        line = with_head(line, number, previous)
        for name, value in self.said.items():
            line = with_member(line, name, value)
        message = self.folder / "forged"
        message.write_text(message_of(json.loads(line)))
        signature = openssl("dgst", "-sha256", "-sign", self.private, message)
        return with_member(line, b"signature", base64.b64encode(signature).decode())


class Copy:
    """A copy of the base log that a test may change; records keep their lines' numbers."""

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
        """Another content for both files, in the same places."""
        self.old, self.live = lines[:OLD], lines[OLD:]

    def without_state(self):
        (self.folder / "audit.state").unlink()


@pytest.fixture
def copy(base, tmp_path):
    return Copy(tmp_path, base)


def other(line):
    """Says something else."""
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
    """The checkpoint that is now first names it: so the rest is proved, and the lack is told."""
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


# What it is called, the record, the file and the line in which it stands (None: at the end).
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
    """A state file that fits helps nobody."""
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
    """A genuine signature, over the record that it was made for and no other."""
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
    """Record 13 on: what is before it keeps its signatures."""
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
    """It may have been rotated away: no fault, but not without a word."""
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
    """Without it nothing can tell, and that is said."""
    remove_the_end(copy)
    copy.without_state()
    report = intact(*copy.write())
    assert report["last_record"] == 27
    assert any("what came behind the last record was cut off" in line
               for line in report["does_not_show"])


def test_an_end_that_is_replaced_by_a_longer_one_shows_by_the_state(copy):
    """The state has the hash of record 31, and the file another record 31."""
    remove_the_end(copy)
    copy.put(chained_again(copy.old + copy.live + [other(copy.old[6])] * 6, 28))
    assert fault_of(*copy.write())[:2] == ("changed", 31)


def test_half_a_last_line_is_no_fault(copy):
    cut_the_last_line(copy)
    copy.without_state()
    report = intact(*copy.write())
    assert report["last_record"] == 30
    assert any("last line is not complete" in line for line in report["notes"])


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
    """A forged one with a hash that fits; so it could be the end of a process that was killed."""
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
    """999 records are not signed; with a repair and the start there are more than a thousand."""
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
    """Also when the next process has repaired and signed, and then could not listen."""
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
    """audit.log would have the state and the key of audit.jsonl; the other is the same file."""
    gate = make_log()
    gate.write_config(gate.config.replace("audit.jsonl", name))
    gate.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration re" in gate.stderr)
    assert "another process" not in gate.stderr


# ---- sync ------------------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int exists(const char *ending)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.%s", getenv("SYNC_SHIM"), ending);
    return access(path, F_OK) == 0;
}

/* Notes how many bytes of the log are on the disk, once they are. */
int fdatasync(int fd)
{
    char link[64], name[4096] = "", line[64];
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, sizeof name - 1) < 0 || fstat(fd, &st) < 0) return -1;
    if (strlen(name) < 6 || strcmp(name + strlen(name) - 6, ".jsonl") != 0)
        return (int)syscall(SYS_fdatasync, fd);
    while (exists("slow")) usleep(10000);
    if (exists("fail")) {
        errno = EIO;
        return -1;
    }
    if (syscall(SYS_fdatasync, fd) < 0) return -1;
    int out = open(getenv("SYNC_SHIM"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int n = snprintf(line, sizeof line, "%lld\n", (long long)st.st_size);
    if (write(out, line, (size_t)n) != n) abort();
    close(out);
    return 0;
}
"""


class Shim:
    """fdatasync as a test wants it; fail and slow are files that switch it."""

    def __init__(self, library, path):
        self.env = {"LD_PRELOAD": str(library), "SYNC_SHIM": str(path)}
        self._path = path
        self.fail, self.slow = path.with_suffix(".fail"), path.with_suffix(".slow")

    def sizes(self):
        """How much of the log each call has put on the disk."""
        return [int(n) for n in self._path.read_text().split()] if self._path.exists() else []


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory):
    if sanitized():
        pytest.skip("a sanitizer wants to be loaded first")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "shim.so", folder / "shim.c"],
                   check=True)
    return folder / "shim.so"


@pytest.fixture
def shim(shim_library, tmp_path):
    return Shim(shim_library, tmp_path / "synced")


@pytest.fixture
def synced(make_log, shim):
    """synced(how) -> a gate with sync = how over that disk."""
    return lambda how: make_log(audit={"sync": how}, options={"env": shim.env})


def size_of(gate):
    return gate.audit_path.stat().st_size


def test_sync_record_answers_once_the_record_is_on_the_disk(synced, shim):
    gate = synced("record")
    for _ in range(20):
        assert refuse(gate.port)[0] == 403
        assert shim.sizes()[-1] == size_of(gate)
    assert len(shim.sizes()) >= 20


def test_sync_interval_syncs_once_a_second_and_not_when_idle(synced, shim):
    begun = time.monotonic()
    gate = synced("interval")
    with Load(gate.port, clients=1, pause=0.01) as load:
        wait_until(lambda: shim.sizes() and size_of(gate) > shim.sizes()[0])
        wait_until(lambda: len(load.answered) > 30, what="the load")
    wait_until(lambda: shim.sizes()[-1] == size_of(gate),
               what="what came behind the first")
    calls = len(shim.sizes())
    assert 2 <= calls <= time.monotonic() - begun
    time.sleep(1.3)
    assert len(shim.sizes()) == calls, "synced though there was nothing new"
    refuse_many(gate.port, 1)
    gate.stop()
    assert shim.sizes()[-1] == size_of(gate), "the end is not on the disk"


def test_sync_none_leaves_it_to_the_system(synced, shim):
    gate = synced("none")
    refuse_many(gate.port, 20)
    rotate(gate)
    gate.stop()
    assert shim.sizes() == []


@pytest.mark.parametrize("how", ["record", "interval"])
def test_a_disk_that_fails_is_a_log_that_cannot_be_written(synced, shim, how):
    gate = synced(how)
    asked = [refuse(gate.port)]
    shim.fail.touch()

    def status():
        asked.append(refuse(gate.port))
        return asked[-1][0]

    wait_until(lambda: status() == 503, what="the first refusal for the log")
    sock, answer = wire.connect(gate.port, "127.0.0.1:1")
    asked.append((answer.status, None))
    assert answer.status == 503 and "audit_unavailable" in answer.body
    assert [status() for _ in range(5)] == [503] * 5
    shim.fail.unlink()
    wait_until(lambda: status() == 403, what="recovery")
    gate.stop()
    assert "Input/output error" in gate.stderr
    have = sources(lines_of(gate.audit_path))
    assert have.total() == len(asked), "a record is lost, or there twice"
    assert not collections.Counter(port for _, port in asked if port) - have
    check_chain(gate.audit_path)
    intact(gate.audit_path)


@pytest.mark.parametrize("keep", [True, False], ids=["rotated", "deleted"])
def test_nothing_is_lost_when_a_file_that_cannot_be_synced_goes_away(synced, shim, keep):
    """Of what is in a file and was never on the disk, nobody was told that it is written."""
    gate = synced("record")
    refuse_many(gate.port, 2)
    shim.fail.touch()
    asked = [refuse(gate.port) for _ in range(4)]
    assert [status for status, _ in asked] == [503] * 4
    files = [gate.audit_path]
    if keep:
        files.insert(0, rotate(gate))
    else:
        gate.audit_path.unlink()
    shim.fail.unlink()
    wait_until(lambda: refuse(gate.port)[0] == 403, what="recovery")
    gate.stop()
    have = sources(lines_of(*files))
    assert all(have[source] == 1 for _, source in asked)
    assert intact(*files)["first_record"] == (1 if keep else 5)


def echo(tls, _):
    while data := tls.recv():
        tls.send(data)
    tls.close_notify()


def test_a_slow_disk_holds_only_who_waits_for_it(scene, pki, shim):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, audit={"sync": "record"}, options={"env": shim.env})
        with s.client("forward") as tls:
            s.gate.wait_record(action="connection-opened")
            shim.slow.touch()
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(refuse, s.forward) for _ in range(4)]
                try:
                    s.gate.wait_record(code="client_plaintext_http")
                    for _ in range(300):
                        tls.send(b"still here?")
                        assert tls.recv_exactly(11) == b"still here?"
                        wire.dial(s.forward).close()
                    sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
                    assert answer.status == 200
                    assert not any(one.done() for one in asked)
                finally:
                    shim.slow.unlink()
                assert [one.result()[0] for one in asked] == [403] * 4
            assert sources(lines_of(s.gate.audit_path)).total() == 4
            sock.close()
            tls.close_notify()
        s.gate.wait_record(action="connection-closed")
        s.gate.stop()
    check_chain(s.gate.audit_path)
    intact(s.gate.audit_path)


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


# ---- histories that are nobody's doing -------------------------------------------------------

@pytest.mark.parametrize("workers", [2, 8])
def test_a_start_under_load_is_in_order(make_forward, workers):
    """proxy-started stands in front of every connection, however early that came."""
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


@pytest.mark.parametrize("shorter", [0, 1, 5])
def test_a_kill_between_a_rename_and_its_signal_uses_no_number_twice(make_log, shorter):
    """The state may be behind what is in the renamed file, which is found by its inode."""
    gate = make_log()
    refuse_many(gate.port, 8)
    state = gate.audit_path.with_name("audit.state")
    killed(gate)
    if shorter:  # as if the kill had come between the write and the state
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


def test_forged_chains_behind_a_signed_one_show(make_log, tmp_path):
    """Without the state beside it, a chain that begins anew is believed only where it is signed."""
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


@pytest.mark.parametrize("copy", ["audit.jsonl", "./audit.jsonl", "audit.state", "audit.key"])
def test_a_copy_that_is_the_log_itself_is_refused(make_log, copy):
    make_log().stop()
    with pytest.raises(StartError, match=r"(?s)^exit 2\n.*is written already"):
        make_log(audit={"copy": copy})


def test_a_blank_line_is_an_insertion(make_log):
    gate = make_log()
    refuse_many(gate.port, 2)
    gate.stop()
    lines = lines_of(gate.audit_path)
    gate.audit_path.write_bytes(b"".join(lines[:2] + [b"\n"] + lines[2:]))
    assert fault_of(gate.audit_path) == ("inserted", 3, 3)


def test_standard_output_that_is_a_socket_holds_nobody(start_forward, tmp_path):
    """As under systemd: while nobody reads, clients are told so and SIGTERM is heard."""
    ours, theirs = socket.socketpair()
    gates = []

    def make(config, **options):
        gates.append(subprocess.Popen([BINARY, "run", "-c", tmp_path / "sg.ini"], stdout=theirs,
                                      stderr=subprocess.DEVNULL))
        return gates[0]

    def start(config, **options):
        (tmp_path / "sg.ini").write_text(config)
        return make(config)

    gate = start_forward(start, audit={"file": "-"}, proxy={"drain_timeout": "300ms"})
    try:
        wait_until(lambda: refuse(gate.port)[0] == 403, what="the start")
        wait_until(lambda: refuse(gate.port)[0] == 503, seconds=30, what="a full socket")
        gate.terminate()
        assert gate.wait(15) == 2
    finally:
        gate.kill()
        gate.wait()
        ours.close()
        theirs.close()


# ---- a folder that is deleted while the gate runs ----------------------------------------------

def key_of(gate):
    return at([r for r in gate.all_records() if is_checkpoint(r)][-1], "suitegate.log.key_id")


@pytest.fixture
def in_folder(make_log, tmp_path):
    """A gate whose log, state and key are alone in a folder, which is returned as well."""
    folder = tmp_path / "log"
    folder.mkdir()
    return make_log(audit={"file": folder / "audit.jsonl"}), folder


def test_a_deleted_folder_gets_the_same_key_and_state_again(in_folder, make_log, tmp_path):
    gate, folder = in_folder
    key, noted = key_of(gate), written_key(gate)
    refuse_many(gate.port, 3)
    shutil.rmtree(folder)
    wait_until(lambda: refuse(gate.port)[0] == 503, what="a log that cannot be written")
    folder.mkdir()
    wait_until(lambda: refuse(gate.port)[0] == 403, what="a log that can be written again")
    assert key_of(gate) == key
    assert (folder / "audit.key").stat().st_mode & 0o777 == 0o600
    gate.stop()
    last = lines_of(gate.audit_path)[-1]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(last)
    report = intact("--key", noted, gate.audit_path)
    assert report["last_record"] == state["sequence"]
    gate = make_log(audit={"file": folder / "audit.jsonl"})
    refuse_many(gate.port, 3)
    gate.stop()
    assert key_of(gate) == key
    assert intact("--key", noted, gate.audit_path)["notes"] == report["notes"]


def test_a_folder_that_was_moved_away_gets_the_same_key_and_state_again(in_folder):
    gate, folder = in_folder
    noted = written_key(gate)
    refuse_many(gate.port, 3)
    moved = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == (moved / "audit.key").read_bytes()
    assert intact("--key", noted, moved / "audit.jsonl", gate.audit_path)["complete"]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(lines_of(gate.audit_path)[-1])


def test_a_deleted_key_and_state_are_written_anew_at_the_next_checkpoint(in_folder):
    gate, folder = in_folder
    kept = (folder / "audit.key").read_bytes()
    (folder / "audit.key").unlink()
    (folder / "audit.state").unlink()
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == kept
    assert intact(gate.audit_path)["complete"]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(lines_of(gate.audit_path)[-1])


def test_a_key_that_was_put_there_meanwhile_stays(in_folder, tmp_path):
    gate, folder = in_folder
    other, _ = make_key(tmp_path)
    shutil.copy(other, folder / "audit.key")
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == other.read_bytes()
