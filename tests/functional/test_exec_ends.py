"""suitegate exec: COMMAND keeps its streams, signals and terminal, and nothing of the run remains,
however it ends."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

from execution import BODY, NO_CONNECTION, execution, site, wait_for
from gate import BINARY, run

__all__ = ["execution", "site"]  # fixtures

# Prints "ready", then each signal that it gets; TERM ends it with 7.
LISTENER = """
import signal
want = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
        signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM}
signal.pthread_sigmask(signal.SIG_BLOCK, want)
print("ready", flush=True)
while True:
    name = signal.Signals(signal.sigwaitinfo(want).si_signo).name
    if name == "SIGALRM":
        raise SystemExit(0)
    print(name, flush=True)
    if name == "SIGUSR2":  # whatever else was sent has come by then
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    if name == "SIGTERM":
        raise SystemExit(7)
"""
LISTEN = (sys.executable, "-B", "-u", "-c", LISTENER)


# ---- commands that are not run ------------------------------------------------------------

@pytest.mark.parametrize("kind, status", [
    ("missing", 127), ("missing path", 127), ("no file's folder", 126), ("folder", 126),
    ("not executable", 126), ("missing interpreter", 127), ("empty", 127)])
def test_a_command_that_cannot_be_run(execution, tmp_path, kind, status):
    plain, script = tmp_path / "plain", tmp_path / "script"
    plain.write_text("echo ran\n")
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    command = {"missing": ["no-such-command"], "missing path": ["/nonexistent/command"],
               "no file's folder": [plain / "x"], "folder": [tmp_path], "empty": [""],
               "not executable": [plain], "missing interpreter": [script]}[kind]
    done = execution(*command)
    assert (done.status, done.stdout) == (status, b"")
    assert done.text.startswith(f"suitegate exec: {command[0]}: ")
    assert len(done.text.splitlines()) == 1


def test_a_script_without_an_interpreter_is_run_by_the_shell(execution, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo ran $1; exit 5\n")
    script.chmod(0o755)
    done = execution(script, "it")
    assert (done.status, done.stdout) == (5, b"ran it\n")


@pytest.mark.parametrize("before", [None, "suitegate exec: of yesterday\n"])
def test_no_report_is_left_of_a_command_that_was_not_run(execution, tmp_path, before):
    report = tmp_path / "report"
    if before:
        report.write_text(before)
    assert execution("no-such-command", options=["--report", report]).status == 127
    assert not report.exists() or "no-such-command" in report.read_text()


@pytest.mark.parametrize("arguments", [
    (), ("--",), ("--json",), ("--nonsense", "--", "true"), ("--report",), ("--ca",),
    ("-c", "x", "--", "true"), ("--ca", "x") * 17 + ("--", "true")])
def test_usage_errors_are_64(execution, arguments):
    done = run("exec", *arguments, env=execution.environment())
    assert done.returncode == 64
    assert done.stdout == ""
    assert "Try: suitegate" in done.stderr


def test_the_commands_options_are_its_own(execution):
    argv = [BINARY, "exec", "sh", "-c", 'echo "$@"', "sh", "--json", "--", "--report", "x", ""]
    done = subprocess.run(argv, env=execution.environment(), capture_output=True, timeout=50)
    assert (done.returncode, done.stdout) == (3, b"--json -- --report x \n")


def test_help_is_told(execution):
    done = run("exec", "--help", env=execution.environment())
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--json", "--report", "--ca", "Exit status"):
        assert word in done.stdout
    assert "exec" in run("--help").stdout


# ---- signals ------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "INT"])
def test_a_command_that_a_signal_ends(execution, site, name):
    number = getattr(signal, f"SIG{name}")
    done = execution("sh", "-c", f"curl -sS {site.url}; ulimit -c 0; kill -{name} $$",
                     options=["--json"])
    assert done.stdout == BODY
    assert done.status == done.json["exit_status"] == done.json["command_status"] == 128 + number


def test_signals_are_passed_on_once_each_and_the_commands_own_end_counts(execution):
    process = execution.start(*LISTEN)
    assert process.stdout.readline() == b"ready\n"
    for name in ("HUP", "USR1", "WINCH", "INT", "QUIT", "TERM"):
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.stdout.readline() == f"SIG{name}\n".encode()
    done = execution.end(process)
    assert done.status == 7
    assert NO_CONNECTION in done.text
    assert done.stdout == b""


@pytest.mark.parametrize("name", ["TERM", "QUIT"])
def test_a_signal_that_the_command_does_not_catch_ends_it_and_the_report_is_made(
        execution, site, name):
    number = getattr(signal, f"SIG{name}")
    process = execution.start("sh", "-c", f"ulimit -c 0; curl -sS {site.url}; exec sleep 60")
    assert process.stdout.readline() == BODY
    wait_for(lambda: b"sleep\x0060\0" in execution.processes().values())
    process.send_signal(number)
    done = execution.end(process)
    assert done.status == 128 + number
    assert done.lines[0] == (
        f"suitegate exec: 1 connection, 0 refused, COMMAND's status {128 + number}")


def test_a_signal_before_the_command_runs_ends_it_all(execution, tmp_path):
    for pause in (0.01, 0.05, 0.1):
        process = execution.start("sh", "-c", f"echo ran >> {tmp_path}/ran; exec sleep 60")
        time.sleep(pause)
        process.terminate()
        assert execution.end(process).status in (143, -15)
        assert execution.folders() == []


def test_ignored_signals_stay_ignored(execution):
    """nohup suitegate exec, or one in the background of a shell."""
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = execution.start("sh", "-c", "echo ready; read line; echo done; exit 6",
                              preexec_fn=ignore, stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    done = execution.end(process, b"go on\n")
    assert (done.status, done.stdout) == (6, b"done\n")


def test_a_caller_that_ignores_its_childrens_ends(execution):
    """execve() keeps ignored signals: a shell's trap '' CHLD, or a daemon's SIG_IGN."""
    process = execution.start(
        "sh", "-c", "sleep 0.2; exit 6",
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    with contextlib.suppress(subprocess.TimeoutExpired):
        assert execution.end(process).status == 6
        return
    process.kill()
    raise AssertionError("it never ended")


def test_a_kill_of_suitegate_exec_ends_the_command_and_removes_the_rest(execution):
    process = execution.start("sh", "-c", 'trap "echo TERM came; exit 0" TERM; '
                              'echo "$https_proxy"; while :; do sleep 0.05; done')
    url = process.stdout.readline().decode().strip()
    port = int(url.rpartition(":")[2])
    assert len(execution.folders()) == 1
    socket.create_connection(("127.0.0.1", port), 5).close()
    process.kill()
    assert process.stdout.readline() == b"TERM came\n"
    wait_for(lambda: not execution.processes(), lambda: str(execution.processes()))
    wait_for(lambda: not execution.folders(), lambda: str(execution.folders()))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@pytest.mark.parametrize("name", ["ALRM", "ABRT", "XCPU"])
def test_a_signal_that_is_not_passed_on_leaves_nothing_behind_either(execution, name):
    process = execution.start("sh", "-c", "ulimit -c 0; echo ready; exec sleep 60")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate(timeout=50)
    wait_for(lambda: not execution.processes() and not execution.folders())


def test_the_private_proxys_end_is_told(execution):
    process = execution.start("sh", "-c", "echo ready; read line; exit 0",
                              stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    os.kill(execution.proxy(process), signal.SIGKILL)
    done = execution.end(process, b"\n")
    assert done.status == 2
    assert "the private proxy did not end as it should" in done.text


@pytest.mark.parametrize("file", ["ca.key", "trust.p12", "operator.log"])
def test_killed_while_it_starts_it_leaves_no_key_behind(execution, file):
    """The fixture checks at the end that the folder is gone."""
    process = execution.start("sleep", "60")
    wait_for(lambda: list(execution.tmp.glob(f"*/{file}")), lambda: f"no {file}")
    process.kill()
    process.wait()
    wait_for(lambda: not execution.folders(), lambda: f"left behind: {execution.folders()}")


# ---- on a terminal ------------------------------------------------------------------------

class Terminal:
    """A terminal with a process in the foreground; said() returns all its output."""

    def __init__(self, execution, argv, env=None):
        self.master, slave = pty.openpty()
        self.text = b""

        def take():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=take,
                                        env=execution.environment(env))
        execution.begun.append(self.process)
        os.close(slave)
        os.set_blocking(self.master, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.master)

    def said(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while chunk := os.read(self.master, 65536):
                self.text += chunk
        return self.text.decode(errors="replace")

    def wait(self, text, count=1):
        wait_for(lambda: self.said().count(text) >= count,
                 lambda: f"{text} not {count} times in {self.said()}")

    def type(self, what):
        os.write(self.master, what)

    def end(self):
        wait_for(lambda: self.said() is not None and self.process.poll() is not None,
                 lambda: f"still there: {self.said()}")
        self.said()
        return self.process.returncode


@pytest.mark.parametrize("key, name", [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_a_key_of_the_terminal_reaches_the_command_once(execution, key, name):
    with Terminal(execution, execution.argv(*LISTEN)) as terminal:
        terminal.wait("ready")
        terminal.type(key)
        terminal.wait(name)
        terminal.process.send_signal(signal.SIGUSR2)
        assert terminal.end() == 3
        assert terminal.said().count(name) == 1
        assert NO_CONNECTION in terminal.said()


def test_an_interrupted_command_is_reported_of(execution, site):
    argv = execution.argv("sh", "-c", f"curl -sS {site.url}; exec sleep 60")
    with Terminal(execution, argv) as terminal:
        terminal.wait(BODY.decode().strip())
        wait_for(lambda: b"sleep\x0060\0" in execution.processes().values())
        terminal.type(b"\x03")
        assert terminal.end() == 130
        assert "1 connection, 0 refused, COMMAND's status 130" in terminal.said()


def test_a_terminal_that_goes_away_ends_it(execution):
    """suitegate exec as the first process of a terminal: xterm -e, ssh -t, script -c."""
    with Terminal(execution, execution.argv("sh", "-c", "echo ready; exec sleep 60")) as terminal:
        terminal.wait("ready")
    wait_for(lambda: not execution.processes(), lambda: str(execution.processes()))


def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_key_of_the_terminal_reaches_a_command_that_made_its_own_group(execution):
    """As timeout(1) does. While it waits it passes signals on; before, it just ends."""
    argv = execution.argv("timeout", 60, "sh", "-c", "echo ready; exec sleep 60")
    with Terminal(execution, argv) as terminal:
        terminal.wait("ready")
        (pid,) = [p for p, command in execution.processes().items()
                  if command.startswith(b"timeout\0")]
        wait_for(lambda: state(pid) == "S")
        terminal.type(b"\x03")
        wait_for(lambda: not execution.processes(), lambda: str(execution.processes()))


def test_the_size_of_the_terminal_is_told_once(execution):
    with Terminal(execution, execution.argv(*LISTEN)) as terminal:
        terminal.wait("ready")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, b"\x20\0\x60\0\0\0\0\0")
        terminal.wait("SIGWINCH")
        terminal.process.send_signal(signal.SIGUSR2)
        assert terminal.end() == 3
        assert terminal.said().count("SIGWINCH") == 1


def test_a_stopped_command_goes_on_in_the_foreground(execution, site):
    """Ctrl-Z in a shell with job control, then fg: both stop and both continue."""
    line = " ".join(f"'{a}'" for a in execution.argv(
        "sh", "-c", f"echo re''ady; read word; echo got $word; curl -sS {site.url}; exit 9"))
    with Terminal(execution, ["bash", "--norc", "--noprofile", "-i"],
                  env={"PS1": "$ ", "TERM": "dumb"}) as terminal:
        terminal.type(line.encode() + b"\n")
        terminal.wait("ready")
        (pid,) = [p for p, command in execution.processes().items()
                  if command.startswith(BINARY.encode()) and
                  os.getpgid(p) == os.tcgetpgrp(terminal.master)]
        terminal.type(b"\x1a")
        wait_for(lambda: state(pid) == "T")
        stopped = [p for p in execution.processes() if os.getpgid(p) == pid]
        assert len(stopped) == 2
        wait_for(lambda: [state(p) for p in stopped] == ["T"] * 2)
        terminal.type(b"fg\n")
        wait_for(lambda: state(pid) == "S")
        terminal.type(b"a word\n")
        terminal.wait("got a word")
        terminal.wait("COMMAND's status 9")
        terminal.type(b"echo status=$?; exit 0\n")
        terminal.wait("status=9")
        assert terminal.end() == 0


def test_the_private_proxy_has_nothing_of_the_terminal(execution):
    argv = execution.argv("sh", "-c", "echo ready; read line")
    with Terminal(execution, argv) as terminal:
        terminal.wait("ready")
        proxy = execution.proxy(terminal.process)
        targets = {os.readlink(f) for f in pathlib.Path(f"/proc/{proxy}/fd").iterdir()
                   if os.path.islink(f)}
        assert not any("/pts/" in t or "/ptmx" in t for t in targets), targets
        assert os.getpgid(proxy) != os.getpgid(terminal.process.pid)
        terminal.type(b"\n")
        terminal.end()


# ---- standard streams ---------------------------------------------------------------------

def test_the_streams_are_the_commands_byte_for_byte(execution, site):
    """Ten MiB in, the same out, and as much on standard error before the report."""
    data = os.urandom(10 << 20)
    done = execution("sh", "-c", "tee /dev/stderr", stdin=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert done.stderr.startswith(data)
    assert done.stderr[len(data):].startswith(b"suitegate exec: 0 connections, 0 refused")


def test_what_the_command_does_not_read_stays_for_the_next_one(execution, tmp_path):
    given = tmp_path / "given"
    given.write_bytes(b"first\nsecond\n")
    with open(given, "rb", buffering=0) as stdin:
        done = execution("sh", "-c", "read line; echo $line", stdin=stdin)
        assert done.stdout == b"first\n"
        assert stdin.read() == b"second\n"


def test_a_command_may_close_its_streams(execution, site):
    done = execution("sh", "-c", f"exec <&- >&- 2>&-; curl -sS -o /dev/null {site.url}",
                     stdin=b"never read")
    assert (done.status, done.stdout) == (0, b"")
    assert done.lines[0].startswith("suitegate exec: 1 connection")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_streams_that_the_caller_has_closed(execution, site, tmp_path, closed):
    """As cron's and daemons' children may have it; closed streams stay closed for COMMAND."""
    report, seen = tmp_path / "report", tmp_path / "seen"
    shell = (f'for f in 0 1 2; do [ -e /proc/$$/fd/$f ] || echo $f >> {seen}; done; '
             f'curl -sS -o /dev/null {site.url}')
    redirections = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)
    wrapper = ["sh", "-c", f'exec "$@" {redirections}', "sh"]
    done = execution("sh", "-c", shell, wrapper=wrapper, options=["--report", report])
    assert done.status == 0, (done.stderr, report.read_text())
    assert report.read_text().startswith("suitegate exec: 1 connection, 0 refused")
    assert seen.read_text().split() == [str(fd) for fd in closed]


def test_a_reader_that_leaves_before_the_report(execution):
    """suitegate exec -- COMMAND 2>&1 | head -1"""
    process = execution.start("sh", "-c", "echo ready; read line", stdin=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    try:
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait(20)
        assert execution.folders() == []
    finally:
        execution.remove_all()


def test_a_report_into_a_pipe(execution, site, tmp_path):
    """--report >(COMMAND) of a shell."""
    report = tmp_path / "report"
    done = subprocess.run(
        ["bash", "-c", f'"{BINARY}" exec --report >(cat > {report}) -- true; echo $?'],
        env=execution.environment(), capture_output=True, timeout=50, check=True)
    assert (done.stdout, done.stderr) == (b"3\n", b"")
    wait_for(lambda: report.exists() and NO_CONNECTION in report.read_text())


def test_a_report_into_a_fifo(execution, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        process = execution.start("true", options=["--report", fifo])
        try:
            assert execution.end(process).status == 3
            assert NO_CONNECTION in reader.communicate(timeout=50)[0].decode()
        finally:
            process.kill()
            process.wait()
            reader.kill()
            execution.remove_all()


# ---- processes that outlive the command ---------------------------------------------------

def test_a_child_in_the_background_does_not_hold_it_up(execution, site):
    """It loses the proxy and is left alone: only the private proxy is ours to end."""
    code = ("import os, socket, ssl, sys, time\n"
            "if os.fork(): sys.stdin.readline(); sys.exit(0)\n"
            "port = int(os.environ['https_proxy'].rpartition(':')[2])\n"
            "s = socket.create_connection(('127.0.0.1', port))\n"
            "s.sendall(b'CONNECT %s HTTP/1.0\\r\\n\\r\\n' % sys.argv[1].encode())\n"
            "s.recv(4096)\n"
            "s = ssl.create_default_context().wrap_socket(s, server_hostname='localhost')\n"
            "os.write(1, b'connected\\n')\n"
            "for fd in (1, 2): os.close(fd)\n"
            "try: s.recv(1)\n"
            "except OSError: pass\n"
            "open(sys.argv[2], 'w').write('cut off')\n"
            "time.sleep(0.2)\n")
    told = execution.folder / "told"
    process = execution.start(sys.executable, "-B", "-c", code, site.names[0], told,
                              stdin=subprocess.PIPE, options=["--json"])
    assert process.stdout.readline() == b"connected\n"
    done = execution.end(process, b"\n")
    assert done.status == 0, done.text
    assert done.json["connections"] == 1
    wait_for(lambda: told.exists() and told.read_text() == "cut off")


def test_connections_in_the_background_up_to_the_end_are_counted_or_fail(execution, site):
    """A child that sends requests during the shutdown does not change the status."""
    asked = execution.folder / "asked"
    done = execution("sh", "-c",
                     f"curl -sS {site.url}; "
                     f"(while curl -s -o /dev/null {site.url}; do : > {asked}; done) "
                     ">/dev/null 2>&1 & "
                     f"until test -e {asked}; do sleep 0.02; done", options=["--json"])
    assert done.status == 0, done.text
    assert done.json["connections"] >= 2
    assert done.json["refused"] == 0
