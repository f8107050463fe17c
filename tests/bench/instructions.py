#!/usr/bin/env python3
"""Instructions that suitegate executes for a connection and for a MiB, counted by callgrind: a busy
machine does not change them. One client, one request after another, a real upstream. The count is
for all its processes between two points, its own code and the libraries', without the kernel.
valgrind's processor has AVX2 but no SHA or AVX-512 instructions: compare the figures only with
figures of the same kind.

instructions.json has the reference figures; this prints the change. --write replaces
them."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "functional"))

import hellos  # noqa: E402
import load  # noqa: E402
import meter  # noqa: E402
from peers import Site, suitegate  # noqa: E402
from pki import Pki  # noqa: E402

FIGURES = HERE / "instructions.json"
CONNECTIONS, GCM_MIB, CBC_MIB = 40, 24, 8


class Counter:
    """callgrind's counter of a running gate, all its processes."""

    def __init__(self, pid, folder):
        self.pids, self.folder, self.dumps = meter.tree(pid), pathlib.Path(folder), 0

    def _control(self, option):
        for pid in self.pids:
            subprocess.run(["callgrind_control", option, str(pid)], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def count(self, work):
        self._control("-z")
        work()
        time.sleep(0.3)  # pending records are written
        self._control("-d")
        self.dumps += 1
        return sum(self._total(pid) for pid in self.pids)

    def _total(self, pid):
        dump = self.folder / f"callgrind.{pid}.{self.dumps}"
        deadline = time.monotonic() + 10
        while not dump.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)[1])


def measured(site, folder, **options):
    """A gate under callgrind, and its counter."""
    wrapper = ["valgrind", "--tool=callgrind", "-q", "--trace-children=yes",
               f"--callgrind-out-file={folder}/callgrind.%p"]
    return suitegate(site, wrapper=wrapper, **options)


def connections(target, count, **options):
    context = load.client_context()
    for n in range(count):
        name = options.get("name", "localhost").format(n)
        load.tunnel(target, context, name=name, address=options.get("address")).close()


def resumptions(target, count):
    context = load.client_context()
    with load.tunnel(target, context) as first:
        session = first.session
    for _ in range(count):
        with load.tunnel(target, context, session=session) as s:
            assert s.session_reused


def refusals(port, count):
    for _ in range(count):
        hellos.ask(port, hellos.hello(version=0x0301))


def fixed(site, folder, figures):
    with measured(site, folder) as (pid, port):
        target, counter = load.Target(port, "fixed", site.upstream), Counter(pid, folder)
        connections(target, 3)
        figures["a connection, upstream resumed"] = counter.count(
            lambda: connections(target, CONNECTIONS)) // CONNECTIONS
        figures["a connection, both legs resumed"] = counter.count(
            lambda: resumptions(target, CONNECTIONS)) // CONNECTIONS
        figures["a refused hello"] = counter.count(
            lambda: refusals(port, CONNECTIONS)) // CONNECTIONS
        for name, mib, suite in (("GCM", GCM_MIB, load.GCM), ("CBC", CBC_MIB, load.CBC)):
            figures[f"a MiB, AES128-{name}"] = counter.count(
                lambda m=mib, s=suite: load.bulk(target, m, s)) // mib


def full(site, folder, figures):
    with measured(site, folder, resume=False) as (pid, port):
        target, counter = load.Target(port, "fixed", site.upstream), Counter(pid, folder)
        connections(target, 3)
        figures["a connection, both handshakes full"] = counter.count(
            lambda: connections(target, CONNECTIONS)) // CONNECTIONS


def forward(site, folder, figures):
    leaf = site.pki.leaf("wildcard", san=("DNS:*.names.test",))
    with load.upstream(site.home, leaf) as upstream, \
            measured(site, folder, listen="forward") as (pid, port):
        target, counter = load.Target(port, "connect", upstream.port), Counter(pid, folder)
        connections(target, 3, name="warm.names.test", address="127.0.0.1")
        figures["a CONNECT to a known name"] = counter.count(
            lambda: connections(target, CONNECTIONS, name="warm.names.test",
                                address="127.0.0.1")) // CONNECTIONS
        figures["a CONNECT to a new name"] = counter.count(
            lambda: connections(target, CONNECTIONS, name="host-{}.names.test",
                                address="127.0.0.1")) // CONNECTIONS


def report(figures, known):
    for name, count in figures.items():
        before = known.get(name)
        change = f"{(count - before) * 100 / before:+6.1f}%" if before else "    new"
        print(f"  {name:38} {count:>12,}  {change}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the figures that count")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        pki = Pki(pathlib.Path(folder) / "pki")
        with load.upstream(folder, pki.ec) as upstream:
            site = Site(folder, pki, upstream.port, ca_key="ec")
            for scenario in (fixed, full, forward):
                scenario(site, folder, figures)
    print("instructions, and the change against tests/bench/instructions.json:")
    report(figures, json.loads(FIGURES.read_text()) if FIGURES.exists() else {})
    if options.write:
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("VALGRIND_OPTS", "")
    main()
