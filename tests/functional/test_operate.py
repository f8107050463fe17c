"""[operate] and suitegate status: what an operator sees is what happens."""

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

import wire
from gate import PATIENCE, ca_init, free_port, ini, run
from operated import Metrics, as_json, ask, ask_unix, status
from refusals import refuse, refuse_many
from scene import Scene, scene, talk, wait_until  # noqa: F401 (fixtures)
from upgradable import Upgradable


@pytest.fixture
def operated(scene, echoing):  # noqa: F811
    """operated(**options of Scene) -> Scene whose [operate] has port .operate."""

    def make(operate=None, **options):
        port = free_port()
        made = scene(echoing.port, operate=operate or {"address": f"127.0.0.1:{port}"}, **options)
        made.operate = port
        return made

    return make


def talked(one, how, count):
    for _ in range(count):
        with one.client(how) as tls:
            talk(tls)
            tls.close_notify()


# ---- metrics --------------------------------------------------------------------------------

def test_metrics_say_what_the_records_say(operated):
    one = operated(proxy={"workers": 2})
    talked(one, "forward", 7)
    talked(one, "fixed", 5)
    refuse_many(one.forward, 6)
    with wire.dial(one.fixed) as sock:
        sock.sendall(wire.alert(40) * 3)
        wire.read_to_end(sock)
    one.gate.wait_record(action="connection-closed", count=12)
    metrics = Metrics(one.operate)
    records = one.traffic()
    codes = collections.Counter(r["event"]["code"] for r in records
                                if r["event"]["action"] == "connection-refused")
    for code, count in codes.items():
        assert metrics("refusals_total", code=code) == count
    assert metrics("connections_total", outcome="refused") == sum(codes.values()) == 7
    assert metrics("connections_total", outcome="opened") == 12
    assert metrics("closed_total", code="none") == 12
    for leg in ("client", "upstream"):
        assert metrics("handshakes_total", leg=leg) == 12
        assert metrics("handshake_seconds_count", leg=leg) == 12
        assert 0 < metrics("handshake_seconds_sum", leg=leg) < 12
    closed = [r for r in records if r["event"]["action"] == "connection-closed"]
    assert metrics("payload_bytes_total", **{"from": "client"}) == sum(
        r["source"]["bytes"] for r in closed)
    assert metrics("payload_bytes_total", **{"from": "upstream"}) == sum(
        r["destination"]["bytes"] for r in closed)
    opened = [r for r in records if r["event"]["action"] == "connection-opened"]
    suites = collections.Counter(r["tls"]["cipher"] for r in opened)
    for suite, count in suites.items():
        assert metrics("handshakes_total", leg="client", suite=suite) == count
    resumed = sum(r["suitegate"]["upstream"]["tls"]["resumed"] for r in opened)
    assert resumed > 0
    assert metrics("handshakes_total", leg="upstream", resumed="yes") == resumed
    wait_until(lambda: Metrics(one.operate)("records_written_total", sink="log")
               == one.gate.records()[-1]["event"]["sequence"], what="the clerk's news")
    assert Metrics(one.operate)("log_sequence") == one.gate.records()[-1]["event"]["sequence"]


def test_open_connections_are_counted_by_listener_and_state(operated):
    one = operated(proxy={"workers": 2})
    assert Metrics(one.operate)("connections") == 0
    with contextlib.ExitStack() as stack:
        tunnels = [stack.enter_context(one.client(how)) for how in ["forward"] * 9 + ["fixed"] * 4]
        for tls in tunnels:
            talk(tls, b"x" * 1000)
        waiting = stack.enter_context(wire.dial(one.fixed))
        waiting.sendall(wire.record(22, b"\1\0\1\0")[:7])
        metrics = wait_until(lambda: (m := Metrics(one.operate))("connections", state="hello") and m)
        assert metrics("connections", listener="forward", state="relay") == 9
        assert metrics("connections", listener="front", state="relay") == 4
        assert metrics("connections", listener="front", state="hello") == 1
        assert metrics("connections") == 14
        # The payload of connections that are open counts already.
        assert metrics("payload_bytes_total", **{"from": "client"}) == 13000
        seen = as_json(one.gate)
        assert seen["upstreams"] == [{"destination": f"127.0.0.1:{one.upstream}",
                                      "connections": 13}]
        assert {row["name"]: row["connections"] for row in seen["listeners"]} == {
            "forward": 9, "front": 5}
    wait_until(lambda: Metrics(one.operate)("connections") == 0)
    assert Metrics(one.operate)("payload_bytes_total", **{"from": "client"}) == 13000


