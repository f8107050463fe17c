"""The harness: one running suitegate, and one way to run its other commands.

Knows the command line, the audit file and /proc, but not TLS. The caller resolves ports
(free_port) before it passes the configuration text.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import fastjsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SUITEGATE", str(ROOT / "build" / "suitegate"))
# The limit for a wait that normally ends at once. It only ends a test that hangs and asserts
# nothing about time, since the machine may be busy.
PATIENCE = 60
STOP_SECONDS = 90
POLL_SECONDS = 0.01
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "runtime error:",
                   "UndefinedBehaviorSanitizer", "ThreadSanitizer")

_validated = set()  # hashes of records: many gates may continue one log, and each reads all of it

SCHEMA = json.loads((ROOT / "conf" / "record.schema.json").read_text())


def _actions(rule):
    """The actions for which the rule's `if` holds, if it asks for nothing else."""
    asked = rule.get("if", {}).get("properties", {})
    test = asked.get("event", {}).get("properties", {}).get("action", {})
    if rule.get("if") != {"properties": {"event": {"properties": {"action": test}}}}:
        return None
    return test.get("enum", [test.get("const")])


def _validator(action):
    """The whole schema for records of one action: its rules for other actions, which are most of
    it, cost ten times as much as the rest."""
    rules = []
    for rule in SCHEMA["allOf"]:
        actions = _actions(rule)
        rules.append(rule if actions is None else
                     rule.get("then" if action in actions else "else", {}))
    return fastjsonschema.compile({**SCHEMA, "allOf": rules})


_validators = {action: _validator(action) for action in
               SCHEMA["properties"]["event"]["properties"]["action"]["enum"]}


def valid_record(record):
    """Raises if a record does not match conf/record.schema.json."""
    _validators[record["event"]["action"]](record)


def _ports():
    """Numbers below those that the kernel gives to clients. Each process of a run has its own;
    parallel runs begin elsewhere."""
    share = range(10000 + int(os.environ.get("SUITEGATE_TEST_SLOT", "0")), 32768, 8)
    first = random.randrange(len(share))
    yield from itertools.chain(share[first:], share[:first])


_free_ports = _ports()


def free_port(address="127.0.0.1"):
    """A port that is free now and that this run has not used before."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in _free_ports:
        with socket.socket(family, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            return port
    raise AssertionError("every port was handed out")


def run(*arguments, timeout=50, **options):
    """Runs one command of the program to its end; text output is captured."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout, check=False, **options)


def sanitized():
    """Whether the program has a sanitizer, which keeps freed memory for a while and must be the
    first library to be loaded."""
    return re.search(rb"__[at]san_init", pathlib.Path(BINARY).read_bytes()) is not None


def landlock():
    """Its version in this kernel; 0: there is none, or a sanitizer keeps the gate from using it."""
    return 0 if sanitized() else max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def ca_init(folder, key_type=None):
    """Writes FOLDER/ca.pem and FOLDER/ca.key as an administrator would."""
    kind = ["--key-type", key_type] if key_type else []
    done = run("ca", "init", "--out", folder, *kind)
    assert done.returncode == 0, f"ca init: {done.returncode}: {done.stderr}"
    return pathlib.Path(folder) / "ca.pem"


def ini(sections):
    """Configuration text. A section is a dict or, if order counts, a list of pairs; a list as a
    value repeats the key, None omits it."""
    lines = []
    for name, entries in sections.items():
        lines.append(f"[{name}]")
        for key, value in entries.items() if isinstance(entries, dict) else entries:
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if one is not None:
                    lines.append(f"{key} = {one}")
    return "\n".join(lines) + "\n"


AS_ROOT = "[process]\nuser = root\n"


def as_whoever(config):
    """The same for a gate that this test's user starts."""
    return (AS_ROOT if os.geteuid() == 0 else "") + config


def children_of(pid):
    """Those of all its threads."""
    return {int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()}


def parts_of(pid):
    """The processes that a gate's first one has started, by name."""
    found = {}
    for child in children_of(pid):
        with contextlib.suppress(FileNotFoundError):  # it may end now
            name = pathlib.Path(f"/proc/{child}/comm").read_text().strip()
            found[name.removeprefix("suitegate-")] = child
    return found


