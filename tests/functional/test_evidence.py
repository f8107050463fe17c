"""The audit file: its content, when it is written, and what happens if it cannot be written."""

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

import hellos
import wire
from gate import StartError, free_port
from scene import at, check_record, how, refusals_in, scene, wait_until  # noqa: F401 (fixtures)
from upstreams import Scripted, TlsPeer, page

ECHO_SIZE = 123_457


def tail_lines(gate):
    """The file's raw lines; a torn last line fails to parse."""
    return gate.audit_path.read_bytes().split(b"\n")


def actions(path):
    """The records of the file, without its checkpoints."""
    found = [json.loads(line)["event"]["action"] for line in path.read_text().splitlines()]
    return [action for action in found if action != "log-checkpoint"]


def check_all(scene):
    """Every line of the file is a valid record."""
    lines = tail_lines(scene.gate)
    assert lines[-1] == b"", "the last line has no end"
    for line in lines[:-1]:
        check_record(json.loads(line.decode("utf-8")))
    return scene.gate.records()


def answers(size):
    """Reads everything, then answers with size bytes."""
    def handler(tls, _):
        tls.recv_to_end()
        tls.send(bytes(size))
        tls.close_notify()
    return handler


# ---- one connection, its records ---------------------------------------------------------------

def test_an_allowed_connection_is_opened_and_closed(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port)
        assert s.get(how).status == 200
        opened, closed = s.opened_closed()[0]  # before the upstream is cut off
    for path in ("suitegate.connection_id", "suitegate.identity", "suitegate.listener",
                 "source.ip", "source.port", "destination.port"):
        assert at(opened, path) == at(closed, path)
    assert at(opened, "suitegate.identity") == "localhost"
    assert at(opened, "suitegate.listener") == ("forward" if how == "forward" else "front")
    assert at(opened, "tls.client.server_name") == "localhost"
    assert at(closed, "event.code") is None


def test_byte_counts_are_exact(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), answers(ECHO_SIZE)) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(bytes(1000))
            tls.send(bytes(1))
            tls.close_notify()
            assert len(tls.recv_to_end()) == ECHO_SIZE
    _, closed = s.opened_closed()[0]
    assert (at(closed, "source.bytes"), at(closed, "destination.bytes")) == (1001, ECHO_SIZE)


def test_the_client_closed(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec)) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(b"x")
            tls.close_notify()
            assert tls.ending() in ("close_notify", "truncated")
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "client"


def test_the_upstream_closed(scene, how, pki):
    with TlsPeer(wire.server_context(pki.ec), lambda tls, _: tls.close_notify()) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            assert tls.ending() == "close_notify"
            tls.close_notify()
    assert at(s.opened_closed()[0][1], "suitegate.closed_by") == "upstream"


def test_the_certificate_facts_are_the_certificates(scene, pki):
    with TlsPeer(wire.server_context(pki.rsa), page()) as upstream:
        s = scene(upstream.port)
        s.get("forward")
    facts = at(s.opened_closed()[0][0], "suitegate.upstream.tls.server")
    text = subprocess.run(["openssl", "x509", "-in", pki.rsa.cert, "-noout", "-fingerprint",
                           "-sha256", "-startdate", "-enddate", "-dateopt", "iso_8601"],
                          capture_output=True, text=True, check=True).stdout
    fields = dict(line.split("=", 1) for line in text.splitlines())
    assert facts["hash"]["sha256"].upper() == fields["sha256 Fingerprint"].replace(":", "")
    assert facts["not_before"] == fields["notBefore"].replace(" ", "T")
    assert facts["not_after"] == fields["notAfter"].replace(" ", "T")
    assert facts["subject"] == "CN=rsa"
    assert facts["issuer"] == "CN=suitegate test inter"


def test_weak_offers_are_listed(scene, how, pki):
    """A compliant hello that would negotiate something weak elsewhere."""
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port)
        s.get(how, ciphers="ECDHE+AESGCM:AES128-SHA:@SECLEVEL=0")
    opened, _ = s.opened_closed()[0]
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in at(opened, "suitegate.client.weak_offers")
    assert set(at(opened, "suitegate.client.approved")) <= set(wire.EIGHT.values())


def test_a_refusal_is_in_the_file_before_the_client_knows(scene, how):
    """Checked at the moment when the alert arrives, without waiting."""
    with Scripted(b"") as upstream:
        s = scene(upstream.port)
        for turn in range(20):
            sock = s.tunnel(how)
            sock.sendall(hellos.hello(suites=(0x002F,)))
            assert wire.plain_alerts(sock.recv(7)) == [(2, 40)]
            assert len(s.gate.matching(code="client_no_approved_suite")) == turn + 1
            sock.close()