def test_observed_connections_are_counted_by_what_enforcing_would_do(scene, echoing):  # noqa: F811
    port = free_port()
    one = scene(echoing.port, operate={"address": f"127.0.0.1:{port}"})
    one.sections["listen front"] = [(k, v) for k, v in one.sections["listen front"]
                                    if k not in ("certificate", "key")] + [("mode", "observe")]
    one.rewrite()
    assert run("reload", "-c", one.gate.config_path).returncode == 0
    talked(one, "fixed", 3)
    one.gate.wait_record(action="connection-closed", count=3)
    metrics = Metrics(port)
    assert metrics("observed_total", code="none") == 3
    assert metrics("connections_total", outcome="opened") == 3
    assert metrics("configuration_loads_total", result="used") == 2


def test_promtool_finds_nothing(operated, tmp_path):
    one = operated(audit={"copy": [tmp_path / 'a "quoted" name.jsonl', tmp_path / "plain.jsonl"]})
    talked(one, "forward", 2)
    refuse_many(one.forward, 2)
    wait_until(lambda: Metrics(one.operate)("records_written_total",
                                            sink=str(tmp_path / "plain.jsonl")) > 3)
    done = subprocess.run(["promtool", "check", "metrics"], input=Metrics(one.operate).text,
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.once
def test_prometheus_scrapes_it(operated, tmp_path):
    one = operated()
    talked(one, "fixed", 3)
    refuse_many(one.forward, 4)
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "suitegate", "static_configs": [
            {"targets": [f"127.0.0.1:{one.operate}"]}]}]}))
    with subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}",
             f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as prometheus:
        try:
            def value(query):
                code, _, body = ask(port, "/api/v1/query?" + urllib.parse.urlencode(
                    {"query": query}))
                found = json.loads(body)["data"]["result"] if code == 200 else []
                return found and float(found[0]["value"][1])

            wait_until(lambda: value('up{job="suitegate"}') == 1, seconds=60, what="a scrape")
            wait_until(lambda: value("sum(suitegate_refusals_total)") == 4, seconds=30)
            assert value('sum(suitegate_handshakes_total{leg="client"})') == 3
            assert value("histogram_quantile(0.9, suitegate_handshake_seconds_bucket"
                         '{leg="client"})') > 0
        finally:
            prometheus.terminate()


# ---- health and readiness -------------------------------------------------------------------

def test_health_says_that_the_log_cannot_be_written(operated):
    one = operated()
    assert ask(one.operate, "/health")[::2] == (200, "It serves.\n")
    assert ask(one.operate, "/ready")[0] == 200
    os.kill(one.gate.clerk(), signal.SIGSTOP)
    threading.Thread(target=refuse, args=(one.forward,)).start()  # a record that has to wait
    _, _, body = wait_until(
        lambda: (answer := ask(one.operate, "/health"))[0] == 503 and answer, seconds=30)
    assert body == "The audit log cannot be written: new connections are refused.\n"
    assert ask(one.operate, "/ready")[0] == 503
    assert Metrics(one.operate)("ready") == 0
    wait_until(lambda: ask(one.operate, "/health")[0] == 200, seconds=60, what="another clerk")
    wait_until(lambda: Metrics(one.operate)("process_starts_total", process="clerk") == 2)
    talked(one, "forward", 1)


def test_while_it_drains_it_is_not_ready(operated):
    one = operated(proxy={"drain_timeout": "1m"})
    with one.client("forward") as tls:
        one.gate.terminate()
        _, _, body = wait_until(
            lambda: (answer := ask(one.operate, "/ready"))[0] == 503 and answer)
        assert body == "It accepts no new connections: it is about to end.\n"
        assert ask(one.operate, "/health")[0] == 200
        assert Metrics(one.operate)("ready") == 0
        done = status(one.gate)
        assert done.returncode == 1 and ", draining" in done.stdout
        talk(tls)
        tls.close_notify()
    assert one.gate.wait() == 0


def test_another_proxy_process_goes_on_answering(operated):
    one = operated()
    talked(one, "forward", 2)
    os.kill(one.gate.proxy(), signal.SIGKILL)
    wait_until(lambda: ask(one.operate, "/ready")[0] == 200)
    wait_until(lambda: Metrics(one.operate)("process_starts_total", process="proxy") == 2)
    talked(one, "forward", 1)
    assert Metrics(one.operate)("connections_total", outcome="opened") == 1


# ---- HTTP -----------------------------------------------------------------------------------

