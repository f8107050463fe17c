"""More sinks beside the log's file: copies and syslog daemons, running or dead."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

import gate as harness
import wire
from gate import free_port
from logs import intact
from scene import wait_until

RSYSLOG = """
global(maxMessageSize="32k" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" sysSock.use="off")
module(load="imudp")
module(load="imtcp" maxFrameSize="32768")
template(name="raw" type="string" string="%msg%\\n")
template(name="head" type="string"
  string="%pri%|%timestamp:::date-rfc3339%|%app-name%|%procid%|%msgid%|%structured-data%\\n")
ruleset(name="r") {{
  action(type="omfile" file="{d}/msg.log" template="raw")
  action(type="omfile" file="{d}/head.log" template="head")
}}
input(type="imuxsock" socket="{d}/log.sock" useSpecialParser="off" ignoreTimestamp="off"
  ruleset="r")
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="r")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="r")
"""


class Rsyslog:
    """A real rsyslogd in the foreground that writes its input into a file."""

    def __init__(self, folder):
        self.folder = folder
        self.tcp, self.udp = free_port(), free_port()
        folder.mkdir()
        (folder / "r.conf").write_text(RSYSLOG.format(d=folder, udp=self.udp, tcp=self.tcp))
        self.process = None

    def start(self):
        for name in ("pid", "log.sock"):
            (self.folder / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["/usr/sbin/rsyslogd", "-n", "-f", self.folder / "r.conf", "-i", self.folder / "pid"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: (self.folder / "pid").exists() and (self.folder / "log.sock").exists()
                   and self._listens(), what="rsyslogd")
        return self

    def _listens(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.tcp), 1).close()
            return True
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def lines(self, name="msg.log"):
        """The whole records: the last one may be incomplete."""
        path = self.folder / name
        written = path.read_bytes() if path.exists() else b""
        return written[:written.rfind(b"\n") + 1].splitlines()

    def address(self, transport):
        return {"unix": f"unix:{self.folder}/log.sock", "udp": f"udp:127.0.0.1:{self.udp}",
                "tcp": f"tcp:localhost:{self.tcp}"}[transport]


@pytest.fixture
def rsyslog(tmp_path):
    server = Rsyslog(tmp_path / "rsyslog").start()
    yield server
    server.stop()


def refuse(gate, count=1):
    """COUNT refusals, each with its own record."""
    for _ in range(count):
        sock = wire.dial(gate.port)
        sock.sendall(b"GET http://localhost/ HTTP/1.1\r\n\r\n")
        wire.read_to_end(sock)
        sock.close()


def file_lines(gate):
    return gate.audit_path.read_bytes().splitlines()


@pytest.mark.parametrize("transport", ["unix", "udp", "tcp"])
def test_a_syslog_daemon_gets_every_record(make_forward, rsyslog, transport):
    gate = make_forward(audit={"syslog": rsyslog.address(transport)})
    refuse(gate, 20)
    clerk = gate.clerk()
    assert gate.stop() == 0
    assert len(file_lines(gate)) >= 23
    for name in ("msg.log", "head.log"):
        wait_until(lambda: len(rsyslog.lines(name)) >= len(file_lines(gate)), what=name)
    assert rsyslog.lines() == file_lines(gate)
    heads = {line.decode() for line in rsyslog.lines("head.log")}
    first = json.loads(file_lines(gate)[0])
    assert f"134|{first['@timestamp']}|suitegate|{clerk}|proxy-started|-" in heads
    assert any(h.startswith("132|") and "|connection-refused|" in h for h in heads)


def test_several_sinks_at_once(make_forward, rsyslog, tmp_path):
    gate = make_forward(audit={"syslog": [rsyslog.address("tcp"), rsyslog.address("unix")],
                               "copy": ["copy.jsonl", "-"]})
    refuse(gate, 5)
    assert gate.stop() == 0
    lines = file_lines(gate)
    assert (tmp_path / "copy.jsonl").read_bytes().splitlines() == lines
    assert gate.stdout.encode().splitlines() == lines, "standard output has records only"
    assert "listening on" in gate.stderr
    wait_until(lambda: len(rsyslog.lines()) >= 2 * len(lines), what="the messages")
    assert sorted(rsyslog.lines()) == sorted(2 * lines)


def test_a_copy_verifies_like_the_log(make_forward, tmp_path):
    gate = make_forward(audit={"copy": "copy.jsonl"})
    refuse(gate, 5)
    assert gate.stop() == 0
    done = harness.run("log", "verify", tmp_path / "copy.jsonl")
    assert done.returncode == 0, done.stdout


def test_a_copy_is_opened_anew_with_the_log(make_forward, tmp_path):
    gate = make_forward(audit={"copy": "copy.jsonl"})
    refuse(gate)
    copy = tmp_path / "copy.jsonl"
    wait_until(lambda: b"client_plaintext_http" in copy.read_bytes(), what="the copy")
    copy.rename(tmp_path / "copy.1")
    gate.reload()
    refuse(gate)
    assert gate.stop() == 0
    together = (tmp_path / "copy.1").read_bytes() + copy.read_bytes()
    assert together.splitlines() == file_lines(gate)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_daemon_that_was_away_gets_what_waited(make_forward, rsyslog, transport):
    gate = make_forward(audit={"syslog": rsyslog.address(transport)})

    def arrived():
        return set(file_lines(gate)) <= set(rsyslog.lines())

    refuse(gate, 3)
    wait_until(arrived, what="the messages")
    rsyslog.stop()
    refuse(gate, 3)
    wait_until(lambda: "cannot be sent to" in gate.stderr, what="the warning")
    rsyslog.start()
    refuse(gate, 3)
    wait_until(arrived, what="the rest")
    assert gate.stop() == 0
    wait_until(arrived, what="the last")
    assert gate.stderr.count("cannot be sent to") == 1
    assert not gate.matching(action="log-dropped")


def test_a_sink_that_is_not_there_holds_nothing_up(make_forward, tmp_path):
    gate = make_forward(audit={"syslog": ["unix:/nowhere/log", f"tcp:127.0.0.1:{free_port()}",
                                          "udp:no-such-host.invalid:514"],
                               "copy": "no/such/folder/copy"})
    refuse(gate, 20)
    assert len(gate.matching(code="client_plaintext_http")) == 20
    assert gate.stop() == 0
    assert "did not get" in gate.stderr
    dropped = gate.matching(action="log-dropped")
    assert {r["suitegate"]["log"]["sink"] for r in dropped} >= {"unix:/nowhere/log"}


def test_what_a_sink_has_not_got_at_the_end_is_on_record(make_forward):
    """At a stop, an upgrade, and when another clerk takes over."""
    name = f"tcp:127.0.0.1:{free_port()}"
    gate = make_forward(audit={"syslog": [name]})
    refuse(gate, 20)
    assert gate.stop() == 0
    [record] = gate.matching(action="log-dropped")
    assert record["suitegate"]["log"]["sink"] == name
    assert record["suitegate"]["log"]["dropped"] >= 20
    intact(gate.audit_path)


def test_a_copy_whose_folder_comes_later(make_forward, tmp_path):
    """Such as a late mount: it gets all."""
    gate = make_forward(audit={"copy": tmp_path / "later/copy.jsonl"})
    refuse(gate, 5)
    (tmp_path / "later").mkdir()
    wait_until(lambda: "go to" in gate.stderr)
    assert gate.stop() == 0
    assert len((tmp_path / "later/copy.jsonl").read_text().splitlines()) == len(gate.all_records())


def test_a_copy_into_a_pipe_that_nobody_reads_holds_nothing_up(make_forward, tmp_path):
    """The log is whole at once, and a late reader of the pipe gets every line."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    gate = make_forward(audit={"copy": "pipe"})
    refuse(gate, 200)
    assert len(gate.matching(code="client_plaintext_http")) == 200
    got = bytearray()
    deadline = time.monotonic() + harness.PATIENCE
    while got.count(b"\n") < 200 and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            got += os.read(keep, 1 << 16)
    assert gate.stop() == 0
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(keep, 1 << 16):
            got += chunk
    os.close(keep)
    assert bytes(got).splitlines() == file_lines(gate)


