"""The audit log as evidence: its definition without suitegate, the output of `log verify`, and a
gate that writes a log.

Every test may use the fixture: conftest.py imports it.
"""

import base64
import hashlib
import json
import re
import subprocess

import pytest

from gate import run
from scene import wait_until

ZEROS = b"0" * 64
SEALED = re.compile(rb'(.*,"sequence":([1-9]\d*),"hash":")([0-9a-f]{64})"\}\}', re.S)
LIMIT = 1000  # records without a checkpoint


# ---- what the log is, without suitegate ------------------------------------------------------

def lines_of(*files):
    """The lines, each with its end."""
    return [line + b"\n" for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def digest(previous, covered):
    return hashlib.sha256(previous + covered).hexdigest().encode()


def check_chain(*files):
    """By the definition in include/audit/chain.h. Returns the number of records."""
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
    """The signed text of a checkpoint, by include/audit/checkpoint.h."""
    log = record["suitegate"]["log"]
    before = (f"{log['previous_sequence']}\n{log['previous_hash']}\n"
              if "previous_hash" in log else "")
    following = f"next key\n{log['next_public_key']}\n" if "next_public_key" in log else ""
    return (f"suitegate log checkpoint\n{record['@timestamp']}\n"
            f"{log['head_sequence']}\n{log['head_hash']}\n{before}{following}")


def signature_holds(record, public_key, folder):
    """Verified by openssl. public_key: the file that `suitegate log key` printed."""
    (folder / "message").write_text(message_of(record))
    (folder / "signature").write_bytes(base64.b64decode(record["suitegate"]["log"]["signature"]))
    done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", public_key, "-signature",
                           folder / "signature", folder / "message"], capture_output=True,
                          text=True, check=False)
    return done.returncode == 0 and done.stdout == "Verified OK\n"


def is_checkpoint(record):
    return record["event"]["action"] == "log-checkpoint"


def hash_of(line):
    return SEALED.fullmatch(line[:-1]).group(3)


# ---- the output of log verify ----------------------------------------------------------------

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
    """(kind, record, line) of the only fault; line None: at the end."""
    status, report = verify(*arguments, **options)
    assert status == 1, report
    return report["fault"]["kind"], report["fault"]["record"], report["fault"].get("line")


def written_key(gate, name="noted.pem"):
    """The administrator's note: a file with the output of `suitegate log key`."""
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


def started(lines):
    """A new log has its first checkpoint after proxy-started, a continued one before it."""
    last = [found[1] if (found := re.search(rb'"action":"([a-z-]+)"', line)) else None
            for line in lines[-2:]]  # these lines may not be ours
    return last == [b"proxy-started", b"log-checkpoint"] or (
        last[-1:] == [b"proxy-started"] and json.loads(lines[-1])["event"]["sequence"] > 1)


@pytest.fixture
def make_log(make_forward):
    """make_forward() whose start is signed: it writes nothing more without a cause."""
    def make(**options):
        gate = make_forward(**options)
        wait_until(lambda: started(lines_of(gate.audit_path)))
        return gate
    return make
