"""A gate that may be upgraded: its first process changes."""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from gate import BINARY, PATIENCE, Gate
from scene import wait_until

PR_SET_CHILD_SUBREAPER = 36
UPGRADED = re.compile(r"suitegate: upgraded: Process (\d+), version (\S+), serves now\.\n")


def is_running(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return " Z" not in re.search(r"State:\t(.*)", pathlib.Path(
            f"/proc/{pid}/status").read_text())[0].replace("\t", " ")
    return False


class Upgradable(Gate):
    """With a file of its own as its program. pid: of the newest first process; those whose parents
    have ended are children of this test."""

    started = []  # by this test

    def __init__(self, folder, config, **options):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.program = folder / "suitegate"
        if not self.program.exists():
            shutil.copy(BINARY, self.program)
        self.former = []
        super().__init__(folder, config, binary=str(self.program), **options)
        self.started.append(self)

    def ask(self):
        return subprocess.run([BINARY, "upgrade", "-c", str(self.config_path)], check=False,
                              capture_output=True, text=True, timeout=PATIENCE * 2)

    def note(self, pid):
        self.former.append(self.pid)
        self.pid = pid

    def upgrade(self):
        """Returns the version of what serves now."""
        result = self.ask()
        assert result.returncode == 0, (result, self.stderr)
        pid, version = UPGRADED.fullmatch(result.stdout).groups()
        self.note(int(pid))
        return version

    def alive(self):
        return is_running(self.pid)

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout=PATIENCE):
        """Of the newest: its exit status, once its parent is this test."""
        if not self.former:
            return super().wait(timeout)
        deadline = time.monotonic() + timeout
        while is_running(self.pid):
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("suitegate", timeout)
            time.sleep(0.01)
        with contextlib.suppress(ChildProcessError):
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code

    def stop(self):
        if not self.former:
            super().stop()
        elif self.exit_code is None:
            if self.alive():
                self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()
        wait_until(self.has_ended)
        return self.exit_code

    def has_ended(self):
        """All of them; those whose parents have ended are waited for here."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return not any(is_running(pid) for pid in self.former) and not self.has_processes()