def test_every_refusal_before_the_200_is_in_the_file_before_the_answer(scene):
    s = scene(free_port())
    for turn in range(20):
        sock = wire.dial(s.forward)
        sock.sendall(f"CONNECT 127.0.0.1:{s.upstream} HTTP/1.0\r\n\r\n".encode())
        assert sock.recv(12) == b"HTTP/1.1 502"
        assert len(s.gate.matching(code="upstream_unreachable")) == turn + 1
        sock.close()


def test_zero_bytes_leave_no_record(scene, how):
    s = scene(free_port())
    wire.dial(s.forward if how == "forward" else s.fixed).close()
    _, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
    assert answer.status == 502
    s.only_refusal("upstream_unreachable")


def test_connection_ids_are_unique(scene):
    s = scene(free_port(), proxy={"workers": 2})
    for _ in range(40):
        wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[0].close()
    s.gate.wait_record(code="upstream_unreachable", count=40)
    assert len({at(r, "suitegate.connection_id") for r in s.traffic()}) == 40


# ---- the life of the process -------------------------------------------------------------------

def test_start_reload_and_stop_are_recorded(scene):
    s = scene(free_port())
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    assert s.gate.stop() == 0
    actions = [r["event"]["action"] for r in check_all(s)]
    assert actions[0] == "proxy-started" and actions[-1] == "proxy-stopped"
    assert "configuration-loaded" in actions


def test_a_bad_configuration_is_recorded(scene):
    s = scene(free_port())
    s.gate.write_config(s.ini() + "\n[proxy]\nno_such_option = 1\n")
    record = s.gate.reload()
    assert record["event"]["action"] == "configuration-rejected"
    assert record["event"]["outcome"] == "failure"
    check_all(s)


def test_the_policy_digest_changes_with_the_policy(scene):
    s = scene(free_port())
    before = s.gate.wait_record(action="proxy-started")["suitegate"]["policy"]["digest"]
    assert s.gate.reload()["suitegate"]["policy"]["digest"] == before
    s.sections["policy"] = {"minimum_rsa_bits": 3072}
    s.rewrite()
    assert s.gate.reload()["suitegate"]["policy"]["digest"] != before


# ---- the file ----------------------------------------------------------------------------------

def test_sighup_reopens_the_file_after_a_rename(scene, pki):
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port)
        assert s.get("forward").status == 200
        s.gate.wait_record(action="connection-closed")
        old = s.gate.audit_path.with_suffix(".1")
        s.gate.audit_path.rename(old)
        assert s.get("forward").status == 200
        wait_until(lambda: old.read_text().count('"connection-closed"') == 2)
        assert not s.gate.audit_path.exists()
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        assert s.get("forward").status == 200
        s.gate.wait_record(action="connection-closed")
        assert s.gate.stop() == 0
    actions = [json.loads(line)["event"]["action"] for line in old.read_text().splitlines()]
    assert actions.count("connection-opened") == actions.count("connection-closed") == 2
    check_all(s)
    assert [r["event"]["action"] for r in s.traffic()] == ["connection-opened",
                                                          "connection-closed"]


def test_a_reload_moves_the_records_to_another_file(scene, pki, tmp_path):
    with TlsPeer(wire.server_context(pki.ec)) as upstream:
        s = scene(upstream.port)
        with s.client("forward") as tls:
            s.gate.wait_record(action="connection-opened")
            s.sections["audit"]["file"] = "other.jsonl"
            s.rewrite()
            assert s.gate.reload()["event"]["action"] == "configuration-loaded"
            tls.close_notify()
            s.gate.wait_record(action="connection-closed")
    assert actions(tmp_path / "audit.jsonl") == ["proxy-started", "connection-opened"]
    assert s.gate.stop() == 0
    check_all(s)


def test_a_rotation_works_with_a_configuration_that_is_rejected(scene, tmp_path):
    s = scene(free_port())
    s.gate.wait_record(action="proxy-started")
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    s.sections["policy"] = {"no_such_option": "1"}
    s.rewrite()
    assert s.gate.reload()["event"]["action"] == "configuration-rejected"
    assert [r["event"]["action"] for r in s.gate.records()] == ["configuration-rejected"]
    assert actions(tmp_path / "audit.jsonl.1") == ["proxy-started"]


