"""Java, for the clients and servers in clients/: compiled once for all test files, and started with what
costs least."""

import fcntl
import functools
import os
import pathlib
import subprocess
import tempfile

CLIENTS = pathlib.Path(__file__).parent / "clients"
# A short run needs no second compiler and no thread to collect garbage.
SHORT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


@functools.cache
def classes():
    """The folder of the compiled classes. .make/functional.py names one that all its test files share."""
    shared = os.environ.get("SUITEGATE_TEST_SHARED")
    folder = pathlib.Path(shared or tempfile.mkdtemp()) / "classes"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "Get.class").exists():
            done = subprocess.run(["javac", "-proc:none", "-d", folder, *CLIENTS.glob("*.java")],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return folder


def argv(name, *arguments, options=()):
    """The command line that runs one of the classes."""
    return ["java", *SHORT, *options, "-cp", classes(), name, *arguments]
