"""One gate with both kinds of listener before one upstream, and the rules for its records.

Test modules that use the scene fixture import it.
"""

import collections
import contextlib
import ipaddress
import os
import pathlib
import re
import resource
import signal
import socket
import time

import pytest

import wire
from gate import PATIENCE, free_port, ini

LIFECYCLE = ("proxy-started", "proxy-stopped", "configuration-loaded", "configuration-rejected",
             "log-checkpoint", "log-repaired", "log-dropped", "channel-binding-differs")
APPROVED = set(wire.EIGHT.values())


class Scene:
    """forward and fixed are ports of .gate; upstream is the port that both lead to."""

    def __init__(self, make_gate, pki, ca_folder, upstream, keys=("ec", "rsa"), **sections):
        self.pki, self.upstream = pki, upstream
        self.ca = ca_folder / "ca.pem"
        self.forward, self.fixed = free_port(), free_port()
        listener = [("type", "fixed"), ("address", f"127.0.0.1:{self.fixed}"),
                    ("upstream", f"127.0.0.1:{upstream}"), ("upstream_name", "localhost")]
        for key in keys:
            leaf = getattr(pki, key)
            listener += [("certificate", leaf.chain), ("key", leaf.key)]
        self.sections = {
            "proxy": {"workers": 1, **sections.pop("proxy", {})},
            "policy": sections.pop("policy", {}),
            "ca": {"certificate": self.ca, "key": ca_folder / "ca.key"},
            "upstream": {"trust": pki.trust, **sections.pop("upstream_leg", {})},
            "audit": {"file": "audit.jsonl", **sections.pop("audit", {})},
            "operate": sections.pop("operate", {}),
            "listen forward": {"type": "forward", "address": f"127.0.0.1:{self.forward}"},
            "listen front": listener,
        }
        options = sections.pop("options", {})
        assert not sections, sections
        self.gate = make_gate(self.ini(), **options)

    def ini(self):
        return ini(self.sections)

    def rewrite(self):
        self.gate.write_config(self.ini())

    # ---- clients ----------------------------------------------------------------------

    def context(self, how, **options):
        return wire.client_context(self.ca if how == "forward" else self.pki.trust, **options)

    def tunnel(self, how, host="127.0.0.1", receive_buffer=None):
        """The socket on which TLS starts."""
        if how == "fixed":
            return wire.dial(self.fixed, receive_buffer=receive_buffer)
        sock, answer = wire.connect(self.forward, f"{host}:{self.upstream}")
        assert answer.status == 200, (answer.status, answer.body)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        return sock

    def client(self, how, host="127.0.0.1", context=None, session=None, **options):
        """An established session. By CONNECT the identity is the SNI, since host is an IP."""
        context = context or self.context(how, **options)
        tls = wire.Tls(self.tunnel(how, host), context, name="localhost", session=session)
        try:
            return tls.handshake()
        except BaseException:
            tls.close()
            raise

    def get(self, how, path="/", host="127.0.0.1", headers=None, **options):
        with self.client(how, host, **options) as tls:
            answer = wire.get(tls, path, **(headers or {}))
            tls.close_notify()
            return answer

    # ---- records ----------------------------------------------------------------------

    def traffic(self):
        """Every record so far except those about the process itself."""
        return [r for r in self.gate.records() if r["event"]["action"] not in LIFECYCLE]

    def only_refusal(self, code):
        """After the gate has stopped: the only record, which has this code."""
        self.gate.wait_record(code=code)
        assert self.gate.stop() == 0, self.gate.stderr
        for record in self.gate.records():
            check_record(record)
        assert [(r["event"]["action"], r["event"].get("code")) for r in self.traffic()] == [
            ("connection-refused", code)]
        return self.traffic()[0]

    def opened_closed(self, count=1):
        """The pairs of records of COUNT connections and no others, the gate stopped."""
        self.gate.wait_record(action="connection-closed", count=count)
        assert self.gate.stop() == 0, self.gate.stderr
        by_id = collections.defaultdict(dict)
        for record in self.gate.records():
            check_record(record)
        for record in self.traffic():
            pair = by_id[record["suitegate"]["connection_id"]]
            assert record["event"]["action"] not in pair, "the same record twice"
            pair[record["event"]["action"]] = record
        pairs = list(by_id.values())
        assert [sorted(p) for p in pairs] == [["connection-closed", "connection-opened"]] * count
        return [(p["connection-opened"], p["connection-closed"]) for p in pairs]

    def echoes(self, how="forward"):
        """True after a round trip through an upstream that echoes."""
        with self.client(how) as tls:
            tls.send(b"echo")
            assert tls.recv_exactly(4) == b"echo"
            tls.close_notify()
            tls.ending()
        return True

    def settled_fds(self):
        """The number of descriptors when it no longer changes."""
        seen = []
        while len(seen) < 5 or len(set(seen[-5:])) > 1:
            seen.append(self.gate.fds())
            time.sleep(0.05)
        return seen[-1]

    def wait_baseline(self, fds, seconds=PATIENCE, what=""):
        """Waits until no more descriptors are open than before."""
        deadline = time.monotonic() + seconds
        while self.gate.fds() > fds:
            assert time.monotonic() < deadline, (
                f"{self.gate.fds()} descriptors, {fds} before {what}")
            time.sleep(0.05)


@pytest.fixture
def scene(make_gate, pki, ca_folder):
    """scene(upstream_port, proxy={..}, policy={..}, upstream_leg={..}, audit={..}) -> Scene"""
    return lambda upstream, **options: Scene(make_gate, pki, ca_folder, upstream, **options)