def test_the_file_is_appended_to(scene, tmp_path):
    (tmp_path / "audit.jsonl").write_text('{"event":{"action":"older"}}\n')
    s = scene(free_port())
    assert s.gate.records()[0]["event"]["action"] == "older"
    s.gate.wait_record(action="proxy-started")
    assert [r["event"]["action"] for r in s.gate.records()[1:]] == ["log-repaired", "proxy-started"]
    assert "no record of this log" in s.gate.records()[1]["message"]


def test_the_file_is_for_the_owner_and_group_at_most(scene):
    s = scene(free_port())
    assert s.gate.audit_path.stat().st_mode & 0o007 == 0


def test_nothing_of_the_payload_is_in_the_file(scene, how, pki):
    """Not the path, the query, a header's value, the body or the answer."""
    marker = "Kirschbaum4711"
    with TlsPeer(wire.server_context(pki.ec), page(f"{marker}-answer")) as upstream:
        s = scene(upstream.port)
        with s.client(how) as tls:
            tls.send(f"POST /{marker}-path?{marker}-query HTTP/1.1\r\nHost: localhost\r\n"
                     f"Cookie: {marker}-cookie\r\nAuthorization: Basic {marker}-auth\r\n"
                     f"Content-Length: 20\r\n\r\n{marker}-body-".encode())
            assert marker in wire.read_answer(tls.recv).body
            tls.close_notify()
        s.gate.wait_record(action="connection-closed")
    with Scripted(wire.alert(40), port=upstream.port):
        answer = s.get(how, f"/{marker}-path", headers={"Cookie": f"{marker}-cookie"})
        assert answer.status == 502 and marker not in answer.body
        s.gate.wait_record(code="upstream_no_approved_suite")
    sock = wire.dial(s.forward)
    sock.sendall(f"CONNECT 127.0.0.1:{s.upstream} HTTP/1.0\r\n"
                 f"Proxy-Authorization: Basic {marker}-proxy\r\n\r\n".encode())
    wire.read_to_end(sock)
    sock.close()
    sock = wire.dial(s.forward)
    sock.sendall(f"GET http://localhost/{marker}-plain HTTP/1.1\r\n"
                 f"Cookie: {marker}\r\n\r\n".encode())
    wire.read_to_end(sock)
    sock.close()
    s.gate.wait_record(code="client_plaintext_http")
    assert s.gate.stop() == 0
    for path in (s.gate.audit_path, s.gate.stderr_path, s.gate.stdout_path):
        assert marker not in path.read_text(), path.name
    check_all(s)


def test_hostile_names_stay_inside_their_string(scene):
    """A server name with quotes, line ends and bytes that are not UTF-8 breaks no line."""
    s = scene(free_port(), proxy={"handshake_timeout": "300ms"})
    for name in (b'a","event":{"action":"forged"},"b":"', b"a\r\n{}\r\n", b"\xff\xfe\x00\x1f",
                 "gr\u00fc\u00dfe".encode("latin-1")):
        sock = wire.dial(s.fixed)
        sock.sendall(hellos.hello(name=name))
        wire.read_to_end(sock)
        sock.close()
    wire.dial(s.forward).sendall(b'CONNECT a"},{":443 HTTP/1.1\r\n\r\n')
    wait_until(lambda: len(s.traffic()) == 5, what="five records")
    assert s.gate.stop() == 0
    assert "forged" not in [r["event"]["action"] for r in check_all(s)]


# ---- a file that cannot be written -------------------------------------------------------------

def test_a_full_device_at_start(scene, pki):
    """Either it reports an error and does not start, or it starts and refuses every client."""
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        try:
            s = scene(upstream.port, audit={"file": "/dev/full"})
        except StartError as failure:
            assert str(failure).startswith("exit 2") and "/dev/full" in str(failure)
            return
        # The writer learns this from its first write, in parallel to the workers.
        wait_until(lambda: "new connections are refused until it can" in s.gate.stderr)
        wait_until(lambda: wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[1].status == 503)
        s.sections["audit"]["file"] = "audit.jsonl"
        s.rewrite()
        s.gate.reload()
        # Another clerk; or the same one, where it is not confined.
        wait_until(lambda: re.search("another clerk writes the audit log|the audit file can be written again",
                                     s.gate.stderr))
        assert s.get("forward").status == 200
        assert s.gate.stop() == 0
        check_all(s)


