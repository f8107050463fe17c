"""`suitegate check` against servers that answer slowly, limit their clients, have more addresses
than check asks, or many names: this hides nothing and accuses nobody."""

import concurrent.futures
import subprocess
import threading
import time

import pytest

import wire
from checks import (CLOSE, HANG, OLD, RESET, ClientHello, Front, assert_not_hidden, first_record,
                    flight, four_at_once, is_old, is_open, is_others_only, judge, judge_all, offers,
                    splice)
from gate import PATIENCE, free_port
from names import World, with_hosts
from policy_servers import POLICY
from upstreams import nginx


@pytest.fixture(scope="module")
def few(pki, tmp_path_factory):
    """All versions, but few old suites, so that slow answers are few."""
    with nginx(tmp_path_factory.mktemp("few"), pki.ec, protocols="TLSv1 TLSv1.1 TLSv1.2",
               ciphers=f"{POLICY}:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0") as server:
        yield server


# ---- servers that are slow where it matters ------------------------------------------------

def slowly(hello, _number):
    """TLS 1.2 is fast, so a second seems to be long."""
    if is_old(hello):
        time.sleep(LATE)


def slowly_or_never(hello, _number):
    """It drops what it does not like; it accepts one suite of TLS 1.0 after a while."""
    if not is_old(hello):
        return None
    if hello is None or hello.version != 0x0301 or not offers(hello, 0x0035):
        return HANG
    time.sleep(LATE)
    return flight(0x0301, 0x0035)


def others_slowly(hello, _number):
    if not is_others_only(hello):
        return None
    time.sleep(LATE)
    return flight(0x0303, 0x0035) if offers(hello, 0x0035) else wire.alert(40)


class Piecemeal(Front):
    """Answers old hellos in two pieces."""

    def _play(self, sock, _number):
        raw = first_record(sock)
        if is_old(ClientHello(raw) if raw[:1] == b"\x16" else None):
            answer = flight(0x0301, 0xC009)
            sock.sendall(answer[:20])
            time.sleep(LATE)
            sock.sendall(answer[20:])
            wire.read_to_end(sock)
        else:
            with wire.dial(self._to) as server:
                server.sendall(raw)
                splice(sock, server)


LATE = 1.2
LATE_ONES = {  # server, Front, rule, time given, the required findings
    "old versions": ("few", Front, slowly, "9s", OLD),
    "old versions, with little time": ("few", Front, slowly, "7s", OLD),
    "old versions, or never": ("strict", Front, slowly_or_never, "9s", OLD[:1]),
    "other suites": ("strict", Front, others_slowly, "9s",
                     (("accepts_suite", "TLS_RSA_WITH_AES_256_CBC_SHA"),)),
    "half of a ServerHello": ("few", Piecemeal, None, "8s", OLD[:1]),
}
RATES = [(server, rate, end) for server in ("strict", "loose")
         for rate, end in ((5, CLOSE), (7, RESET), (10, CLOSE), (10, HANG), (15, RESET),
                           (20, CLOSE), (20, HANG))]


@pytest.fixture(scope="module")
def waiting(pki, strict, loose, few):
    """The tests that mostly wait, in parallel: {name or rate: future of a Host}."""
    real = {"strict": strict.port, "loose": loose.port, "few": few.port}

    def late(server, kind, rule, given, _findings):
        with kind(real[server], rule) as front:
            return judge(pki, front.port, "--timeout", given, timeout=50)

    def limited(server, rate, end):
        return judged_behind(pki, real[server], PerSecond(rate, end), "--timeout", "8s")
    with concurrent.futures.ThreadPoolExecutor(len(LATE_ONES) + len(RATES)) as pool:
        yield {**{name: pool.submit(late, *one) for name, one in LATE_ONES.items()},
               **{one: pool.submit(limited, *one) for one in RATES}}


@pytest.mark.parametrize("name", LATE_ONES)
def test_what_is_answered_late_is_not_hidden(waiting, name):
    assert_not_hidden(waiting[name].result(), *LATE_ONES[name][-1])


# ---- servers with limits ------------------------------------------------------------------

def facts(host):
    """What two runs must have in common."""
    return host.verdict, *(sorted(host.items(kind), key=str)
                           for kind in ("problems", "doubts", "findings"))


class Limit:
    """greet() of a server that is full if full(sock) is true."""

    def __init__(self, end):
        self._end, self._lock, self.refused = end, threading.Lock(), 0

    def full(self, sock):
        raise NotImplementedError

    def __call__(self, sock, _number):
        with self._lock:
            full = self.full(sock)
            self.refused += full
        if full and self._end == RESET:
            wire.reset(sock)
        if full and self._end == HANG:
            wire.read_to_end(sock)
        return not full


class AtOnce(Limit):
    """A limit of connections at once. A late server learns of closed ones only after it has
    decided, like an event loop that accepts first."""

    def __init__(self, limit, end=CLOSE, late=False):
        super().__init__(end)
        self._limit, self._late, self._open = limit, late, set()

    def full(self, sock):
        if not self._late:
            self._open = set(filter(is_open, self._open))
        full = len(self._open) >= self._limit
        self._open = {s for s in self._open if is_open(s)} | (set() if full else {sock})
        return full


