"""What one source can do to others: it holds SILENT idle connections and makes new handshakes as
fast as it can, while a client from another address sends small requests.

Every proxy has at most 8,000 connections and, if it supports them, suitegate's default limits: half
of them for one source, 200 new connections a second (nginx's stream module has no limit for the
rate). One thread on one core; the load has the other cores. There, the flood gets what the client
and the upstream leave: what it takes from them is not the proxy's fault. As a program, this file is
the flooding source: flood.py hold PORT COUNT or flood.py shake PORT SECONDS."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

SILENT, REQUESTS, PAUSE_S = 9_000, 150, 0.03
CULPRIT, CLIENT = "127.0.0.1", "127.0.0.2"


def hold(port, count):
    held = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), 5, (CULPRIT, 0)))
    print("holding", len(held), flush=True)
    sys.stdin.read()


def shake(port, seconds):
    import load
    context, end = load.client_context(), time.monotonic() + seconds
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    def one():
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                with socket.create_connection(("127.0.0.1", port), 5, (CULPRIT, 0)) as plain:
                    context.wrap_socket(plain, server_hostname="localhost").close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


@contextlib.contextmanager
def culprit(*arguments):
    p = subprocess.Popen([sys.executable, "-B", __file__, *map(str, arguments)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        if arguments[0] == "hold":
            p.stdout.readline()
        yield
    finally:
        p.kill()
        p.wait()


def ask(port, context):
    """Milliseconds of each request that was answered within five seconds."""
    served = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), 5, (CLIENT, 0)) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with context.wrap_socket(plain, server_hostname="localhost") as s:
                    s.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    if s.recv(65536).startswith(b"HTTP/1.1 200"):
                        served.append(1000 * (time.perf_counter() - start))
        time.sleep(PAUSE_S)
    return served


def figures(served):
    ordered = sorted(served) or [float("inf")]
    return {"served": len(served) / REQUESTS, "p50 ms": statistics.median(ordered),
            "p99 ms": ordered[int(0.99 * (len(ordered) - 1))]}


def flood(site, names=("suitegate", "nginx", "haproxy")):
    import load
    import meter
    from peers import PEERS
    context, found = load.client_context(), {}
    cores = os.sched_getaffinity(0)
    for name in names:
        _, starter = PEERS[name]
        with contextlib.ExitStack() as stack:
            pid, port = stack.enter_context(starter(site, limits=True))
            meter.pin(pid, {0})
            if len(cores) > 1:
                os.sched_setaffinity(0, cores - {0})
                stack.callback(os.sched_setaffinity, 0, cores)
            idle = figures(ask(port, context))
            with culprit("hold", port, SILENT), culprit("shake", port, 120):
                time.sleep(2)
                under = figures(ask(port, context))
        found[name] = {"idle": idle, "flood": under}
        print(f"  {name}: {under['served']:.1%} served, p50 {under['p50 ms']:.1f} ms "
              f"(idle {idle['p50 ms']:.1f}), p99 {under['p99 ms']:.1f} ms "
              f"(idle {idle['p99 ms']:.1f}, {under['p99 ms'] / idle['p99 ms']:.2f} times)")
    return found


if __name__ == "__main__":
    {"hold": hold, "shake": shake}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
