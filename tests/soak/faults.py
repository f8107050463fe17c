"""Faults under load: processes are killed and stopped, descriptors, memory, disk, folder, clock and
DNS fail and come back, the configuration, the program and certificates change. Then it serves again,
every refusal that a client was told of is on record, the log is intact, and memory and descriptors
are back. Where nothing failed, no client may notice.
"""

import collections
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
import types

import hellos
import wire
from clock_shim import clock
from gate import free_port
from logs import intact
from names import NameServer
from refusals import ADDRESSES, Crowd, refuse
from scene import Scene, talk, wait_until
from upgradable import Upgradable
from upstreams import TlsPeer, echo

PATIENCE = 60
CLIENTS = 4
MIB = 1024
GROWN = 8 * MIB  # KiB: more is a leak


class Failure(Exception):
    """An expectation failed; the text says which."""


def demand(truth, text):
    if not truth:
        raise Failure(text)


class Place(Scene):
    """A gate before an upstream that echoes, with names and an own certificate that tests change."""

    def __init__(self, stage, name, **options):
        name = name.replace(" ", "-")
        self.home = stage.folder / name
        self.home.mkdir()
        self.home.chmod(0o755)
        self.leaf = stage.pki.leaf(f"{name}-0", key="ec256")
        self.own = types.SimpleNamespace(chain=self.home / "own.pem", key=self.home / "own.key")
        self.present(self.leaf)
        self.name_server = NameServer(self.home, {"echo.test": {"A": ["127.0.0.1"], "TTL": 1}},
                                      free_port())
        self.log = options.pop("log", self.home / "log")
        self.log.mkdir(exist_ok=True)
        super().__init__(lambda config, **more: Upgradable(self.home, config, **more), stage.pki,
                         stage.folder / "ca", stage.echo.port, keys=(),
                         proxy={"workers": 2, "max_handshakes_per_source": 0,
                                "connect_timeout": "2s", "drain_timeout": "1m"},
                         audit={"file": self.log / "audit.jsonl"},
                         upstream_leg={"resolver": self.name_server.address}, options=options)

    def present(self, leaf):
        """As certbot does: whole files, one after the other."""
        for source, path in ((leaf.chain, self.own.chain), (leaf.key, self.own.key)):
            following = path.with_suffix(".next")
            shutil.copy(source, following)
            following.chmod(0o600)
            following.rename(path)

    def ini(self):
        self.sections["listen front"] = [
            ("type", "fixed"), ("address", f"127.0.0.1:{self.fixed}"),
            ("upstream", f"127.0.0.1:{self.upstream}"), ("upstream_name", "localhost"),
            ("certificate", self.own.chain), ("key", self.own.key)]
        return super().ini()

    def files(self):
        return [self.gate.audit_path]


class Load(Crowd):
    """Clients one after the other: those that are served, by name and by the listener's own
    certificate, and those that are refused and told so, each from another address."""

    def __init__(self, place, clients=CLIENTS):
        self.place, self.lock = place, threading.Lock()
        self.contexts = {how: place.context(how) for how in ("forward", "fixed")}
        self.served, self.told, self.faults = 0, set(), []
        super().__init__(clients, pause=.002)

    def good(self, how):
        port = self.place.upstream
        sock = wire.dial(self.place.fixed) if how == "fixed" else None
        if sock is None:
            sock, answer = wire.connect(self.place.forward, f"echo.test:{port}")
            if answer.status != 200:
                sock.close()
                raise Failure(f"{answer.status} {answer.body[-200:]}")
        name = "localhost" if how == "fixed" else "echo.test"
        with wire.Tls(sock, self.contexts[how], name=name) as tls:
            tls.handshake()
            talk(tls)
            tls.close_notify()
        with self.lock:
            self.served += 1

    def weak(self):
        n = next(ADDRESSES)
        source = f"127.{9 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        with wire.dial(self.place.fixed, source=source) as sock:
            name = sock.getsockname()
            sock.sendall(hellos.hello(suites=(0x002F, 0x0035)))
            alerts = wire.plain_alerts(wire.read_to_end(sock))
        if alerts != [(2, 40)]:
            raise Failure(f"a weak hello got {alerts}")
        with self.lock:
            self.told.add(name)

    def denied(self):
        status, name = refuse(self.place.forward)
        if status != 403:
            raise Failure(f"plain HTTP got {status}")
        with self.lock:
            self.told.add(name)

    def ask(self):
        kind, *arguments = random.choice(((self.good, "forward"), (self.good, "fixed"),
                                          (self.weak,), (self.denied,)))
        try:
            kind(*arguments)
        except Exception as fault:  # whatever a client may see
            with self.lock:
                self.faults.append(f"{kind.__name__} {arguments}: {fault!r}")
        return True

    def goes_on(self, count=60):
        """So many more are served, and nobody fails for a while."""
        wait_until(lambda: self._well_since(count), PATIENCE, "that it serves again")

    def _well_since(self, count):
        served, faults = self.served, len(self.faults)
        deadline = time.monotonic() + 10
        while self.served < served + count and time.monotonic() < deadline:
            time.sleep(.05)
        return self.served >= served + count and len(self.faults) == faults


