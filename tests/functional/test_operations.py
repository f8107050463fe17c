"""The proxy keeps serving: reload, drain, limits, and misbehaving clients."""

import re
import signal
import socket
import ssl
import threading
import time

import pytest

import hellos
import wire
from gate import StartError, free_port, ini
from scene import at, how, nofile, scene, talk, wait_until  # noqa: F401 (fixtures)
from upstreams import Blackhole, Peer, Scripted, TlsPeer, echo, nginx, page


def ticks(s):
    """Processor time the gate has used, in hundredths of a second."""
    with open(f"/proc/{s.gate.proxy()}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# ---- reload ----------------------------------------------------------------------------------

def test_a_reload_takes_new_trust_and_leaves_tunnels_alone(scene, pki):
    strange = pki.unknown_ca
    with TlsPeer(wire.server_context(pki.ec), echo) as trusted:
        s = scene(trusted.port)
        with s.client("fixed") as tls:
            talk(tls)
            with TlsPeer(wire.server_context(strange), page("strange")) as other:
                s.upstream = other.port
                assert "upstream_certificate_untrusted" in s.get("forward").body
                s.sections["upstream"]["trust"] = pki.bundle(
                    "both-roots", pki.trust, pki.ca("strange-root").cert)
                s.rewrite()
                assert s.gate.reload()["event"]["action"] == "configuration-loaded"
                assert s.get("forward").body == "strange"
            talk(tls)
            tls.close_notify()
            assert tls.ending() == "close_notify"


def test_a_reload_re_reads_files_whose_names_stay(scene, pki, tmp_path):
    trust = tmp_path / "trust.pem"
    trust.write_bytes(pki.ca("strange-root").cert.read_bytes())
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port, upstream_leg={"trust": trust})
        assert s.get("forward").status == 502
        trust.write_bytes(pki.trust.read_bytes())
        s.gate.reload()
        assert s.get("forward").status == 200


def test_a_reload_takes_a_new_certificate(scene, pki, tmp_path, echoing):
    s = scene(echoing.port, keys=("ec",))
    new = pki.leaf("renewed")
    listener = dict(s.sections["listen front"])
    listener.update(certificate=new.chain, key=new.key)
    s.sections["listen front"] = list(listener.items())
    s.rewrite()
    s.gate.reload()
    with s.client("fixed") as tls:
        assert tls.tls.getpeercert(True) == new.der
        tls.close_notify()


@pytest.mark.parametrize("break_it", ["key", "trust", "syntax", "address", "crl"])
def test_a_bad_reload_is_rejected_as_a_whole(scene, pki, tmp_path, echoing, break_it):
    """The new policy in a file with a bad part does not take effect either."""
    s = scene(echoing.port)
    good = s.ini()
    s.sections["policy"] = {"suite": "ECDHE-ECDSA-AES128-GCM-SHA256"}
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    taken = socket.create_server(("127.0.0.1", 0))
    if break_it == "trust":
        s.sections["upstream"]["trust"] = garbage
    elif break_it == "crl":
        s.sections["upstream"]["crl"] = garbage
    elif break_it == "key":
        s.sections["listen front"] = [(k, pki.key("ec384") if k == "key" else v)
                                      for k, v in s.sections["listen front"]]
    elif break_it == "address":
        s.sections["listen more"] = {"type": "forward",
                                     "address": f"127.0.0.1:{taken.getsockname()[1]}"}
    text = s.ini() + ("\n[nonsense]\nx = y\n" if break_it == "syntax" else "")
    s.gate.write_config(text)
    assert s.gate.reload()["event"]["action"] == "configuration-rejected"
    taken.close()
    with s.client("fixed", ciphers="ECDHE-RSA-AES256-SHA384") as tls:
        talk(tls)
        tls.close_notify()
    s.gate.write_config(good)
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"