def test_a_datagram_is_a_record(make_forward):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(5)
    gate = make_forward(audit={"syslog": f"udp:127.0.0.1:{server.getsockname()[1]}"})
    refuse(gate, 3)
    assert gate.stop() == 0
    seen = [server.recv(1 << 17).split(b" ", 7) for _ in file_lines(gate)]
    server.close()
    assert [message[7] for message in seen] == file_lines(gate)
    assert {message[0] for message in seen} == {b"<134>1", b"<132>1"}


# ---- journald ----------------------------------------------------------------------------------

JOURNALD = r"""
set -e
dir=$1; shift
mount -t tmpfs tmpfs /run
mount --bind /dev/null /dev/kmsg
mkdir -p /run/systemd/journald.conf.d /run/log/journal
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nRateLimitBurst=0\nReadKMsg=no\nAudit=\nForwardToSyslog=no\nForwardToWall=no\n' \
    > /run/systemd/journald.conf.d/test.conf
/lib/systemd/systemd-journald 2>"$dir/journald.err" & J=$!
trap 'kill $J; wait $J' EXIT
until test -S /run/systemd/journal/stdout; do kill -0 $J; sleep 0.05; done
rc=0; for run in 1 2; do systemd-cat -t test --level-prefix=false "$@" || rc=$?; done
journalctl --sync
journalctl -D /run/log/journal -t test -o cat -q --no-pager > "$dir/journal.out"
exit $rc
"""


def test_journald_gives_back_what_verifies(tmp_path, ca_folder):
    """file = - with a key under a real journald; journalctl -o cat | suitegate log verify -"""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here")
    if not os.path.ismount("/sys/fs/cgroup"):
        pytest.skip("no control groups here, as in a chroot; journald does not start")
    port = free_port()
    (tmp_path / "sg.ini").write_text(harness.as_whoever(harness.ini({
        "ca": {"certificate": ca_folder / "ca.pem", "key": ca_folder / "ca.key"},
        "audit": {"file": "-", "key": "log.key"},
        "listen f": {"type": "forward", "address": f"127.0.0.1:{port}"}})))
    run = ["sh", "-c", 'echo $$ > "$0"; exec "$@" 2>"$0.err"', tmp_path / "pid", harness.BINARY,
           "run", "-c", tmp_path / "sg.ini"]
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                JOURNALD, "sh", tmp_path, *run],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)

    ended = set()

    def up():
        pid = int((tmp_path / "pid").read_text() or 0)
        wire.dial(port).close()
        return pid if pid not in ended else 0

    try:
        for _ in range(2):
            pid = wait_until(up, seconds=20, what="suitegate under journald")
            for _ in range(20):
                sock = wire.dial(port)
                sock.sendall(b"GET http://localhost/ HTTP/1.1\r\n\r\n")
                wire.read_to_end(sock)
                sock.close()
            ended.add(pid)
            os.kill(pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=50)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    journal = (tmp_path / "journal.out").read_bytes()
    assert journal.count(b"client_plaintext_http") == 40
    done = subprocess.run([harness.BINARY, "log", "verify", "-"], input=journal,
                          capture_output=True, check=False)
    assert done.returncode == 0 and b"Signed up to record" in done.stdout, done.stdout
    assert b" in 2 chains, each of which names the one before, complete" in done.stdout