def recorded(files):
    """(sources of refusals, connections that were opened)"""
    refused, opened = collections.Counter(), 0
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                action = record["event"]["action"]
                opened += action == "connection-opened"
                if action == "connection-refused":
                    refused[record["source"]["ip"], record["source"].get("port")] += 1
    return refused, opened


def settled(place, most=1000):
    """(descriptors, resident KiB) of the process that serves, once no client is there and there are
    not more descriptors than that: a name server that is gone is asked for some seconds."""
    seen = []
    while len(seen) < 10 or len(set(seen[-10:])) > 1 or seen[-1] > most:
        seen.append(place.gate.fds())
        demand(len(seen) < 600, f"descriptors never settle at {most}: {seen[-10:]}")
        time.sleep(.1)
    return seen[-1], place.gate.rss_kib()


def measure(stage, name, inflict, quiet=False, cut=0, **options):
    """The fault under load, and what has to be true afterwards. quiet: nobody may notice. cut: so many
    connections may have opened, and not be on record, when their process was killed."""
    place = Place(stage, name, **options)
    try:
        with place.name_server:
            with Load(place) as warm:
                warm.goes_on(200)
            fds, rss = settled(place)
            with Load(place) as load:
                load.goes_on()
                before = len(load.faults)
                inflict(place)
                load.goes_on()
                noticed = len(load.faults) - before
            after_fds, after_rss = settled(place, fds)
            demand(place.gate.stop() == 0, f"it did not end well: {place.gate.stderr[-2000:]}")
            report = intact(*place.files())
    finally:
        place.gate.has_processes(signal.SIGKILL)
        Upgradable.started.clear()
    refused, opened = recorded(place.files())
    told, served = warm.told | load.told, warm.served + load.served
    print(f"  {name}: {served} served, {len(told)} told of a refusal, {noticed} failed; "
          f"{sum(refused.values())} refusals and {opened} openings on record of "
          f"{report['records']}; RSS {rss} -> {after_rss} KiB, descriptors {fds} -> {after_fds}",
          flush=True)
    missing = told - set(refused)
    demand(not missing, f"{len(missing)} refusals without a record: {sorted(missing)[:3]}")
    demand(opened + cut >= served, f"{served} were served, {opened} are on record")
    demand(after_rss <= rss + GROWN, f"memory grew from {rss} to {after_rss} KiB")
    demand(not quiet or not noticed, f"clients noticed: {load.faults[before:before + 5]}")


# ---- processes ---------------------------------------------------------------------------------

def kill(part, times):
    def inflict(place):
        for _ in range(times):
            former = place.gate.parts()[part]
            os.kill(former, signal.SIGKILL)
            wait_until(lambda: place.gate.parts().get(part, former) != former, PATIENCE)
            time.sleep(2.5)  # one that dies again within a moment is started more slowly
    return inflict


def kill_keeper(place):
    """It is what a service manager starts again."""
    os.kill(place.gate.pid, signal.SIGKILL)
    place.gate.expected_exit = -signal.SIGKILL
    place.gate.wait(PATIENCE)
    wait_until(place.gate.has_ended, PATIENCE)
    place.gate = Upgradable(place.home, place.ini())


