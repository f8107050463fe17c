#!/usr/bin/env python3
"""Figures compared with the peers: what one connection, one GiB and one idle tunnel cost.

Every proxy runs before the same nginx on one core, one at a time, in interleaved rounds, with the
same requests. The figures are the proxy's own processor time and memory, without the load
generator's. The table gives medians, and the ratio to a peer in each round: median, lowest and
highest. Asserts nothing."""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))

import fairness  # noqa: E402
import first_answer  # noqa: E402
import flood  # noqa: E402
import load  # noqa: E402
import meter  # noqa: E402
import scale  # noqa: E402
from peers import PEERS, Site  # noqa: E402
from pki import Pki  # noqa: E402

CORE = {0}
METRICS = {"connection": "CPU ms a connection", "gcm": "CPU s a GiB, AES128-GCM",
           "cbc": "CPU s a GiB, AES128-CBC-SHA256", "tunnel": "KiB an idle tunnel"}
SCENARIOS = {"latency": ("Latency of a request on a new connection", scale.latency),
             "fairness": ("A new connection beside six bulk streams", fairness.fairness),
             "first-answer": ("The time to the first answer beside a direct connection",
                              first_answer.first_answer),
             "flood": ("One source that floods, and a client from another", flood.flood),
             "tunnels": ("Memory of idle tunnels on one worker", scale.tunnels),
             "names": ("Host names through CONNECT", scale.names),
             "workers": ("A second worker", scale.workers)}
# (ours, the peers of which the better one counts): one row each, as the issue asks.
COMPARED = (("suitegate", ("nginx", "haproxy")),
            ("suitegate-noresume", ("nginx-noresume", "haproxy-noresume")),
            ("suitegate-connect", ("nginx", "haproxy")))


@contextlib.contextmanager
def stage():
    """The upstream and all that the proxies need."""
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        pki = Pki(home / "pki")
        https = os.geteuid() == 0  # a port that needs root
        with load.upstream(home, pki.ec, pki.rsa, https=https) as upstream:
            yield Site(home, pki, upstream.port, 443 if https else None)


class Proxy:
    """One running proxy, and how to measure each figure."""

    def __init__(self, name, mode, pid, port, upstream):
        slow = name in ("squid", "mitmproxy")
        self.name, self.pid, self.share = name, pid, 8 if slow else 1
        # They mint RSA only.
        self.target = load.Target(port, mode, upstream, "RSA" if slow else "ECDSA")

    def connection(self, options):
        before = meter.cpu_seconds(self.pid)
        done, _, _ = load.connections(self.target, options.connections // self.share)
        assert done, f"{self.name}: not one connection succeeded"
        return (meter.cpu_seconds(self.pid) - before) * 1000 / done

    def _bulk(self, options, suite):
        before = meter.cpu_seconds(self.pid)
        got = load.bulk(self.target, options.mib // self.share, suite)
        return (meter.cpu_seconds(self.pid) - before) * (1 << 30) / got

    def gcm(self, options):
        return self._bulk(options, load.GCM)

    def cbc(self, options):
        return self._bulk(options, load.CBC)

    def tunnel(self, options):
        load.connections(self.target, 64, 8)
        before = meter.memory_kib(self.pid)
        tunnels = load.idle_tunnels(self.target, options.tunnels)
        time.sleep(0.3)
        grown = (meter.memory_kib(self.pid) - before) / options.tunnels
        for s in tunnels:
            s.close()
        return grown


def start(site, name, binaries, stack):
    """name is one of PEERS, or one of ours with @N: the Nth of the binaries."""
    plain, _, number = name.partition("@")
    mode, starter = PEERS[plain]
    options = {"binary": binaries[int(number)]} if number else {}
    pid, port = stack.enter_context(starter(site, **options))
    meter.pin(pid, CORE)
    proxy = Proxy(name, mode, pid, port, site.connect if mode == "connect" else site.upstream)
    load.connections(proxy.target, 64, 8)
    return proxy


def compare(site, options):
    """All run at once and are measured in turn: the machine's other load changes from second to
    second, so compared figures are measured side by side. Memory needs a new process each time,
    since a proxy's memory of former tunnels is not new."""
    rounds = [{name: {} for name in options.peers} for _ in range(options.rounds)]
    with contextlib.ExitStack() as stack:
        proxies = [start(site, name, options.binary, stack) for name in options.peers]
        for metric in METRICS:
            for n, row in enumerate(rounds):
                for proxy in proxies:
                    with contextlib.ExitStack() as fresh:
                        asked = proxy if metric != "tunnel" else \
                            start(site, proxy.name, options.binary, fresh)
                        row[proxy.name][metric] = getattr(asked, metric)(options)
                print(f"  {METRICS[metric]}, round {n + 1}: " + ", ".join(
                    f"{name} {row[name][metric]:.3g}" for name in row), flush=True)
    return rounds


def table(rounds):
    print(f"\n| | {' | '.join(METRICS.values())} |\n|---|{'---|' * len(METRICS)}")
    for name in rounds[0]:
        cells = [f"{statistics.median(r[name][m] for r in rounds):.3g}" for m in METRICS]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nRatio to the better of the peers in the same round: median (lowest to highest)\n")
    print(f"| | peers | {' | '.join(METRICS.values())} |\n|---|---|{'---|' * len(METRICS)}")
    for ours, peers in comparisons(rounds[0]):
        cells = []
        for m in METRICS:
            ratios = [r[ours][m] / min(r[p][m] for p in peers) for r in rounds]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {ours} | {', '.join(peers)} | {' | '.join(cells)} |")


def comparisons(present):
    for name in present:
        for ours, peers in COMPARED:
            found = [p for p in peers if p in present]
            if name.partition("@")[0] == ours and found:
                yield name, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=800)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--tunnels", type=int, default=200)
    parser.add_argument("--binary", action="append", default=[],
                        help="another suitegate, as suitegate@0, suitegate-noresume@1, ...")
    parser.add_argument("--json", default="build/bench.json")
    parser.add_argument("--only", choices=["compare", *SCENARIOS], help="one part of it")
    parser.add_argument("peers", nargs="*", default=list(PEERS))
    options = parser.parse_args()
    figures = {"when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "machine": platform.platform(), "cores": os.cpu_count()}
    scale.raise_descriptors()
    with stage() as site:
        if options.only in (None, "compare"):
            figures["rounds"] = compare(site, options)
            table(figures["rounds"])
        for name, (what, measure) in SCENARIOS.items():
            if options.only in (None, name):
                print(f"\n{what}")
                figures[name] = measure(site)
    pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))
    print(f"\nAll figures: {options.json}")


if __name__ == "__main__":
    main()
