#!/usr/bin/python3 -B
"""Runs the functional tests, three files at once per processor, since tests wait a lot: first the
slow small ones, then the largest. Prints the output of a file if it fails, and at the end once
more the failed tests, a line each.
Each file has a process of its own, forked from this one, which has read what all of them import and
made the certificates that they begin with.

usage: SUITEGATE=BINARY functional.py LOGS FILE..."""

import collections
import os
import pathlib
import re
import shutil
import sys

import pytest

AT_ONCE = min(3 * os.cpu_count(), 8)  # at most as many as have ports of their own: gate.py
SLOW = re.compile("test_(build|ca_install|chains|check_(faults|limits|servers)|clerk|deadlines|"
                  "ordinary|package|records|sources)$")
GOOD = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)  # none: none is for this build


def start(path, log, slot):
    """The process that runs the tests of one file."""
    process = os.fork()
    if process:
        return process
    os.environ["SUITEGATE_TEST_SLOT"] = str(slot)
    with open(log, "wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(path)]))


def report(path, log, status):
    """What pytest says at its end: counts, and lines on failed tests. A file that ended without
    that has failed."""
    text = log.read_text(errors="replace")
    last = (text.splitlines() or [""])[-1]
    found = re.findall(r"(\d+) (passed|skipped|failed|error)", last)
    counts = collections.Counter({what: int(n) for n, what in found})
    counts["failed"] += counts.pop("error", 0)
    good = status in GOOD and re.search(r" in [\d.]+s", last) and not counts["failed"]
    if not good and not counts["failed"]:
        counts["failed"] = 1
    print(f"{path.stem}: {last}" if good else f"{text}\n{path.stem}: exit {status}", flush=True)
    failed = re.findall(r"^(?:FAILED|ERROR) .*", text, re.MULTILINE)
    return counts, [] if good else failed or [f"FAILED {path.stem}: exit {status}"]


def main():
    logs, *paths = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    os.environ["SUITEGATE_TEST_SHARED"] = str(logs.resolve())
    sys.path.insert(0, str(paths[0].parent))
    import gate  # (and through these whatever every test file needs)
    import pki
    import upstreams  # noqa: F401

    gate.ca_init(logs / "ca")
    pki.TEMPLATE = pki.prepare(logs.resolve() / "pki")

    waiting = sorted(paths, key=lambda p: (not SLOW.search(p.stem), -p.stat().st_size))
    slots, running = list(range(AT_ONCE)), {}
    total, failed = collections.Counter(), []
    while waiting or running:
        while waiting and slots:
            path, slot = waiting.pop(0), slots.pop()
            log = logs / f"{path.stem}.log"
            running[start(path, log, slot)] = path, log, slot
        process, status = os.wait()
        path, log, slot = running.pop(process)
        slots.append(slot)
        counts, lines = report(path, log, os.waitstatus_to_exitcode(status))
        total.update(counts)
        failed += lines
    print(*failed, sep="\n", end="\n" * bool(failed))
    print("functional: {passed} passed, {skipped} skipped, {failed} failed".format_map(total))
    return total["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