def stand_still(place):
    for pid in (place.gate.clerk(), place.gate.proxy(), place.gate.pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        with contextlib.suppress(ProcessLookupError):  # the keeper replaces one that hangs
            os.kill(pid, signal.SIGCONT)
        time.sleep(1)


# ---- shortage ------------------------------------------------------------------------------------

def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def crowd_of_idle(place):
    """More silent clients than there are descriptors."""
    socks = [wire.dial(place.fixed) for _ in range(150)]
    time.sleep(5)
    for sock in socks:
        sock.close()


def data_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmData:")[1].split()[0])


def little_memory(place):
    """The proxy may have two more MiB, and clients that take them."""
    pid = place.gate.proxy()
    limit = (data_kib(pid) + 2 * MIB) * 1024
    flood = hellos.records(hellos.client_hello(extra=hellos.extension(21, bytes(60_000))))[:60_000]
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    socks = []
    with contextlib.suppress(OSError):
        for _ in range(150):
            socks.append(wire.dial(place.fixed))
            socks[-1].sendall(flood)
    time.sleep(5)
    for sock in socks:
        sock.close()
    resource.prlimit(pid, resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)


# ---- what it stands on ---------------------------------------------------------------------------

def jump(set_clock):
    """An hour stays within certificates' lives; a day does not, for the test's own."""
    def inflict(_):
        for hours in (1, 0, -1, 0, 24, -24, 24 * 400, 0):
            set_clock(hours * 3600)
            time.sleep(1)
    return inflict


def fill_disk(place):
    filler = place.log / "filler"
    with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(4096))
    time.sleep(4)
    filler.unlink()


def move_log(place):
    """Away, and a new folder comes two seconds later."""
    moved = place.log.rename(place.log.with_name("moved"))
    time.sleep(2)
    place.log.mkdir()
    place.files = lambda: [moved / "audit.jsonl", place.gate.audit_path]


def silence_names(place):
    """Not answered, then not even there."""
    server = place.name_server
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    server.process.send_signal(signal.SIGCONT)
    server.__exit__()
    time.sleep(4)
    server.__enter__()


# ---- changes that nobody may notice --------------------------------------------------------------

def reload_100(place):
    for _ in range(100):
        demand(place.gate.reload()["event"]["action"] == "configuration-loaded", "a reload failed")


def upgrade_20(place):
    for _ in range(20):
        place.gate.upgrade()


def renew(place):
    for i in range(1, 6):
        leaf = place.pki.leaf(f"{place.home.name}-{i}", key=("ec256", "rsa2048")[i % 2])
        place.present(leaf)
        place.gate.wait_record(action="configuration-loaded", count=i, timeout=PATIENCE)


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 16 MiB. None: this user may not mount one."""
    point = folder / "disk"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "suitegate-soak",
                              point], capture_output=True, check=False).returncode == 0
    try:
        yield point if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", point], check=True)


def faults(stage):
    """All of them. stage: folder, pki, a CA in folder/ca."""
    with TlsPeer(wire.server_context(stage.pki.leaf(
            "echo", key="ec256", san=("DNS:localhost", "DNS:echo.test"))), echo) as stage.echo:
        measure(stage, "clerk killed", kill("clerk", 3))
        measure(stage, "proxy killed", kill("proxy", 3), cut=3 * CLIENTS)
        measure(stage, "keeper killed", kill_keeper, cut=CLIENTS)
        measure(stage, "stopped", stand_still)
        measure(stage, "64 descriptors", crowd_of_idle, popen={"preexec_fn": few_descriptors})
        measure(stage, "little memory", little_memory)
        made = clock.__wrapped__(stage.folder)
        env, set_clock = next(made)
        measure(stage, "clock", jump(set_clock), env=env)
        made.close()
        with small_disk(stage.folder) as disk:
            if disk:
                measure(stage, "disk full", fill_disk, log=disk)
            else:
                print("  disk full: not tried, this user may not mount a file system")
        measure(stage, "log moved", move_log)
        measure(stage, "no DNS", silence_names)
        measure(stage, "100 reloads", reload_100, quiet=True)
        measure(stage, "20 upgrades", upgrade_20, quiet=True)
        measure(stage, "renewed", renew, quiet=True)