def test_only_what_is_there_only_by_get_and_only_for_whom_it_is(operated):
    port = free_port()
    one = operated(operate={"address": f"127.0.0.1:{port}", "allow_clients": "127.0.0.7"})

    def code(path="/health", method="GET", source="127.0.0.7"):
        return ask(port, path, method, source=source)[0]

    assert code() == 200
    assert code("/", "HEAD") == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert code(method=method) == 405
    for path in ("/healthz", "/metrics/", "/..", "/%2e%2e/etc/passwd", "/favicon.ico"):
        assert code(path) == 404
    for source in ("127.0.0.1", "127.0.0.8"):
        with pytest.raises((ConnectionError, socket.timeout)):
            code(source=source)
    one.sections["operate"]["allow_clients"] = "127.0.0.8"
    one.rewrite()
    assert run("reload", "-c", one.gate.config_path).returncode == 0
    assert code(source="127.0.0.8") == 200
    with pytest.raises((ConnectionError, socket.timeout)):
        code()


def test_clients_that_say_nothing_do_not_hold_others(operated):
    one = operated()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            with contextlib.suppress(OSError):
                stack.enter_context(wire.dial(one.operate, source="127.0.0.9"))
        with pytest.raises((ConnectionError, socket.timeout)):
            ask(one.operate, source="127.0.0.9", timeout=2)
        talked(one, "forward", 2)
    assert wait_until(lambda: ask(one.operate, "/health", source="127.0.0.9")[0] == 200)


@pytest.mark.parametrize("address, more, fault", [
    ("0.0.0.0:9180", "", "[operate] address: one that is not on loopback needs allow_clients"),
    ("[::]:9180", "", "[operate] address: one that is not on loopback needs allow_clients"),
    ("localhost:9180", "", "must be an IP address and a port, or unix:PATH"),
    ("unix:", "", "must be an IP address and a port, or unix:PATH"),
    ("unix:/" + "x" * 108, "", "must be a shorter path"),
    ("127.0.0.1:9443", "", "[operate] has the same address: front"),
])
def test_what_cannot_be_is_said(tmp_path, address, more, fault):
    ca_init(tmp_path)
    path = tmp_path / "sg.ini"
    path.write_text(ini({"ca": {"certificate": "ca.pem", "key": "ca.key"},
                         "operate": {"address": address},
                         "listen front": {"type": "test", "address": "127.0.0.1:9443"}}) + more)
    done = run("config", "-c", path)
    assert done.returncode != 0 and fault in done.stderr, done.stderr


def test_a_port_in_use_is_named(operated):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Exception, match=r"\[operate\] cannot listen on " + where + ": Address"):
            operated(operate={"address": where})


# ---- where it listens -----------------------------------------------------------------------

def test_a_unix_socket(operated, tmp_path):
    path = tmp_path / "operate.sock"
    one = operated(operate={"address": f"unix:{path}"})
    assert ask_unix(path).endswith("\r\n\r\nIt serves.\n")
    assert "suitegate_build_info{" in ask_unix(path, "/metrics")
    assert "unix:" in run("config", "-c", one.gate.config_path).stdout
    one.gate.expected_exit = -signal.SIGKILL
    one.gate.kill()
    one.gate.wait()
    assert path.is_socket()  # left over: the next one takes its place
    again = operated(operate={"address": f"unix:{path}"})
    assert ask_unix(path).endswith("It serves.\n")
    again.gate.stop()


def test_what_is_no_socket_is_not_replaced(operated, tmp_path):
    path = tmp_path / "precious"
    path.write_text("text")
    with pytest.raises(Exception, match="cannot listen on unix:.*: Address already in use"):
        operated(operate={"address": f"unix:{path}"})
    assert path.read_text() == "text"


def test_a_reload_moves_it_and_takes_it_away(operated, tmp_path):
    one = operated()
    before = one.gate.fds()
    other, path = free_port(), tmp_path / "operate.sock"
    for address in (f"127.0.0.1:{other}", f"unix:{path}", None, f"127.0.0.1:{one.operate}"):
        one.sections["operate"] = {"address": address}
        one.rewrite()
        assert run("reload", "-c", one.gate.config_path).returncode == 0
        ports = [port for port in (one.operate, other)
                 if address == f"127.0.0.1:{port}"]
        for port in (one.operate, other):
            if port in ports:
                assert ask(port, "/health")[0] == 200
            else:
                with pytest.raises(ConnectionError):
                    ask(port, "/health")
        if address and address.startswith("unix"):
            assert ask_unix(path).endswith("It serves.\n")
    wait_until(lambda: one.gate.fds() <= before + 1, what="closed descriptors")