@pytest.fixture(params=["forward", "fixed"])
def how(request):
    """The type of listener that the client uses."""
    return request.param


# ---- the shape of a record, by policy.md ---------------------------------------------------

def at(record, path):
    """record["a"]["b"] for "a.b", None if it is absent."""
    for key in path.split("."):
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def need(record, path, kind):
    value = at(record, path)
    assert isinstance(value, kind) and value not in ("", []), f"{path} = {value!r} in {record}"
    return value


def check_tls(record, where):
    assert need(record, f"{where}.version", str) == "1.2"
    assert need(record, f"{where}.version_protocol", str) == "tls"
    assert need(record, f"{where}.cipher", str) in APPROVED
    assert need(record, f"{where}.established", bool) is True
    if not need(record, f"{where}.resumed", bool):  # an abbreviated handshake has no key exchange
        need(record, f"{where}.curve", str)


def check_record(record):
    """Asserts what holds for any record, and for its kind."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", need(record, "@timestamp", str))
    need(record, "ecs.version", str)
    need(record, "event.kind", str)
    assert need(record, "event.category", list) == ["network"]
    assert need(record, "event.dataset", str) == "suitegate.audit"
    need(record, "event.type", list)
    action = need(record, "event.action", str)
    assert need(record, "event.outcome", str) in ("success", "failure")
    need(record, "log.level", str)
    assert need(record, "message", str).endswith(".")
    assert need(record, "observer.name", str) == "suitegate"
    need(record, "observer.version", str)
    need(record, "observer.vendor", str)
    need(record, "service.node.name", str)
    assert need(record, "rule.ruleset", str) in ("2021", "2020")
    need(record, "suitegate.policy.digest", str)
    if action in LIFECYCLE:
        return
    ipaddress.ip_address(need(record, "source.ip", str))
    need(record, "suitegate.listener", str)
    if action == "connection-refused-repeated":
        check_verdict(record)
        assert need(record, "suitegate.repeated.count", int) > 0
        return
    need(record, "source.port", int)
    need(record, "suitegate.connection_id", (str, int))
    if action == "connection-refused":
        check_refused(record)
    else:
        assert action in ("connection-opened", "connection-closed", "client-fallback-retry"), action
    if action == "connection-opened":
        check_opened(record)
    if action == "connection-closed":
        need(record, "event.duration", int)
        assert need(record, "source.bytes", int) >= 0
        assert need(record, "destination.bytes", int) >= 0
        assert need(record, "suitegate.closed_by", str) in (
            "client", "upstream", "listener", "hello_timeout", "idle_timeout", "shutdown",
            "error")
    if action in ("connection-opened", "connection-closed"):
        check_destination(record)


def check_destination(record):
    need(record, "destination.port", int)
    assert at(record, "destination.domain") or at(record, "destination.ip"), record
    need(record, "suitegate.identity", str)


def check_refused(record):
    check_verdict(record)
    if at(record, "suitegate.leg") == "upstream":
        check_destination(record)


def refusals_in(records):
    """How many connections were refused, by these records."""
    return sum(at(r, "suitegate.repeated.count") or 1 for r in records
               if at(r, "event.action").startswith("connection-refused"))


def check_verdict(record):
    assert at(record, "event.outcome") == "failure"
    need(record, "event.code", str)
    need(record, "event.reason", str)
    assert need(record, "suitegate.leg", str) in ("client", "upstream", "either")
    assert need(record, "suitegate.blame", str) in ("client", "upstream", "operator")
    assert need(record, "suitegate.downgrade", str) in ("yes", "no", "unknown", "possible")


def check_opened(record):
    assert at(record, "event.outcome") == "success"
    check_tls(record, "tls")
    check_tls(record, "suitegate.upstream.tls")
    assert re.fullmatch(r"t1[23][di]\d{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}",
                        need(record, "tls.client.ja4", str)), record["tls"]["client"]
    need(record, "tls.client.supported_ciphers", list)
    server = "suitegate.upstream.tls.server"
    for field in ("subject", "issuer", "not_before", "not_after"):
        need(record, f"{server}.{field}", str)
    assert re.fullmatch(r"[0-9A-Fa-f]{64}", need(record, f"{server}.hash.sha256", str))
    for field in ("supported_versions", "groups", "signature_schemes", "approved"):
        assert isinstance(at(record, f"suitegate.client.{field}"), list), field


def sent_alert(record):
    return at(record, "suitegate.alert.sent")


def received_alert(record):
    return at(record, "suitegate.alert.received")


def check_page(answer, code, status=502, error=None):
    assert answer.status == status, (answer.status, answer.body)
    assert code in answer.body
    if error:
        assert answer.proxy_error == error


def check_blame(record, blame, downgrade):
    assert at(record, "suitegate.leg") == "upstream"
    assert at(record, "suitegate.blame") == blame
    assert at(record, "suitegate.downgrade") == downgrade


def wait_until(check, seconds=PATIENCE, what="it"):
    """Waits for a state that no record announces."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = check()
        except (OSError, EOFError, socket.timeout):
            value = None
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def talk(tls, text=b"still here?"):
    """A round trip through an upstream that echoes."""
    tls.send(text)
    assert tls.recv_exactly(len(text)) == text


@contextlib.contextmanager
def standing_still(pid, seconds=0):
    """The process is stopped during the block, and for SECONDS at least."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat")
        wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] in "Tt")
        end = time.monotonic() + seconds
        yield
        time.sleep(max(0, end - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def nofile(gate, soft):
    """RLIMIT_NOFILE of the process that serves, restored afterwards."""
    pid = gate.proxy()
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