@pytest.fixture
def limited(scene, pki):
    """A scene whose audit file may not grow, and the function that lifts the limit."""
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port)
        assert s.get("forward").status == 200
        s.gate.wait_record(action="connection-closed")
        clerk = s.gate.clerk()
        _, hard = resource.prlimit(clerk, resource.RLIMIT_FSIZE)

        def limit(spare):
            size = s.gate.audit_path.stat().st_size
            resource.prlimit(clerk, resource.RLIMIT_FSIZE, (size + spare, hard))

        def lift():
            resource.prlimit(clerk, resource.RLIMIT_FSIZE, (hard, hard))

        yield s, limit, lift
        with contextlib.suppress(ProcessLookupError):
            lift()


def first_refusal(s):
    """Only an event that must be recorded can show that the file does not take it."""
    for _ in range(50):
        sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
        if answer.status == 503:
            return answer
        # An incomplete hello, then the end: a refusal that must be recorded.
        try:
            sock.sendall(b"\x16\x03\x01\x00\x10")
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(0.3)
            wire.read_to_end(sock)
        except OSError:
            pass
        sock.close()
    raise AssertionError("50 connections, none refused")


@pytest.mark.parametrize("spare", [0, 10, 700])
def test_no_new_connections_while_the_file_cannot_grow(limited, spare):
    """spare: room for nothing, for a torn line, for about one record."""
    s, limit, lift = limited
    limit(spare)
    answer = first_refusal(s)
    assert answer.status == 503 and "audit_unavailable" in answer.body
    for _ in range(5):
        sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
        assert answer.status == 503 and "audit_unavailable" in answer.body
        sock.close()
        assert wire.read_to_end(wire.dial(s.fixed)) == b""
    assert s.gate.alive()
    said = [line for line in s.gate.stderr.splitlines() if "audit" in line]
    assert len(said) == 1, said
    lift()
    wait_until(lambda: wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[1].status == 200,
               what="recovery")
    assert s.get("forward").status == 200
    assert s.gate.stop() == 0
    records = check_all(s)
    unavailable = [r for r in records if r["event"].get("code") == "audit_unavailable"]
    assert len(unavailable) >= 10, "a refusal is lost"
    opened = {at(r, "suitegate.connection_id") for r in records
              if r["event"]["action"] == "connection-opened"}
    closed = {at(r, "suitegate.connection_id") for r in records
              if r["event"]["action"] == "connection-closed"}
    assert opened == closed, "a record is lost"


def test_a_torn_line_goes_whole_into_the_next_file(limited):
    """logrotate's rename and SIGHUP, while the file takes only half a line."""
    s, limit, _ = limited
    before = s.gate.audit_path.read_bytes()
    limit(10)
    first_refusal(s)
    old = s.gate.audit_path.with_suffix(".1")
    s.gate.audit_path.rename(old)
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    assert old.read_bytes() == before
    codes = [r["event"].get("code") for r in check_all(s)]
    assert codes[0] == "client_handshake_failed" and "audit_unavailable" in codes
    wait_until(lambda: wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[1].status == 200,
               what="recovery")


def test_a_reload_that_keeps_the_file_tears_no_line(limited):
    """At the moment when the file has taken half a line: writing continues after that half."""
    s, limit, lift = limited
    limit(10)
    first_refusal(s)
    lift()
    assert s.gate.reload()["event"]["action"] == "configuration-loaded"
    wait_until(lambda: wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[1].status == 200,
               what="recovery")
    assert s.gate.stop() == 0
    assert "client_handshake_failed" in [r["event"].get("code") for r in check_all(s)]


def test_reloads_among_refusals_leave_no_empty_line(scene):
    s = scene(free_port(), proxy={"workers": 2})

    def ask():
        for _ in range(100):
            wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[0].close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        s.gate.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert s.gate.stop() == 0
    check_all(s)
    assert refusals_in(s.traffic()) == 400


def test_who_is_not_allowed_is_refused_for_the_file_while_it_fails(scene, pki):
    """Otherwise anybody could fill the memory with refusals that cannot be written."""
    with TlsPeer(wire.server_context(pki.ec), page()) as upstream:
        s = scene(upstream.port)
        s.sections["listen forward"]["allow_clients"] = "10.0.0.0/8"
        s.rewrite()
        assert s.gate.reload()["event"]["action"] == "configuration-loaded"
        assert status_and_body(s)[0] == 403
        clerk = s.gate.clerk()
        _, hard = resource.prlimit(clerk, resource.RLIMIT_FSIZE)
        size = s.gate.audit_path.stat().st_size
        resource.prlimit(clerk, resource.RLIMIT_FSIZE, (size, hard))
        status_and_body(s)  # shows that the file does not take it
        for _ in range(5):
            status, body = status_and_body(s)
            assert status == 503 and "audit_unavailable" in body
        resource.prlimit(clerk, resource.RLIMIT_FSIZE, (hard, hard))
        wait_until(lambda: status_and_body(s)[0] == 403, what="recovery")
        assert s.gate.stop() == 0
    assert len(s.gate.matching(code="audit_unavailable")) >= 5
    check_all(s)