class PerSecond(Limit):
    def __init__(self, limit, end):
        super().__init__(end)
        self._limit, self._times = limit, []

    def full(self, sock):
        now = time.monotonic()
        self._times = [t for t in self._times if now - t < 1] + [now]
        return len(self._times) > self._limit


def judged_behind(pki, port, limit, *options):
    with Front(port, lambda *_: None, limit) as front:
        host = judge(pki, front.port, *options, timeout=50)
    return host


def assert_same_or_unknown(host, whole):
    if host.verdict == "could_not_tell":
        assert host.items("problems") == []
        assert host.items("doubts")
    else:
        assert facts(host) == facts(whole)


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("server", ["strict", "loose"])
def test_a_limit_of_connections_at_once_changes_no_answer(pki, request, server, limit):
    real = request.getfixturevalue(server)
    whole, refused = judge(pki, real.port), 0
    for end in (CLOSE, RESET, CLOSE, RESET, CLOSE):  # no two runs are alike
        crowd = AtOnce(limit, end)
        assert_same_or_unknown(judged_behind(pki, real.port, crowd), whole)
        refused += crowd.refused
    assert refused


@pytest.mark.parametrize("server", ["strict", "few"])
def test_a_limit_that_counts_who_has_just_gone_changes_no_answer(pki, request, server):
    """Like limits above one, only more often."""
    real = request.getfixturevalue(server)
    whole = judge(pki, real.port)
    for _ in range(2):
        assert_same_or_unknown(judged_behind(pki, real.port, AtOnce(1, late=True)), whole)


@pytest.mark.parametrize("server, rate, end", RATES)
def test_a_limit_of_connections_a_second_changes_no_answer(pki, request, waiting, server, rate,
                                                           end):
    real = request.getfixturevalue(server)
    assert_same_or_unknown(waiting[server, rate, end].result(), judge(pki, real.port))


@pytest.mark.parametrize("every", [2, 3])
def test_a_server_that_refuses_every_other_connection_is_not_accused(pki, strict, every):
    """The server closes in every case: that is no answer."""
    whole = judge(pki, strict.port)
    with Front(strict.port, lambda _, n: CLOSE if n % every == 0 else None) as front:
        assert_same_or_unknown(judge(pki, front.port, "--timeout", "8s", timeout=50), whole)


# ---- more addresses than are asked ----------------------------------------------------------

@pytest.mark.parametrize("count", [17, 25])
def test_more_addresses_than_are_asked_are_a_doubt(pki, tmp_path, count):
    """The addresses that were left out stay unknown."""
    port = free_port()
    zone = {"many.test": {"A": [f"127.0.0.{n}" for n in range(1, count + 1)]}}
    server = nginx(tmp_path, pki.ec, port=port, ciphers=POLICY)
    conf = server.argv[-1]
    conf.write_text(conf.read_text().replace(f"127.0.0.1:{port}", str(port)))
    with World(tmp_path, zone) as world:
        with open(tmp_path / "inside.log", "wb") as log, subprocess.Popen(
                [*world.enter, *map(str, server.argv)], stdout=log, stderr=log) as process:
            try:
                await_listener(world, port, process)
                arguments = ("--ca", pki.trust, "--name", "localhost", f"many.test:{port}")
                host, = judge_all(*arguments, wrapper=world.enter)
            finally:
                process.kill()
    assert host.verdict == "could_not_tell"
    assert host.items("doubts") == [("more_addresses", None)]
    assert len(host.addresses) == 16


def await_listener(world, port, process):
    deadline = time.monotonic() + PATIENCE
    while f":{port:04X} ".encode() not in subprocess.run(
            [*world.enter, "cat", "/proc/self/net/tcp"], capture_output=True, check=True).stdout:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


# ---- one server under many names --------------------------------------------------------------

SPELLINGS = {
    "eight times the same": ["localhost"] * 8,
    "in several spellings": ["localhost", "LOCALHOST", "localhost.", "LocalHost", "127.0.0.1",
                             "one.test", "two.test", "ONE.test."],
    "mapped into IPv6": ["127.0.0.1", "[::ffff:127.0.0.1]"] * 4,
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_four_connections_at_once_however_a_server_is_listed(pki, few, tmp_path, name):
    wrapper = with_hosts(tmp_path, [("127.0.0.1", n) for n in ("localhost", "one.test",
                                                               "two.test")])

    def look():
        with Front(few.port, lambda *_: time.sleep(0.005)) as front:
            targets = [f"{spelling}:{front.port}" for spelling in SPELLINGS[name]]
            hosts = judge_all("--ca", pki.trust, "--name", "localhost", *targets, wrapper=wrapper)
        assert len(hosts) == 8 and len({str(facts(h)) for h in hosts}) == 1
        return front.open

    four_at_once(look)
