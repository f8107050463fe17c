"""A log on standard output, one chain per start: how the chains refer to each other, and what shows
that a run was removed, cut or moved."""

import functools
import itertools
import json
import re
import shutil

import pytest

from forgery import Forger, chained_again, sealed, with_member
from gate import Gate, StartError, run
from logs import (ZEROS, fault_of, hash_of, intact, is_checkpoint, killed, signature_holds,
                  verify, written_key)
from names import unshare
from refusals import Load, refuse_many
from scene import at, wait_until

STREAM = {"file": "-", "key": "log.key"}


def lines_of(text):
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def one_run(make_forward, count=3, end=Gate.stop, audit=None, **options):
    """The output of a whole run; its second record is a checkpoint if there is a key."""
    gate = make_forward(audit=audit or STREAM, **options)
    if (audit or STREAM).get("key"):
        wait_until(lambda: b"log-checkpoint" in gate.stdout_path.read_bytes())
    refuse_many(gate.port, count)
    end(gate)
    return gate.stdout_path.read_bytes()


def verified(*texts, key=None):
    return intact(*(["--key", key] if key else []), "-", input=b"".join(texts).decode())


def fault(*texts):
    return fault_of("-", input=b"".join(texts).decode())


class Runs:
    """Three runs, of 6, 7 and 8 records, with the noted key."""

    def __init__(self, folder, start):
        make = functools.partial(start, functools.partial(Gate, folder))
        self.texts = [one_run(make, count, Gate.finish) for count in (2, 3, 4)]
        self.key = folder / "log.pub"
        self.key.write_text(run("log", "key", "-c", folder / "suitegate.ini").stdout)
        assert [len(lines_of(text)) for text in self.texts] == [6, 7, 8]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, start_forward):
    return Runs(tmp_path_factory.mktemp("runs"), start_forward)


def test_each_run_names_the_one_before(runs, tmp_path):
    report = verified(*runs.texts, key=runs.key)
    assert (report["complete"], report["chains"], report["unlinked_chains"], report["records"],
            report["notes"]) == (True, 3, 0, 21, [])
    for before, text in itertools.pairwise(runs.texts):
        named = [log for r in map(json.loads, lines_of(text))
                 if "previous_hash" in (log := r["suitegate"].get("log", {}))]
        assert len(named) == 1  # the first checkpoint only
        assert named[0]["previous_sequence"] == len(lines_of(before))
        assert named[0]["previous_hash"].encode() == hash_of(lines_of(before)[-1])
    assert b"previous_hash" not in runs.texts[0]
    for text in runs.texts:
        for record in filter(is_checkpoint, map(json.loads, lines_of(text))):
            assert signature_holds(record, runs.key, tmp_path)
    done = run("log", "verify", "-", input=b"".join(runs.texts).decode())
    assert done.stdout.startswith("INTACT: 21 records in 3 chains, each of which names the one "
                                  "before, complete and unaltered (")


def test_a_run_in_between_that_was_taken_out_shows(runs):
    # The third run's second record is its first checkpoint.
    assert fault(runs.texts[0], runs.texts[2]) == ("removed", 2, 8)


def test_what_comes_before_the_first_run_is_told(runs):
    report = verified(*runs.texts[1:])
    assert report["complete"] and report["chains"] == 2
    assert any("The run before the first one, up to its record 6" in limit
               for limit in report["does_not_show"])
    assert not any("The run before" in limit for limit in verified(*runs.texts)["does_not_show"])


@pytest.mark.parametrize("order", [order for order in itertools.permutations(range(3))
                                   if order != (0, 1, 2)], ids=str)
def test_another_order_of_the_runs_shows(runs, order):
    assert fault(*(runs.texts[i] for i in order))[0] == "reordered"


def test_a_run_that_comes_too_late_is_told_in_one_sentence(runs):
    report = verify("-", input=b"".join(runs.texts[i] for i in (0, 2, 1)).decode())[1]
    assert report["fault"]["sentence"] == (
        "the run before this one, which ended with record 7, should stand in front of it, and "
        "stands further on")


def test_a_run_that_was_put_in_twice_shows(runs):
    assert fault(runs.texts[0], runs.texts[1], runs.texts[1], runs.texts[2])[0] == "removed"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_file_a_run_may_be_given_in_any_order(runs, tmp_path, order):
    for i, text in enumerate(runs.texts):
        (tmp_path / f"run{i}").write_bytes(text)
    report = intact(*(tmp_path / f"run{i}" for i in order))
    assert (report["complete"], report["chains"], report["files"]) == (True, 3, 3)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_the_end_of_a_run_that_was_cut_off_shows(runs, cut):
    assert fault(b"".join(lines_of(runs.texts[0])[:-cut]), *runs.texts[1:])[0] == "removed"


def relinked(lines, change):
    """The run with a changed link and new hashes, as anybody can compute them."""
    def rewrite(line, *_):
        return change(line)
    return b"".join(chained_again(lines, sign=rewrite))


def without_link(line):
    return re.sub(rb'"previous_sequence":\d+,"previous_hash":"[0-9a-f]*",', b"", line)


def test_a_link_that_was_taken_out_or_changed_shows(runs):
    first, second, third = runs.texts
    # Only what comes after the last checkpoint but one could be chained again unseen.
    short = lines_of(third)[:2]
    assert b"previous_hash" in short[1]
    assert verified(first, second, b"".join(short))["complete"]
    assert fault(first, relinked(short, without_link))[0] == "changed"
    end = lines_of(first)[-1]
    assert fault(first, relinked(short, lambda line: with_member(
        with_member(line, b"previous_sequence", 6), b"previous_hash",
        hash_of(end).decode())))[0] == "changed"


