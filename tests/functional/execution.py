"""suitegate exec as the tests run it, and the check that nothing remains after a run.

Every run has a TMPDIR of its own, which is empty afterwards, and a mark in its environment that
identifies each of its processes in /proc: none remains.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types
import uuid

import pytest

import jvm
import upstreams
from gate import BINARY, PATIENCE, SANITIZER_MARKS
from names import with_hosts
from pki import LOOPBACK

SITE = "site.example.test"  # only the /etc/hosts of these tests has this name
HOSTS = ("localhost", "127.0.0.1", SITE)
BODY = b"the site's own words\n"
OLD = ("--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0")
KEPT = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
NO_CONNECTION = "COMMAND made no connection through the proxy"


class Done:
    """The result of a run. report is the text's lines, or the --json report."""

    def __init__(self, status, stdout, stderr):
        self.status, self.stdout, self.stderr = status, stdout, stderr

    @property
    def text(self):
        return self.stderr.decode(errors="replace")

    @property
    def lines(self):
        """The report: a line of totals, then one line per endpoint."""
        at = self.text.index("suitegate exec: ")
        return self.text[at:].splitlines()

    @property
    def json(self):
        """The report of --json, the last line on standard error."""
        return json.loads(self.text.splitlines()[-1])

    def endpoints(self):
        return {e["endpoint"]: e for e in self.json["endpoints"]}

    def codes(self):
        """{endpoint: {code: count}} of --json."""
        return {name: {r["code"]: r["count"] for r in e["refusals"]}
                for name, e in self.endpoints().items()}


class Execution:
    """execution(COMMAND, ARG...) -> Done; start() for tests that act while it runs."""

    def __init__(self, folder, trust):
        self.folder, self.trust = folder, trust
        self.tmp, self.home = folder / "tmp", folder / "home"
        self.tmp.mkdir()
        self.home.mkdir()
        self.mark = f"suitegate-test-{uuid.uuid4().hex}"
        self.begun = []

    def environment(self, more=None):
        """Without the machine's variables that would change a test; None removes a variable."""
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env.update(HOME=str(self.home), TMPDIR=str(self.tmp), LC_ALL="C.UTF-8",
                   SUITEGATE_MARK=self.mark)
        env.update(more or {})
        return {name: str(value) for name, value in env.items() if value is not None}

    def argv(self, *command, options=(), trust=True, wrapper=()):
        ca = ["--ca", self.trust] if trust else []
        return [*map(str, wrapper), BINARY, "exec", *map(str, (*ca, *options)), "--",
                *map(str, command)]

    def start(self, *command, options=(), trust=True, wrapper=(), env=None, **popen):
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                 "stderr": subprocess.PIPE, "start_new_session": True, **popen}
        process = subprocess.Popen(self.argv(*command, options=options, trust=trust,
                                             wrapper=wrapper),
                                   env=self.environment(env), **popen)
        self.begun.append(process)
        return process

    def __call__(self, *command, stdin=None, timeout=50, **options):
        """stdin: bytes to send, or a value for subprocess.Popen."""
        sent = stdin if isinstance(stdin, bytes) else None
        if stdin is not None:
            options["stdin"] = stdin if sent is None else subprocess.PIPE
        return self.end(self.start(*command, **options), sent, timeout)

    @staticmethod
    def end(process, stdin=None, timeout=50):
        out, err = process.communicate(stdin, timeout)
        done = Done(process.returncode, out or b"", err or b"")
        assert not any(mark in done.text for mark in SANITIZER_MARKS), done.text
        return done

    def python(self, code, *arguments, **options):
        """A COMMAND in Python."""
        return self(sys.executable, "-B", "-c", code, *arguments, **options)

    # ---- what remains ------------------------------------------------------------------

    def processes(self):
        """{pid: command line} of all processes with the mark."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
        return found

    def folders(self):
        return sorted(self.tmp.iterdir())

    def proxy(self, process):
        """The pid of the private proxy of a running run."""
        for pid in self.processes():
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            exe = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            if int(stat[1]) == process.pid and exe == os.path.basename(BINARY):
                return pid
        raise AssertionError(f"no private proxy in {self.processes()}")

    def finish(self):
        """Everything has ended, and nothing remains."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        wait_for(lambda: not self.processes(), lambda: f"still running: {self.processes()}",
                 clean_up=self.kill_all)
        wait_for(lambda: not self.folders(), lambda: f"left behind: {self.folders()}",
                 clean_up=self.remove_all)

    def kill_all(self):
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def remove_all(self):
        for path in self.folders():
            shutil.rmtree(path, ignore_errors=True)


def wait_for(check, what=lambda: "it", clean_up=None):
    deadline = time.monotonic() + PATIENCE
    while not (value := check()):
        if time.monotonic() > deadline:
            told = what()
            if clean_up:
                clean_up()
            raise AssertionError(told)
        time.sleep(0.02)
    return value


@pytest.fixture
def execution(tmp_path, pki):
    run = Execution(tmp_path, pki.trust)
    yield run
    run.finish()


@pytest.fixture(scope="session")
def site(pki, tmp_path_factory):
    """A compliant nginx: BODY at /hello.txt, a git repository at /repo.git. .urls are its three;
    .hosts is the argv of a world that knows the third one's name."""
    folder = tmp_path_factory.mktemp("site")
    files = folder / "files"
    files.mkdir()
    (files / "hello.txt").write_bytes(BODY)
    git(folder, "init", "-q", "-b", "main", "work")
    git(folder / "work", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
        "--allow-empty", "-m", "first")
    git(folder, "clone", "-q", "--bare", "work", files / "repo.git")
    git(files / "repo.git", "update-server-info")
    names = (*LOOPBACK, "DNS:*.example.test")
    leaves = pki.leaf("origin-ec", san=names), pki.leaf("origin-rsa", san=names, key="rsa2048")
    with upstreams.nginx(folder, *leaves, protocols="TLSv1.2 TLSv1.3", files=files) as server:
        yield types.SimpleNamespace(
            port=server.port, urls=[f"https://{host}:{server.port}/" for host in HOSTS],
            names=[f"{host}:{server.port}" for host in HOSTS],
            url=f"https://localhost:{server.port}/hello.txt",
            hosts=with_hosts(folder, [("127.0.0.1", "localhost"), ("127.0.0.1", SITE)]))


def git(folder, *arguments):
    subprocess.run(["git", *map(str, arguments)], cwd=folder, check=True, capture_output=True,
                   env={"PATH": os.environ["PATH"], "HOME": str(folder)})


@pytest.fixture(scope="session")
def bad(pki, tmp_path_factory):
    """Servers that the proxy refuses: .untrusted, .expired and .old are URLs."""
    folder = tmp_path_factory.mktemp("bad")
    old = ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    with upstreams.s_server(folder, pki.unknown_ca) as untrusted, \
            upstreams.s_server(folder, pki.expired) as expired, \
            upstreams.s_server(folder, pki.rsa, *old) as weak:
        yield types.SimpleNamespace(**{
            name: f"https://localhost:{server.port}/" for name, server in
            (("untrusted", untrusted), ("expired", expired), ("old", weak))})


def authority(url):
    return url.split("/")[2]


@pytest.fixture(scope="session")
def classes():
    """The folder of Fetch, a client in Java."""
    return jvm.classes()


def curl(*arguments):
    return ("curl", "-sS", "--max-time", "30", *arguments)