def test_a_reload_changes_the_listeners(scene, echoing):
    s = scene(echoing.port)
    old, new = s.fixed, free_port()
    with s.client("fixed") as tls:
        s.sections["listen front"][1] = ("address", f"127.0.0.1:{new}")
        s.rewrite()
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        talk(tls)
        s.fixed = new
        with s.client("fixed") as second:
            talk(second)
            second.close_notify()
        with pytest.raises(ConnectionRefusedError):
            wire.dial(old)
        tls.close_notify()
        assert tls.ending() == "close_notify"


@pytest.mark.parametrize("key", ["ECDSA", "RSA"])
def test_a_reload_brings_the_first_listener_that_mints(make_fixed, ca_folder, origin, key):
    gate, port = make_fixed(), free_port()
    gate.write_config(gate.config + ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "listen minted": {"type": "forward", "address": f"127.0.0.1:{port}"}}))
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    context = ssl.create_default_context(cafile=ca_folder / "ca.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"ECDHE-{key}-AES128-GCM-SHA256")
    with hellos.open_tunnel(port, f"localhost:{origin.port}") as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            assert tls.cipher()[0] == f"ECDHE-{key}-AES128-GCM-SHA256"


def test_many_reloads_cost_nothing(scene, echoing):
    s = scene(echoing.port)

    def once():
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        with s.client("forward") as tls:
            talk(tls)
            tls.close_notify()
            tls.ending()

    for _ in range(5):
        once()
    s.gate.wait_record(action="connection-closed", count=5)
    fds, rss = s.gate.fds(), s.gate.rss_kib()
    for _ in range(25):
        once()
    s.wait_baseline(fds)
    assert s.gate.rss_kib() < rss + 8 * 1024


def test_reloads_under_load_fail_nobody(scene, pki, tmp_path):
    with nginx(tmp_path, pki.ec, pki.rsa) as upstream:
        s = scene(upstream.port, proxy={"workers": 2})
        failures, done = [], []

        def ask(kind):
            for _ in range(25):
                try:
                    assert s.get(kind, "/facts").status == 200
                    done.append(1)
                except Exception as failure:  # shown by the assertion below
                    failures.append(repr(failure))

        threads = [threading.Thread(target=ask, args=(kind,))
                   for kind in ("forward", "fixed", "forward", "fixed")]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            s.gate.reload()
        for thread in threads:
            thread.join()
    assert failures == [] and len(done) == 100


# ---- stopping --------------------------------------------------------------------------------

def test_sigterm_lets_open_tunnels_finish(scene, how, echoing):
    s = scene(echoing.port)
    with s.client(how) as tls:
        talk(tls)
        s.gate.terminate()
        wait_until(lambda: refused(s), what="the end of accepting")
        talk(tls)
        assert s.gate.alive()
        tls.close_notify()
        assert tls.ending() == "close_notify"
    assert s.gate.wait() == 0
    assert s.gate.records()[-1]["event"]["action"] == "proxy-stopped"
    assert s.gate.matching(action="connection-closed")[0]["suitegate"]["closed_by"] == "client"


def refused(s):
    """No new tunnel: the port is closed, or the answer is 503 shutting_down."""
    try:
        sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
    except (ConnectionError, EOFError):
        return True
    sock.close()
    if answer.status == 503:
        assert "shutting_down" in answer.body
    return answer.status == 503


def test_drain_timeout_cuts_what_is_left(scene, how, echoing):
    s = scene(echoing.port, proxy={"drain_timeout": "300ms"})
    with s.client(how) as tls:
        talk(tls)
        s.gate.terminate()
        assert tls.ending() in ("truncated", "reset")
        assert s.gate.wait() == 0
    closed = s.gate.matching(action="connection-closed")
    assert [at(r, "suitegate.closed_by") for r in closed] == ["shutdown"]


def test_sigterm_with_nothing_open_ends_at_once(scene, echoing):
    s = scene(echoing.port, proxy={"drain_timeout": "10m"})
    s.gate.terminate()
    assert s.gate.wait() == 0
    assert s.gate.records()[-1]["event"]["action"] == "proxy-stopped"


def test_restarts_under_load_lose_no_record(make_gate, scene, pki, tmp_path):
    """Every connection that was accepted during stop and start is recorded."""
    with nginx(tmp_path, pki.ec) as upstream:
        s = scene(upstream.port)
        good, end = [], threading.Event()

        def ask():
            while not end.is_set():
                try:
                    if s.get("forward", "/facts").status == 200:
                        good.append(1)
                except (OSError, EOFError, AssertionError):
                    time.sleep(0.01)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(3):
                wait_until(lambda t=turn: len(good) > 10 * (t + 1), what="traffic")
                assert s.gate.stop() == 0
                s.gate = make_gate(s.ini())
            wait_until(lambda: len(good) > 40, what="traffic")
        finally:
            end.set()
            for thread in threads:
                thread.join()
        assert s.gate.stop() == 0
    opened, closed = (
        {(at(r, "suitegate.connection_id"), at(r, "source.port"))
         for r in s.gate.matching(action=action)}
        for action in ("connection-opened", "connection-closed"))
    assert opened == closed and len(opened) >= len(good)


def test_the_port_is_free_for_the_next_at_once(make_gate, scene, echoing):
    s = scene(echoing.port)
    with s.client("fixed") as tls:
        talk(tls)
        tls.close_notify()
        tls.ending()
    assert s.gate.stop() == 0
    s.gate = make_gate(s.ini())
    with s.client("fixed") as tls:
        talk(tls)


def test_a_port_that_is_taken_is_said_so(make_gate, pki, ca_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError) as failed:
            make_gate(ini({
                "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
                "upstream": {"trust": pki.trust},
                "audit": {"file": "audit.jsonl"},
                "listen forward": {"type": "forward", "address": address},
            }))
    assert str(failed.value).startswith("exit 2") and address in str(failed.value)


# ---- limits ------------------------------------------------------------------------------------

def test_max_connections_is_exact(scene, echoing):
    s = scene(echoing.port, proxy={"max_connections": 3, "workers": 2})
    tunnels = [s.client("forward"), s.client("fixed"), s.client("forward")]
    for tls in tunnels:
        talk(tls)
    for _ in range(4):
        sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
        assert answer.status == 503 and "limit_reached" in answer.body
        assert answer.proxy_error == "connection_limit_reached"
        sock.close()
    assert wire.read_to_end(wire.dial(s.fixed)) == b""
    tunnels[0].close_notify()
    tunnels[0].ending()
    tunnels[0].close()
    s.gate.wait_record(action="connection-closed")
    wait_until(lambda: s.echoes(), what="room for one")
    for tls in tunnels[1:]:
        talk(tls)
        tls.close()
    records = s.gate.matching(code="limit_reached")
    assert len(records) >= 4
    assert {at(r, "suitegate.blame") for r in records} == {"operator"}


@pytest.mark.parametrize("spare", [0, 1, 2, 9])
def test_without_descriptors_it_keeps_serving(scene, echoing, spare):
    """spare: how many descriptors are left when the clients come."""
    s = scene(echoing.port)
    with s.client("forward") as first:
        talk(first)
        with nofile(s.gate, s.gate.fds() + spare):
            crowd = []
            for _ in range(20):
                sock = wire.dial(s.forward)
                sock.sendall(f"CONNECT 127.0.0.1:{s.upstream} HTTP/1.0\r\n\r\n".encode())
                crowd.append(sock)
            for _ in range(5):
                talk(first)
            for sock in crowd:
                sock.close()
            assert s.gate.alive()
            talk(first)
        assert wait_until(lambda: s.echoes(), what="service")
        talk(first)


def test_without_descriptors_it_does_not_spin(scene, echoing):
    """Processor time, not the clock: a loop around accept() would burn all of it."""
    s = scene(echoing.port)
    with nofile(s.gate, s.gate.fds()):
        crowd = [wire.dial(s.forward) for _ in range(10)]
        before = ticks(s)
        time.sleep(0.5)
        assert ticks(s) - before < 25
        for sock in crowd:
            sock.close()
    assert wait_until(lambda: s.echoes(), what="service")


# ---- time --------------------------------------------------------------------------------------

def test_an_idle_tunnel_is_closed(scene, how, echoing):
    s = scene(echoing.port, proxy={"idle_timeout": "1s"})
    with s.client(how) as tls:
        talk(tls)
        assert tls.ending() in ("truncated", "reset")
    _, closed = s.opened_closed()[0]
    assert at(closed, "suitegate.closed_by") == "idle_timeout"
    assert (at(closed, "event.outcome"), at(closed, "log.level")) == ("failure", "warning")
    assert "idle_timeout" in at(closed, "suitegate.detail")


@pytest.mark.parametrize("own", ["forward", "fixed"])
def test_a_listener_has_its_own_idle_timeout(scene, echoing, own):
    """The other listener keeps the value of [proxy]."""
    s = scene(echoing.port, proxy={"idle_timeout": "1h"})
    other = "fixed" if own == "forward" else "forward"
    if own == "forward":
        s.sections["listen forward"]["idle_timeout"] = "1s"
    else:
        s.sections["listen front"].append(("idle_timeout", "1s"))
    s.rewrite()
    s.gate.reload()
    with s.client(own) as brief, s.client(other) as patient:
        talk(brief)
        talk(patient)
        assert brief.ending() in ("truncated", "reset")
        talk(patient)
        patient.close_notify()
        patient.ending()
    by = {at(c, "suitegate.listener"): at(c, "suitegate.closed_by") for _, c in s.opened_closed(2)}
    names = {"forward": "forward", "fixed": "front"}
    assert by == {names[own]: "idle_timeout", names[other]: "client"}


def test_bytes_in_either_direction_keep_a_tunnel(scene, echoing, pki):
    def dripping(tls, _):
        for _ in range(10):
            time.sleep(0.1)
            tls.send(b".")
        tls.close_notify()

    with TlsPeer(wire.server_context(pki.ec), dripping) as upstream:
        s = scene(upstream.port, proxy={"idle_timeout": "800ms"})
        with s.client("forward") as tls:
            assert tls.recv_to_end() == b"." * 10
            tls.close_notify()
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "upstream"


def test_a_client_that_stops_in_its_handshake_is_cut(scene, how, echoing):
    s = scene(echoing.port, proxy={"handshake_timeout": "1s"})
    sock = s.tunnel(how)
    sock.sendall(hellos.hello())
    answer = wire.read_to_end(sock)
    sock.close()
    assert 2 in hellos.server_messages(answer)
    s.only_refusal("client_handshake_failed")


# ---- clients that vanish -----------------------------------------------------------------------

def stage_connected(s, how):
    return wire.dial(s.forward if how == "forward" else s.fixed)


def stage_half_request(s, how):
    sock = stage_connected(s, how)
    sock.sendall(b"CONNECT 127.0" if how == "forward" else b"\x16\x03")
    return sock


def stage_tunnel(s, how):
    return s.tunnel(how)


def stage_half_hello(s, how):
    sock = s.tunnel(how)
    sock.sendall(hellos.hello()[:80])
    return sock


def stage_hello(s, how):
    sock = s.tunnel(how)
    sock.sendall(hellos.hello())
    return sock


def stage_server_hello(s, how):
    sock = stage_hello(s, how)
    sock.recv(1)
    return sock


def stage_open(s, how):
    return s.client(how).sock


def stage_relaying(s, how):
    tls = s.client(how)
    tls.send(bytes(300_000))
    return tls.sock


STAGES = [stage_connected, stage_half_request, stage_tunnel, stage_half_hello, stage_hello,
          stage_server_hello, stage_open, stage_relaying]


@pytest.mark.parametrize("leave", [socket.socket.close, wire.reset], ids=["fin", "rst"])
def test_clients_that_vanish_leave_nothing(scene, how, echoing, leave):
    s = scene(echoing.port)
    s.echoes()
    fds = s.settled_fds()
    for stage in STAGES:
        for _ in range(10):
            leave(stage(s, how))
        s.wait_baseline(fds, what=stage.__name__)
        assert s.echoes(how)
        s.wait_baseline(fds)


def test_a_drain_ends_every_stage(scene, how, echoing):
    """A client that has sent something gets one end, and one record of it."""
    s = scene(echoing.port, proxy={"drain_timeout": "300ms"})
    socks = [stage(s, how) for stage in STAGES]
    s.gate.wait_record(action="connection-opened", count=2)
    s.gate.terminate()
    for sock in socks:
        wire.read_to_end(sock)
        sock.close()
    assert s.gate.wait() == 0
    ends = [r["event"]["code"] for r in s.traffic()
            if r["event"]["action"] != "connection-opened"]
    silent = 1 if how == "forward" else 2  # stage_tunnel sends nothing to a fixed listener
    assert ends == ["shutting_down"] * (len(STAGES) - silent)


@pytest.mark.parametrize("stage", [stage_tunnel, stage_half_hello, stage_hello])
def test_a_drain_waits_for_nobody_beyond_its_time(scene, how, stage):
    """It does not wait for a silent upstream, nor for a page that the client could get: the other
    timeouts are ten minutes, so a wait for one of them is a hang."""
    with Scripted(b"") as upstream:
        s = scene(upstream.port, proxy={"drain_timeout": "200ms", "hello_timeout": "10m",
                                        "handshake_timeout": "10m"})
        before = s.settled_fds()
        sock = stage(s, how)
        wait_until(lambda: s.gate.fds() > before, what="the proxy to take the connection")
        if stage is stage_hello:
            wait_until(lambda: upstream.hellos, what="the hello to reach the upstream")
        s.gate.terminate()
        assert wire.read_to_end(sock) == b""
        sock.close()
        assert s.gate.wait(15) == 0
    codes = [r["event"]["code"] for r in s.traffic()]
    assert codes == [] if (stage, how) == (stage_tunnel, "fixed") else ["shutting_down"]


def test_without_descriptors_for_the_upstream_it_just_closes(scene, echoing):
    """One descriptor is left, for the client: no handshake, no page."""
    s = scene(echoing.port)
    s.echoes("fixed")
    s.settled_fds()
    with nofile(s.gate, s.gate.fds() + 1):
        sock = wire.dial(s.fixed)
        sock.sendall(hellos.hello())
        assert wire.read_to_end(sock) == b""
        sock.close()
        assert at(s.gate.wait_record(code="limit_reached"), "suitegate.blame") == "operator"
    assert wait_until(lambda: s.echoes("fixed"), what="service")


def test_a_tunnel_that_waits_does_not_spin(scene, pki):
    """Half-closed, cut off, and stuck with full buffers: none costs processor time."""
    go = threading.Event()

    def handler(tls, number):
        if number == 0:
            for _ in range(20):
                tls.send(bytes(1 << 20))
        go.wait(30)

    with TlsPeer(wire.server_context(pki.ec), handler) as upstream:
        s = scene(upstream.port)
        stuck = wire.Tls(s.tunnel("forward", receive_buffer=65536), s.context("forward"),
                         name="localhost").handshake()
        half, cut = s.client("forward"), s.client("fixed")
        half.close_notify()
        for tls in (stuck, half, cut):
            tls.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        before = ticks(s)
        time.sleep(0.5)
        assert ticks(s) - before < 25
        go.set()
        for tls in (stuck, half, cut):
            tls.close()


def test_clients_that_vanish_while_the_upstream_is_silent(scene, how):
    with Scripted(b"") as upstream:
        s = scene(upstream.port, proxy={"handshake_timeout": "500ms"})
        fds = s.gate.fds()
        for _ in range(10):
            sock = s.tunnel(how)
            sock.sendall(hellos.hello())
            wire.reset(sock)
        s.wait_baseline(fds)


def test_clients_that_vanish_while_the_upstream_is_dialled(scene):
    with Blackhole() as hole:
        s = scene(hole.port, proxy={"connect_timeout": "500ms"})
        fds = s.gate.fds()
        for _ in range(10):
            sock = wire.dial(s.forward)
            sock.sendall(f"CONNECT 127.0.0.1:{hole.port} HTTP/1.0\r\n\r\n".encode())
            wire.reset(sock)
        s.wait_baseline(fds)


def test_upstreams_that_vanish_leave_nothing(scene, how):
    def vanish(sock, number):
        if number % 2:
            sock.recv(10)
            wire.reset(sock)

    with Peer(vanish) as upstream:
        s = scene(upstream.port)
        fds = s.gate.fds()
        for _ in range(10):
            assert s.get(how).status == 502
        s.wait_baseline(fds)


def test_a_flood_of_half_open_hellos_is_bounded(scene, how, echoing):
    """300 endless hellos of 60 KiB, and a good client among them."""
    s = scene(echoing.port)
    with s.client(how) as tls:
        talk(tls)
        tls.close_notify()
        tls.ending()
    fds, rss = s.gate.fds(), s.gate.rss_kib()
    message = hellos.client_hello(extra=hellos.extension(21, bytes(60_000)))
    flood = hellos.records(message)[:60_000]
    crowd = []
    for _ in range(300):
        sock = s.tunnel(how)
        sock.sendall(flood)
        crowd.append(sock)
    with s.client(how) as tls:
        talk(tls)
        tls.close_notify()
        tls.ending()
    assert s.gate.rss_kib() < rss + 300 * 100 + 16 * 1024
    for sock in crowd:
        wire.reset(sock)
    s.wait_baseline(fds)


def test_a_flood_of_half_open_handshakes_is_bounded(scene, how, echoing):
    """300 clients that send a hello, get their flight and send nothing more."""
    s = scene(echoing.port)
    fds, rss = s.gate.fds(), s.gate.rss_kib()
    crowd = [stage_server_hello(s, how) for _ in range(300)]
    with s.client(how) as tls:
        talk(tls)
        tls.close_notify()
        tls.ending()
    assert s.gate.rss_kib() < rss + 300 * 150 + 16 * 1024
    for sock in crowd:
        wire.reset(sock)
    s.wait_baseline(fds)


# ---- messages for the operator -----------------------------------------------------------------

def test_a_ca_near_its_end_is_warned_of(make_gate, pki, tmp_path):
    ca = pki.ca("ending-ca", end=5 * 24 * 3600)
    gate = make_gate(ini({
        "ca": {"certificate": ca.cert, "key": ca.key},
        "upstream": {"trust": pki.trust},
        "audit": {"file": "audit.jsonl"},
        "listen forward": {"type": "forward", "address": f"127.0.0.1:{free_port()}"},
    }))
    assert "CA expires soon" in gate.stderr
    started = gate.wait_record(action="proxy-started")
    assert "CA expires soon" in started["suitegate"]["detail"]


def test_a_certificate_near_its_end_is_warned_of(scene, pki, echoing):
    ending = pki.leaf("ending-leaf", days=5)
    lasting = pki.leaf("lasting-leaf", days=90)
    s = scene(echoing.port, keys=("ec",))

    def reload_with(leaf):
        s.sections["listen front"] = [(k, {"certificate": leaf.chain, "key": leaf.key}.get(k, v))
                                      for k, v in s.sections["listen front"]]
        s.rewrite()
        said = len(s.gate.stderr)
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        return s.gate.stderr[said:]

    assert "expires soon" not in reload_with(lasting)
    assert re.search("ending-leaf.* expires soon", reload_with(ending))


def test_a_sigpipe_and_a_sighup_storm_are_survived(scene, echoing):
    s = scene(echoing.port)
    for _ in range(50):
        s.gate.process.send_signal(signal.SIGHUP)
        s.gate.process.send_signal(signal.SIGPIPE)
    wait_until(lambda: s.echoes(), what="service")
    assert s.gate.alive()
