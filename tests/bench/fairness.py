"""What bulk streams on a busy worker cost other clients: a new connection with one small request,
while STREAMS downloads run through the same proxy.

The small requests use their own listener and their own upstream, so the two loads share only the
proxy. Every proxy has one thread on one core; the load has the other cores. The proxies take turns
within each round: the ratio of a round counts.

Besides the time, it measures the processor time that the proxy used meanwhile for anything: the
work that is done before the new connection is served. A busy machine does not change it."""

import contextlib
import os
import socket
import statistics
import subprocess
import time

import load
import meter
from gate import free_port
from peers import PEERS

STREAMS, REQUESTS = 6, 40


def small(pid, port, context):
    """Seconds, and the proxy's processor seconds, from connect to the whole answer to one request
    on a new connection."""
    spent, before = meter.cpu_seconds(pid), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
            return time.perf_counter() - before, meter.cpu_seconds(pid) - spent


@contextlib.contextmanager
def streams(target, count=STREAMS):
    """Endless downloads, each on its own connection."""
    argv = ["curl", "-sSk", "--tls-max", "1.2", "--ciphers", load.GCM.format(target.key)]
    for _ in range(50):
        argv += ["-o", "/dev/null", target.url("/big")]
    running = [subprocess.Popen(argv, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
        assert all(p.poll() is None for p in running), "a stream ended too early"
    finally:
        for p in running:
            p.kill()
        for p in running:
            p.wait()


def percentiles(requests):
    figures = {}
    for what, seconds in zip(("", " CPU"), zip(*requests)):
        ordered = sorted(1000 * s for s in seconds)
        figures[f"p50{what} ms"] = statistics.median(ordered)
        figures[f"p95{what} ms"] = ordered[int(0.95 * (len(ordered) - 1))]
    return figures


def start(stack, site, quiet, name, binaries):
    """name is one of PEERS, or one of ours with @N: the Nth of the binaries."""
    plain, _, number = name.partition("@")
    mode, starter = PEERS[plain]
    also = (free_port(), quiet)
    options = {"binary": binaries[int(number)]} if number else {}
    pid, port = stack.enter_context(starter(site, also=also, **options))
    meter.pin(pid, {0})
    return pid, load.Target(port, mode, site.upstream), also[0]


def fairness(site, rounds=7, names=("suitegate", "nginx", "haproxy"), binaries=()):
    found = {name: [] for name in names}
    context = load.client_context()
    cores = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        quiet = stack.enter_context(load.upstream(site.home, site.pki.ec)).port
        proxies = {name: start(stack, site, quiet, name, binaries) for name in names}
        if len(cores) > 1:
            os.sched_setaffinity(0, cores - {0})
            stack.callback(os.sched_setaffinity, 0, cores)
        for _ in range(rounds):
            for name, (pid, target, port) in proxies.items():
                with streams(target):
                    found[name].append(percentiles([small(pid, port, context)
                                                    for _ in range(REQUESTS)]))
    for name, each in found.items():
        medians = {p: statistics.median(r[p] for r in each) for p in each[0]}
        line = f"  {name}: " + ", ".join(f"{p[:-3]} {ms:.2f} ms" for p, ms in medians.items())
        for other in (n for n in ("nginx", "haproxy") if n in found and n != name):
            ratios = (statistics.median(a[p] / b[p] for a, b in zip(each, found[other]))
                      for p in medians)
            line += f"; of {other}'s " + " ".join(f"{r:.2f}" for r in ratios)
        print(line)
    return found
