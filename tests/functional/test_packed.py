"""Logs that a rotation has compressed: report, verify and tail read gzip and refuse other formats
by name; and a report without records."""

import bz2
import gzip
import json
import lzma
import subprocess

import pytest

from gate import BINARY, run, sanitized
from logs import intact, rotate, verify
from refusals import refuse_many


@pytest.fixture
def logs(make_forward, tmp_path):
    """(the packed old file, the live one); 5 refusals in each."""
    gate = make_forward()
    refuse_many(gate.port, 5)
    old = rotate(gate)
    refuse_many(gate.port, 5)
    gate.stop()
    packed = tmp_path / "audit.jsonl.2.gz"
    packed.write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    return packed, gate.audit_path


def refusals(*files, **options):
    done = run("log", "report", "--json", *files, **options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["unreadable_lines"] == 0
    return report["attempts"]["refused"]


def test_what_gzip_has_packed_is_read(logs):
    packed, live = logs
    assert refusals(packed, live) == 10
    assert refusals(packed) == 5
    report = intact(live, packed)
    assert report["complete"] and report["first_record"] == 1
    shown = run("log", "tail", packed)
    assert shown.returncode == 0 and shown.stderr == ""
    assert shown.stdout.count("client_plaintext_http") == 5


def test_standard_input_may_be_packed(logs):
    packed, _ = logs
    for command in ("report", "verify", "tail"):
        done = subprocess.run([BINARY, "log", command, "-"], input=packed.read_bytes(),
                              capture_output=True, check=False)
        assert done.returncode == 0 and b"no record" not in done.stdout, done


def test_several_members_are_one_file(logs, tmp_path):
    """As `cat a.gz b.gz` and gzip's own flushes make them."""
    packed, live = logs
    text = gzip.decompress(packed.read_bytes()) + live.read_bytes()
    members = tmp_path / "members.gz"
    members.write_bytes(b"".join(gzip.compress(text[i:i + 700])
                                 for i in range(0, len(text), 700)))
    assert refusals(members) == 10
    assert intact(members)["complete"]


@pytest.mark.parametrize("keep", [1, 12, -9, -1])
def test_a_packed_file_that_is_cut_off_decides_nothing(logs, keep):
    packed, live = logs
    packed.write_bytes(packed.read_bytes()[:keep])
    for command in ("report", "verify"):
        done = run("log", command, packed, live)
        if keep == 1:  # that is not a packed file
            assert done.returncode in (0, 1)
            continue
        assert done.returncode == 2 and done.stdout == ""
        assert "audit.jsonl.2.gz cannot be read to its end: it is cut off" in done.stderr
    if keep != 1:
        done = run("log", "tail", packed)
        assert done.returncode == 2 and "it is cut off" in done.stderr


@pytest.mark.parametrize("at", [-8, -4, 60])
def test_a_packed_file_that_is_damaged_decides_nothing(logs, at):
    packed, live = logs
    whole = run("log", "tail", packed)
    damaged = bytearray(packed.read_bytes())
    damaged[at] ^= 0x55
    packed.write_bytes(damaged)
    for command in ("report", "verify"):
        done = run("log", command, packed, live)
        assert done.returncode == 2 and "it is damaged" in done.stderr, done
    tail = run("log", "tail", packed)
    assert tail.returncode == 2 and "it is damaged" in tail.stderr
    if at < 0:  # in the trailer: every record comes before it
        assert tail.stdout.count("refused") == whole.stdout.count("refused") > 0


@pytest.mark.parametrize("name,pack", [
    ("xz", lzma.compress), ("bzip2", bz2.compress),
    ("zstd", lambda text: b"\x28\xb5\x2f\xfd" + text)])
def test_other_ways_to_pack_are_refused_by_name(logs, tmp_path, name, pack):
    path = tmp_path / "audit.jsonl.3"
    path.write_bytes(pack(logs[1].read_bytes()))
    for command in ("report", "verify"):
        done = run("log", command, logs[0], path)
        assert done.returncode == 2 and done.stdout == ""
        assert f"audit.jsonl.3 cannot be read to its end: it is packed with {name}" in done.stderr


def test_a_line_without_end_takes_bounded_memory(tmp_path):
    """192 MiB of zeros, compressed to a thousandth."""
    if sanitized():
        pytest.skip("a sanitizer takes address space without bound")
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(b"0" * (64 << 20)) * 3)
    done = subprocess.run(["sh", "-c", 'ulimit -v 150000; exec "$0" log verify "$1"', BINARY, path],
                          capture_output=True, check=False)
    assert done.returncode == 2 and b"no audit records" in done.stderr, done


@pytest.mark.parametrize("form", [(), ("--json",), ("--html",)], ids=["text", "json", "html"])
@pytest.mark.parametrize("what", ["an empty file", "nothing since"])
def test_an_empty_report_is_a_report(logs, tmp_path, form, what):
    (tmp_path / "empty").write_bytes(b"")
    files = [tmp_path / "empty"] if what == "an empty file" else [*logs, "--since", "2099-01-01"]
    done = run("log", "report", *form, *files)
    assert done.returncode == 0 and done.stderr == ""
    assert "1970" not in done.stdout
    if form == ("--json",):
        assert json.loads(done.stdout)["records"] == 0
    else:
        assert "0 records" in done.stdout


def test_what_is_no_audit_log_makes_no_report(tmp_path):
    (tmp_path / "passwd").write_text("root:x:0:0\n")
    done = run("log", "report", tmp_path / "passwd")
    assert done.returncode == 2 and "no audit records" in done.stderr
    assert verify(tmp_path / "passwd")[0] == 2