def status_and_body(s):
    answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[1]
    return answer.status, answer.body


class Pipe:
    """A FIFO of one page, which nobody reads unless take() is called."""

    def __init__(self, path):
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, 4096)
        self.data = bytearray()

    def take(self):
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._fd, 65536):
                self.data += chunk

    def close(self):
        os.close(self._fd)


@pytest.fixture(params=["fifo", "standard output"])
def piped(request, scene, tmp_path):
    """A scene whose records go into a pipe: (scene, pipe)."""
    pipe = Pipe(tmp_path / "pipe")
    name, options = "pipe", {}
    if request.param != "fifo":
        name, options = "-", {"wrapper": ["sh", "-c", f'exec "$@" 1<>"{tmp_path}/pipe"', "sh"]}
    s = scene(free_port(), audit={"file": name}, proxy={"drain_timeout": "300ms"},
              options=options)
    yield s, pipe
    pipe.close()


def refuse_until_the_pipe_is_full(s):
    for _ in range(50):
        if "audit_unavailable" in status_and_body(s)[1]:
            return
    raise AssertionError("50 refusals into 4096 bytes")


def test_a_pipe_that_nobody_reads_is_a_file_that_cannot_be_written(piped):
    """Each client that waits for a record gets an answer, none hangs, and a late reader gets every
    line."""
    s, pipe = piped
    refuse_until_the_pipe_is_full(s)
    for _ in range(5):
        status, body = status_and_body(s)
        assert status == 503 and "audit_unavailable" in body
    assert wire.read_to_end(wire.dial(s.fixed)) == b""

    def recovered():
        pipe.take()
        return "upstream_unreachable" in status_and_body(s)[1]

    wait_until(recovered, what="recovery")
    pipe.take()
    s.gate.terminate()
    assert s.gate.wait() == 0
    pipe.take()
    lines = bytes(pipe.data).split(b"\n")
    assert lines[-1] == b""
    records = [json.loads(line) for line in lines[:-1] if not line.startswith(b"suitegate: ")]
    for record in records:
        check_record(record)
    codes = [r["event"].get("code") for r in records]
    assert codes.count("audit_unavailable") >= 6 and "upstream_unreachable" in codes
    assert records[-1]["event"]["action"] == "proxy-stopped"


def test_a_pipe_that_nobody_reads_does_not_hold_the_end(piped):
    s, _ = piped
    refuse_until_the_pipe_is_full(s)
    s.gate.expected_exit = 2
    s.gate.terminate()
    assert s.gate.wait(15) == 2
    assert "audit records could not be written" in s.gate.stderr


def test_an_open_tunnel_survives_a_file_that_cannot_grow(scene, pki):
    """An allowed connection continues; its closing record is written in the end."""
    with TlsPeer(wire.server_context(pki.ec), answers(5)) as upstream:
        s = scene(upstream.port)
        tls = s.client("forward")
        s.gate.wait_record(action="connection-opened")
        clerk = s.gate.clerk()
        _, hard = resource.prlimit(clerk, resource.RLIMIT_FSIZE)
        size = s.gate.audit_path.stat().st_size
        resource.prlimit(clerk, resource.RLIMIT_FSIZE, (size, hard))
        with tls:
            tls.send(b"question")
            tls.close_notify()
            assert tls.recv_to_end() == bytes(5)
        resource.prlimit(clerk, resource.RLIMIT_FSIZE, (hard, hard))
        _, closed = s.opened_closed()[0]
        assert at(closed, "source.bytes") == 8


def test_every_record_of_many_workers_is_whole(scene):
    """Refusals from eight clients at once; none torn, none missing, none twice; some are counted."""
    s = scene(free_port(), proxy={"workers": 2})

    def ask():
        for _ in range(50):
            wire.connect(s.forward, f"127.0.0.1:{s.upstream}")[0].close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s.gate.stop() == 0
    check_all(s)
    refused = [at(r, "suitegate.connection_id") for r in s.traffic()
               if at(r, "event.action") == "connection-refused"]
    assert 250 <= len(refused) == len(set(refused))
    assert refusals_in(s.traffic()) == 400
