"""A gate whose system calls strace writes to a file."""

import time

from gate import sanitized


def traced(log, calls, *more):
    """argv that starts a gate whose CALLS strace writes to the file; the pid is the gate's."""
    return {"wrapper": ["strace", "-DDD", "-f", "-q", *more, "-o", log, "-e", "signal=none",
                        "-e", f"trace={calls}"],
            # The leak check traces the process itself.
            "env": {"ASAN_OPTIONS": "detect_leaks=0"} if sanitized() else {}}


def settled(log):
    """The tracer writes its last lines after the gate has ended."""
    deadline = time.monotonic() + 20
    while "+++ exited" not in log.read_text().splitlines()[-1]:
        assert time.monotonic() < deadline, log.read_text()[-500:]
        time.sleep(0.05)