def test_reloads_interrupt_nobody(operated):
    one = operated()
    faults, over = [], threading.Event()

    def watch():
        while not over.is_set():
            try:
                assert ask(one.operate, "/ready")[0] == 200
            except Exception as fault:  # whatever a monitor may see
                faults.append(repr(fault))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(10):
            assert run("reload", "-c", one.gate.config_path).returncode == 0
    finally:
        over.set()
        thread.join()
    assert not faults


def test_upgrades_interrupt_nobody(pki, ca_folder, tmp_path, echoing):
    port = free_port()
    one = Scene(lambda config, **options: Upgradable(tmp_path, config, **options), pki, ca_folder,
                echoing.port, operate={"address": f"127.0.0.1:{port}"},
                proxy={"drain_timeout": "1m"})
    faults, over = [], threading.Event()

    def watch():
        while not over.is_set():
            try:
                assert ask(port, "/ready")[0] == 200
            except Exception as fault:  # whatever a monitor may see
                faults.append(repr(fault))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with one.client("forward") as tls:  # keeps the former one draining
            for _ in range(6):
                one.gate.upgrade()
                talk(tls)
                started = Metrics(port)("start_time_seconds")
                assert time.time() - started < PATIENCE
            tls.close_notify()
        over.set()
        thread.join()
        assert not faults
        one.gate.finish()
    finally:
        over.set()
        for gate in Upgradable.started:
            gate.has_processes(signal.SIGKILL)
        Upgradable.started.clear()


# ---- status ---------------------------------------------------------------------------------

def test_status_without_operate(make_forward):
    """It needs no address: the running process is asked."""
    gate = make_forward()
    refuse(gate.port)
    done = status(gate)
    assert (done.returncode, done.stderr) == (0, "")
    assert ", serving, since " in done.stdout
    assert "1 client_plaintext_http (blame: client)" in done.stdout
    assert "Use an https:// address" in done.stdout
    seen = as_json(gate)
    assert seen["ready"] is True and seen["connections"]["refused"] == 1
    assert [r["code"] for r in seen["newest_refusals"]] == ["client_plaintext_http"]
    assert all(row["days_left"] > 300 for row in seen["certificates"]) and seen["certificates"]
    log = wait_until(lambda: (s := as_json(gate)["log"])["sequence"] > 1 and s)
    assert log["head"] in [r["event"]["hash"] for r in gate.all_records()
                           if r["event"]["sequence"] == log["sequence"]]
    assert gate.stop() == 0
    done = status(gate)
    assert done.returncode == 2 and "no suitegate run with" in done.stderr


def test_a_refusal_says_where_its_client_wanted_to_go(operated):
    one = operated()
    with one.tunnel("forward") as sock:
        sock.sendall(b"neither TLS nor HTTP at all")
        wire.read_to_end(sock)
    target = f"127.0.0.1:{one.upstream}"
    [newest] = as_json(one.gate)["newest_refusals"]
    assert (newest["code"], newest["destination"]) == ("client_not_tls", target)
    assert f" at forward to {target}: client_not_tls\n" in status(one.gate).stdout
    assert f"<br>to {target}<br>" in ask(one.operate)[2]


def test_a_certificate_near_its_end_is_counted(make_gate, pki, tmp_path):
    leaf = pki.leaf("short", days=5)
    port, operate = free_port(), free_port()
    make_gate(ini({
        "audit": {"file": "audit.jsonl"}, "operate": {"address": f"127.0.0.1:{operate}"},
        "listen own": [("type", "test"), ("address", f"127.0.0.1:{port}"),
                       ("certificate", leaf.chain), ("key", leaf.key)]}))
    metrics = Metrics(operate)
    assert metrics("certificates_expiring") >= 1
    assert 4 * 86400 < metrics("certificate_expiry_timestamp_seconds") - time.time() < 6 * 86400


@pytest.mark.once
def test_chromium_shows_the_page(operated, tmp_path):
    one = operated()
    refuse_many(one.forward, 3)
    with one.client("forward") as tls:
        talk(tls)
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=12000",
             "--dump-dom", f"http://127.0.0.1:{one.operate}/"],
            capture_output=True, text=True, timeout=120, check=False)
    assert "client_<wbr>plaintext_<wbr>http" in done.stdout
    assert f"127.0.0.1:{one.upstream}" in done.stdout
    assert "<polyline" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr  # nothing that its policy forbids
