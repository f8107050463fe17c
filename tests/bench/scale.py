"""Figures that one connection cannot show: many tunnels, many names, a second worker, latency.

Each function takes the stage's Site, prints a few lines and returns its figures. Only the latency
is compared with a peer: the other figures are of suitegate alone."""

import contextlib
import os
import resource
import statistics
import time

import load
import meter
from peers import PEERS, suitegate

NAMES, HOT_NAMES = 10_000, 100
DESCRIPTORS = 130_000


def raise_descriptors():
    """As many as this user may have; every process started here inherits the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, max(DESCRIPTORS, hard)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))


def tunnels(site, counts=(5_000, 9_900, 20_000)):
    """Proportional set size with this many silent tunnels on one worker, in all."""
    room, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    rows = []
    with suitegate(site) as (pid, port):
        target = load.Target(port, "fixed", site.upstream)
        load.connections(target, 64, 8)
        idle = meter.memory_kib(pid)
        print(f"  idle process: {idle} KiB")
        held, context = [], load.client_context()
        for count in counts:
            if 2 * count + 100 > room:
                print(f"  {count} tunnels: only {room} descriptors allowed here")
                break
            held += [load.tunnel(target, context) for _ in range(count - len(held))]
            time.sleep(1)
            before = meter.cpu_seconds(pid)
            time.sleep(5)
            used = (meter.cpu_seconds(pid) - before) / 5
            each = (meter.memory_kib(pid) - idle) / count
            rows.append({"tunnels": count, "KiB each": each, "CPU while silent": used})
            print(f"  {count} tunnels: {each:.2f} KiB each, {used * 100:.2f}% of a core while "
                  "silent")
        for s in held:
            s.close()
    return {"idle KiB": idle, "rows": rows}


def name_cost(target, context, pid, names):
    before = meter.cpu_seconds(pid)
    for name in names:
        load.tunnel(target, context, name=name, address="127.0.0.1").close()
    time.sleep(0.2)
    return (meter.cpu_seconds(pid) - before) * 1000 / len(names)


def names(site):
    """One CONNECT to each of NAMES host names, all with minted leaves; then to a few again."""
    leaf = site.pki.leaf("wildcard", san=("DNS:*.names.test",))
    with load.upstream(site.home, leaf) as upstream, \
            suitegate(site, listen="forward") as (pid, port):
        target = load.Target(port, "connect", upstream.port)
        context = load.client_context()
        wanted = [f"host-{n}.names.test" for n in range(NAMES)]
        name_cost(target, context, pid, wanted[:1] * 50)
        few = statistics.median(name_cost(target, context, pid, wanted[:1] * 100)
                                for _ in range(5))
        idle = meter.memory_kib(pid)
        thousand = name_cost(target, context, pid, wanted[:1000])
        full = meter.memory_kib(pid)
        rest = name_cost(target, context, pid, wanted[1000:])
        end = meter.memory_kib(pid)
        hot = wanted[-HOT_NAMES:]
        hits = statistics.median(name_cost(target, context, pid, hot) for _ in range(5))
    print(f"  a connection, CPU ms: one name {few:.3f}; {HOT_NAMES} names in a full cache "
          f"{hits:.3f}; a new name {rest:.3f} (the first 1,000: {thousand:.3f})")
    print(f"  memory: {idle} KiB with one leaf, {full} with 1,000, {end} after {NAMES}")
    return {"one name ms": few, "full cache ms": hits, "new name ms": rest,
            "KiB one": idle, "KiB thousand": full, "KiB all": end}


def workers(site, rounds=7, connections=400, share=0.4):
    """Connections per second with one and with two workers. The load and the upstream need cores of
    their own: a cgroup gives each worker a share of one core, and it signs with RSA 2048, which is
    cheap for the client to verify. Without a writable cgroup, the workers use whole cores, and then
    the load limits two workers."""
    leaf = site.pki.leaf("heavy", key="rsa2048")
    found = {1: [], 2: []}
    with contextlib.ExitStack() as stack:
        proxies = {n: stack.enter_context(suitegate(site, workers=n, leaf=leaf)) for n in found}
        held = [stack.enter_context(meter.budget(pid, n * share))
                for n, (pid, _) in proxies.items()]
        for _ in range(rounds):
            for n, (pid, port) in proxies.items():
                target = load.Target(port, "fixed", site.upstream)
                before = meter.cpu_seconds(pid)
                done, speed, _ = load.connections(target, connections * n, 64)
                found[n].append((speed, (meter.cpu_seconds(pid) - before) * 1000 / done))
    for n, each in found.items():
        speed, cost = (statistics.median(x) for x in zip(*each))
        print(f"  {n} worker{'s' if n > 1 else ''}: {speed:.0f} connections a second, "
              f"{cost:.2f} CPU ms each")
    ratios = [two[0] / one[0] for one, two in zip(found[1], found[2])]
    limit = f"{share:.0%} of a core a worker" if all(held) else \
        f"no limit a worker: all share {os.cpu_count()} cores with the load"
    print(f"  two workers do {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
          f"{max(ratios):.2f}) times as many as one; {limit}")
    return {"ratios": ratios, "limited": all(held), "one": found[1], "two": found[2]}


def latency(site, rounds=7, seconds=3):
    """The 99th percentile of a whole request on a new connection, at half the maximum rate of the
    slower of the two."""
    found = {"suitegate": [], "nginx": []}
    with contextlib.ExitStack() as stack:
        targets = {}
        for name in found:
            mode, starter = PEERS[name]
            pid, port = stack.enter_context(starter(site))
            targets[name] = load.Target(port, mode, site.upstream)
        most = min(load.connections(t, 2000)[1] for t in targets.values())
        rate = most / 2
        for _ in range(rounds):
            for name, target in targets.items():
                _, _, spread = load.connections(target, int(rate * seconds), 8, rate)
                found[name].append((spread["50"], spread["99"]))
    rows = {}
    for name, each in found.items():
        p50, p99 = (statistics.median(x) for x in zip(*each))
        rows[name] = {"p50 ms": p50, "p99 ms": p99}
        print(f"  {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratios = [a[1] / b[1] for a, b in zip(found["suitegate"], found["nginx"])]
    print(f"  at {rate:.0f} connections a second; p99 ratio {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} to {max(ratios):.2f})")
    return {"rate": rate, **rows, "p99 ratios": ratios}