class StartError(AssertionError):
    """The process ended, or never reported that it is ready."""


class Evidence:
    """Queries on the records() of a gate."""

    def matching(self, predicate=None, *, code=None, action=None):
        """The matching records so far, without waiting."""
        def fits(record):
            event = record.get("event", {})
            return ((code is None or event.get("code") == code)
                    and (action is None or event.get("action") == action)
                    and (predicate is None or bool(predicate(record))))
        return [record for record in self.records() if fits(record)]

    def wait_record(self, predicate=None, *, code=None, action=None, count=1,
                    timeout=PATIENCE):
        """Waits for COUNT matching records and returns the last of them."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.matching(predicate, code=code, action=action)
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > deadline:
                seen = [(r["event"].get("action"), r["event"].get("code")) for r in self.records()]
                raise AssertionError(f"{len(found)} of {count} records with code={code} "
                                     f"action={action}; seen {seen}\n{self.stderr}")
            time.sleep(POLL_SECONDS)


class Gate(Evidence):
    """Starts at once and is ready when the constructor returns.

    wrapper: argv put before the binary (it must exec, so that the pid stays).
    popen: further arguments for subprocess.Popen, such as preexec_fn.
    """

    def __init__(self, tmp_path, config, *, wrapper=(), env=None, popen=None, binary=None):
        self.folder = pathlib.Path(tmp_path)
        self.config_path = self.folder / "suitegate.ini"
        self.stdout_path = self.folder / "suitegate.stdout"
        self.stderr_path = self.folder / "suitegate.stderr"
        # In a user namespace of its own, too.
        self.is_root = "--user" in wrapper or os.geteuid() == 0 and not (popen or {}).get("user")
        self.write_config(config)
        self.exit_code, self.expected_exit = None, 0
        self.idle_fds = sys.maxsize  # the fewest that a test has begun with
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                [*wrapper, binary or BINARY, "run", "-c", str(self.config_path)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **(env or {})}, start_new_session=True, **(popen or {}))
        self.pid = self.process.pid
        self._await_ready()

    def write_config(self, config):
        """Replaces the configuration file; the gate reads it at reload()."""
        stays_root = self.is_root and "[process]" not in config
        self.config_path.write_text((AS_ROOT if stays_root else "") + config)
        # Not an INI parser: a test may write what no parser accepts.
        found = re.search(r"^\[audit\][^\[]*?^\s*file\s*=\s*(\S+)", config, re.M | re.S)
        self.audit_path = self.folder / (found.group(1) if found else "-")
        self.config = config

    def _await_ready(self):
        deadline = time.monotonic() + PATIENCE
        # If the records go to standard output, these lines go to standard error.
        while "suitegate: ready" not in self.stdout + self.stderr:
            if self.process.poll() is not None:
                self.exit_code = self.process.returncode
                raise StartError(f"exit {self.exit_code}\n{self.stdout}\n{self.stderr}")
            if time.monotonic() > deadline:
                self.kill()
                raise StartError(f"not ready in {PATIENCE} s\n{self.stdout}\n{self.stderr}")
            time.sleep(POLL_SECONDS)

    @property
    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def records(self, start=0):
        """All records of the log, oldest first, without its checkpoints."""
        return [record for record in self.all_records(start)
                if record["event"]["action"] != "log-checkpoint"]

    def all_records(self, start=0):
        """Every whole line of the log from byte start on, oldest first; start is 0 or a result of
        recorded()."""
        return [json.loads(line) for line in self._whole_lines(start).splitlines()
                if self.audit_path.name != "-" or line.startswith(b"{")]

    def recorded(self):
        """The end of the log's last whole line. The file's size would be wrong: a record may be
        half written."""
        return len(self._whole_lines())

    def _whole_lines(self, start=0):
        path = self.stdout_path if self.audit_path.name == "-" else self.audit_path
        if not path.is_file():  # /dev/full never ends
            return b""
        with open(path, "rb") as audit:
            audit.seek(start)
            raw = audit.read()
        return raw[:raw.rfind(b"\n") + 1]

    def reload(self):
        """SIGHUP; returns its configuration-loaded or -rejected record."""
        def verdict(record):
            return record["event"]["action"] in ("configuration-loaded", "configuration-rejected")
        before = len(self.matching(verdict))
        self.process.send_signal(signal.SIGHUP)
        return self.wait_record(verdict, count=before + 1)

    def terminate(self):
        """SIGTERM without waiting, for tests of the drain."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=STOP_SECONDS):
        """Waits until the process ends by itself; returns its exit code."""
        self.exit_code = self.process.wait(timeout)
        return self.exit_code

    def stop(self):
        """SIGTERM and the exit code; a second call returns the first's."""
        if self.exit_code is None:
            if self.process.poll() is None:
                self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        return self.exit_code

    def settle(self):
        """Waits until nothing more will be recorded."""
        self.stop()

    def kill(self):
        """Ends all its processes at once, as the end of the machine would."""
        self.has_processes(signal.SIGKILL)
        self.exit_code = self.process.wait()
        deadline = time.monotonic() + PATIENCE
        while self.has_processes() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def written(self):
        """Every record in the log, even if the test has moved or changed the file."""
        found = []
        path = self.stdout_path if self.audit_path.name == "-" else self.audit_path
        if path.is_file():
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [r for r in found if isinstance(r, dict) and "hash" in r.get("event", {})]

    def finish(self):
        """Teardown: it ended well, printed no error, left nothing running, and every record matches
        the schema."""
        code = self.stop()
        for record in self.written():
            if record["event"]["hash"] not in _validated:
                valid_record(record)
                _validated.add(record["event"]["hash"])
        leftover = self.has_processes(signal.SIGKILL)
        assert code == self.expected_exit, f"exit {code}\n{self.stderr}"
        assert not any(mark in self.stderr for mark in SANITIZER_MARKS), self.stderr
        assert not leftover, "a child process outlived the gate"

    def has_processes(self, number=0):
        """Whether any process of its group is there; sends them all a signal."""
        try:
            os.killpg(self.process.pid, number)
            return True
        except ProcessLookupError:
            return False

    def parts(self):
        return parts_of(self.pid)

    def clerk(self):
        """The process that writes the log."""
        return self.parts()["clerk"]

    def proxy(self):
        """The process that serves."""
        return self.parts()["proxy"]

    def alive(self):
        return self.process.poll() is None

    def rss_kib(self):
        """Of the process that serves."""
        for line in pathlib.Path(f"/proc/{self.proxy()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def fds(self):
        """How many descriptors the process that serves has open."""
        return len(os.listdir(f"/proc/{self.proxy()}/fd"))

    def unaccepted(self):
        """How many connections wait in the queues of its ports."""
        said = re.findall(r"listening on \S+:(\d+) ", self.stdout + self.stderr)
        waiting, ports = 0, {f"{int(port):04X}" for port in said}
        for family in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{self.pid}/net/{family}").read_text().splitlines()[1:]:
                _, local, _, state, queues, *_ = line.split()
                if state == "0A" and local.rsplit(":", 1)[1] in ports:
                    waiting += int(queues.split(":")[1], 16)
        return waiting


class Shared(Evidence):
    """One test's view of a shared gate: its records begin with the test.

    client-fallback-retry is left out, since earlier attempts of the same source are other tests'.
    A test of that needs its own gate.
    """

    def __init__(self, gate):
        self.gate = gate
        self.start = gate.recorded()
        # A record of earlier events may be written a moment later.
        now = time.time()
        self.since = (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
                      + f".{int(now * 1000) % 1000:03}Z")
        # Descriptors of earlier tests' connections do not count.
        gate.idle_fds = min(gate.idle_fds, gate.fds())

    def __getattr__(self, name):
        return getattr(self.gate, name)

    def records(self):
        return [record for record in self.gate.records(self.start)
                if record["event"]["action"] != "client-fallback-retry"
                and record["@timestamp"] >= self.since]

    def settle(self):
        """Waits until this test's connections have ended, their descriptors are closed and their
        records written: nothing more will be recorded."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.gate.alive(), self.gate.stderr
            running = len(self.matching(action="connection-opened")) - \
                len(self.matching(action="connection-closed"))
            if self.gate.unaccepted() == 0 and self.gate.fds() <= self.gate.idle_fds \
                    and running == 0:
                return
            assert time.monotonic() < deadline, (running, self.gate.fds(), self.gate.idle_fds)
            time.sleep(POLL_SECONDS)