def test_a_run_that_was_made_up_shows(runs, tmp_path):
    """Another key signs it, and it names the right end. The noted key is a different one."""
    forged = relinked(lines_of(runs.texts[1]), without_link)
    assert forged != runs.texts[1]
    sign = Forger(tmp_path, "public_key", "key_id")
    lines = b"".join(chained_again(lines_of(forged), sign=sign))
    status = run("log", "verify", "--key", runs.key, "-",
                 input=(runs.texts[0] + lines + runs.texts[2]).decode()).returncode
    assert status == 1


def test_without_a_key_nothing_is_said_of_completeness(make_forward):
    texts = [one_run(make_forward, audit={"file": "-"}) for _ in range(2)]
    report = verified(*texts)
    assert (report["complete"], report["chains"], report["unlinked_chains"]) == (False, 2, 1)
    assert "whole runs may have been taken out" in report["does_not_show"][0]
    assert "A new chain begins at standard input line 6" in report["notes"][0]
    done = run("log", "verify", "-", input=b"".join(texts).decode())
    assert done.returncode == 0
    assert done.stdout.startswith("INTACT: 10 records in 2 chains, unaltered (")
    assert not re.search(r"\bcomplete\b", done.stdout.split("What this does not show")[0])


def test_a_state_that_is_gone_leaves_a_chain_that_names_none(make_forward, tmp_path):
    texts = [one_run(make_forward)]
    (tmp_path / "log.key.state").unlink()
    texts += [one_run(make_forward) for _ in range(2)]
    report = verified(*texts)
    assert (report["complete"], report["chains"], report["unlinked_chains"]) == (False, 3, 1)


def test_a_run_that_was_killed_is_named_by_the_next(make_forward):
    texts = []
    for _ in range(3):
        gate = make_forward(audit=STREAM)
        with Load(gate.port, 4) as load:
            wait_until(lambda: len(load.answered) > 50)
            killed(gate)
        text = gate.stdout_path.read_bytes()
        texts.append(text[:text.rfind(b"\n") + 1])
        gate.expected_exit = -9
    texts.append(one_run(make_forward))
    report = verified(*texts)
    assert (report["complete"], report["chains"]) == (True, 4)


def test_a_state_that_a_power_failure_set_back_accuses_nobody(make_forward, tmp_path):
    state, texts = tmp_path / "log.key.state", []
    gate = make_forward(audit=STREAM)
    refuse_many(gate.port, 3)
    shutil.copy(state, tmp_path / "earlier")
    named = json.loads(state.read_text())["sequence"]
    refuse_many(gate.port, 5)
    gate.stop()
    texts.append(gate.stdout_path.read_bytes())
    shutil.copy(tmp_path / "earlier", state)
    texts.append(one_run(make_forward))
    report = verified(*texts)
    assert report["complete"] and len(report["notes"]) == 1
    more = len(lines_of(texts[0])) - named
    assert f"names record {named} as the last one before it; {more} more" in report["notes"][0]


def test_a_run_that_ended_before_it_signed_is_vouched_for_by_the_next(make_forward, tmp_path):
    texts = [one_run(make_forward) for _ in range(2)]
    first = lines_of(texts[1])[0]
    state = tmp_path / "log.key.state"
    text = json.loads(state.read_text()) | {"sequence": 1, "hash": hash_of(first).decode()}
    state.write_text(json.dumps(text))
    texts.append(one_run(make_forward))
    report = verified(texts[0], first, texts[2])
    assert (report["complete"], report["chains"], report["unlinked_chains"]) == (False, 3, 1)
    other = sealed(first.replace(b"started", b"STARTED"), ZEROS, 1)
    assert fault(texts[0], other, texts[2])[0] == "removed"
    assert fault(texts[0], first)[0] == "removed"  # no signature covers it


def test_two_processes_cannot_have_one_key_for_their_streams(make_forward, tmp_path):
    gate = make_forward(audit=STREAM)
    (tmp_path / "second").mkdir()
    with pytest.raises(StartError, match="(?s)^exit 2\n.*another process is writing this log"):
        make_forward(audit={"file": "-", "key": tmp_path / "log.key"},
                     options={"folder": tmp_path / "second"})
    gate.stop()
    one_run(make_forward)


def test_a_key_that_cannot_be_written_beside_is_warned_of(make_forward, tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    audit = {"file": "-", "key": folder / "log.key"}
    texts = [one_run(make_forward, audit=audit)]
    (folder / "log.key.state").unlink()
    read_only = [*unshare("--user", "--map-root-user", "--mount"), "sh", "-c",
                 f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" '
                 '&& exec "$@"', "sh"]
    gate = make_forward(audit=audit, options={"wrapper": read_only})
    refuse_many(gate.port, 3)
    gate.stop()
    assert "will not show whether whole runs were taken out" in gate.stderr
    assert not verified(*texts, gate.stdout_path.read_bytes())["complete"]


def test_a_log_that_comes_back_to_standard_output_names_its_own_last_run(make_forward, tmp_path):
    gate = make_forward(audit=STREAM)
    refuse_many(gate.port, 2)
    config = gate.config
    gate.write_config(config.replace("file = -", f"file = {tmp_path / 'audit.jsonl'}"))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    refuse_many(gate.port, 2)
    gate.write_config(config)
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    refuse_many(gate.port, 2)
    gate.stop()
    report = verified(gate.stdout_path.read_bytes())
    assert (report["complete"], report["chains"]) == (True, 2)
    assert intact(tmp_path / "audit.jsonl", "--key", written_key(gate))["complete"]
