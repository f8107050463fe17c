"""The audit log and its disk: one that syncs, is slow or fails, a folder that disappears, a stream
without a reader."""

import collections
import concurrent.futures
import json
import shutil
import socket
import subprocess
import time

import pytest

import wire
from forgery import make_key
from gate import BINARY, as_whoever, landlock, sanitized
from logs import check_chain, hash_of, intact, is_checkpoint, lines_of, rotate, written_key
from refusals import Load, refuse, refuse_many, sources
from scene import at, scene, wait_until  # noqa: F401 (fixtures)
from upstreams import TlsPeer, echo


# ---- sync ------------------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int exists(const char *ending)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s.%s", getenv("SYNC_SHIM"), ending);
    return stat(path, &st) == 0; /* a call that the clerk may make */
}

/* Notes how many bytes of the log are on the disk, once they are. */
int fdatasync(int fd)
{
    char link[64], name[4096] = "", line[64];
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, sizeof name - 1) < 0 || fstat(fd, &st) < 0) return -1;
    if (strlen(name) < 6 || strcmp(name + strlen(name) - 6, ".jsonl") != 0)
        return (int)syscall(SYS_fdatasync, fd);
    while (exists("slow")) usleep(10000);
    if (exists("fail")) {
        errno = EIO;
        return -1;
    }
    if (syscall(SYS_fdatasync, fd) < 0) return -1;
    int out = open(getenv("SYNC_SHIM"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int n = snprintf(line, sizeof line, "%lld\n", (long long)st.st_size);
    if (write(out, line, (size_t)n) != n) abort();
    close(out);
    return 0;
}
"""


class Shim:
    """fdatasync as the test controls it; the files fail and slow are its switches."""

    def __init__(self, library, path):
        self.env = {"LD_PRELOAD": str(library), "SYNC_SHIM": str(path)}
        self._path = path
        self.fail, self.slow = path.with_suffix(".fail"), path.with_suffix(".slow")

    def sizes(self):
        """How much of the log each call has made durable."""
        return [int(n) for n in self._path.read_text().split()] if self._path.exists() else []


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory):
    if sanitized():
        pytest.skip("a sanitizer wants to be loaded first")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "shim.so", folder / "shim.c"],
                   check=True)
    return folder / "shim.so"


@pytest.fixture
def shim(shim_library, tmp_path):
    return Shim(shim_library, tmp_path / "synced")


@pytest.fixture
def synced(make_log, shim):
    """synced(how) -> a gate with sync = how over that disk."""
    return lambda how: make_log(audit={"sync": how}, options={"env": shim.env})


def size_of(gate):
    return gate.audit_path.stat().st_size


def test_sync_record_answers_once_the_record_is_on_the_disk(synced, shim):
    gate = synced("record")
    for _ in range(20):
        assert refuse(gate.port)[0] == 403
        assert shim.sizes()[-1] == size_of(gate)
    assert len(shim.sizes()) >= 20


def test_sync_interval_syncs_once_a_second_and_not_when_idle(synced, shim):
    begun = time.monotonic()
    gate = synced("interval")
    with Load(gate.port, clients=1, pause=0.01) as load:
        wait_until(lambda: shim.sizes() and size_of(gate) > shim.sizes()[0])
        wait_until(lambda: len(load.answered) > 30, what="the load")
    wait_until(lambda: shim.sizes()[-1] == size_of(gate),
               what="what came behind the first")
    calls = len(shim.sizes())
    assert 2 <= calls <= time.monotonic() - begun
    time.sleep(1.3)
    assert len(shim.sizes()) == calls, "synced though there was nothing new"
    refuse_many(gate.port, 1)
    gate.stop()
    assert shim.sizes()[-1] == size_of(gate), "the end is not on the disk"


def test_sync_none_leaves_it_to_the_system(synced, shim):
    gate = synced("none")
    refuse_many(gate.port, 20)
    rotate(gate)
    gate.stop()
    assert shim.sizes() == []


@pytest.mark.parametrize("how", ["record", "interval"])
def test_a_disk_that_fails_is_a_log_that_cannot_be_written(synced, shim, how):
    gate = synced(how)
    asked = [refuse(gate.port)]
    shim.fail.touch()

    def status():
        asked.append(refuse(gate.port))
        return asked[-1][0]

    wait_until(lambda: status() == 503, what="the first refusal for the log")
    sock, answer = wire.connect(gate.port, "127.0.0.1:1")
    asked.append((answer.status, None))
    assert answer.status == 503 and "audit_unavailable" in answer.body
    assert [status() for _ in range(5)] == [503] * 5
    shim.fail.unlink()
    wait_until(lambda: status() == 403, what="recovery")
    gate.stop()
    assert "Input/output error" in gate.stderr
    have = sources(lines_of(gate.audit_path))
    assert have.total() == len(asked), "a record is lost, or there twice"
    assert not collections.Counter(port for _, port in asked if port) - have
    check_chain(gate.audit_path)
    intact(gate.audit_path)


@pytest.mark.parametrize("keep", [True, False], ids=["rotated", "deleted"])
def test_nothing_is_lost_when_a_file_that_cannot_be_synced_goes_away(synced, shim, keep):
    """No client was answered for records that were written but never durable."""
    gate = synced("record")
    refuse_many(gate.port, 2)
    shim.fail.touch()
    asked = [refuse(gate.port) for _ in range(4)]
    assert [status for status, _ in asked] == [503] * 4
    files = [gate.audit_path]
    if keep:
        files.insert(0, rotate(gate))
    else:
        gate.audit_path.unlink()
    shim.fail.unlink()
    wait_until(lambda: refuse(gate.port)[0] == 403, what="recovery")
    gate.stop()
    have = sources(lines_of(*files))
    assert all(have[source] == 1 for _, source in asked)
    assert intact(*files)["first_record"] == (1 if keep else 5)


def test_a_slow_disk_holds_only_who_waits_for_it(scene, pki, shim):
    with TlsPeer(wire.server_context(pki.ec), echo) as upstream:
        s = scene(upstream.port, audit={"sync": "record"}, options={"env": shim.env})
        with s.client("forward") as tls:
            s.gate.wait_record(action="connection-opened")
            shim.slow.touch()
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(refuse, s.forward) for _ in range(4)]
                try:
                    s.gate.wait_record(code="client_plaintext_http")
                    for _ in range(300):
                        tls.send(b"still here?")
                        assert tls.recv_exactly(11) == b"still here?"
                        wire.dial(s.forward).close()
                    sock, answer = wire.connect(s.forward, f"127.0.0.1:{s.upstream}")
                    assert answer.status == 200
                    assert not any(one.done() for one in asked)
                finally:
                    shim.slow.unlink()
                assert [one.result()[0] for one in asked] == [403] * 4
            assert sources(lines_of(s.gate.audit_path)).total() == 4
            sock.close()
            tls.close_notify()
        s.gate.wait_record(action="connection-closed")
        s.gate.stop()
    check_chain(s.gate.audit_path)
    intact(s.gate.audit_path)


# ---- a folder that is deleted while the gate runs ----------------------------------------------

def key_of(gate):
    return at([r for r in gate.all_records() if is_checkpoint(r)][-1], "suitegate.log.key_id")


@pytest.fixture
def in_folder(make_log, tmp_path):
    """A gate whose log, state and key have a folder of their own, which is also returned."""
    folder = tmp_path / "log"
    folder.mkdir()
    return make_log(audit={"file": folder / "audit.jsonl"}), folder


def test_a_deleted_folder_gets_the_same_key_and_state_again(in_folder, make_log, tmp_path):
    gate, folder = in_folder
    key, noted = key_of(gate), written_key(gate)
    refuse_many(gate.port, 3)
    shutil.rmtree(folder)
    wait_until(lambda: refuse(gate.port)[0] == 503, what="a log that cannot be written")
    folder.mkdir()
    wait_until(lambda: refuse(gate.port)[0] == 403, what="a log that can be written again")
    assert key_of(gate) == key
    assert (folder / "audit.key").stat().st_mode & 0o777 == 0o600
    gate.stop()
    last = lines_of(gate.audit_path)[-1]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(last)
    report = intact("--key", noted, gate.audit_path)
    assert report["last_record"] == state["sequence"]
    gate = make_log(audit={"file": folder / "audit.jsonl"})
    refuse_many(gate.port, 3)
    gate.stop()
    assert key_of(gate) == key
    assert intact("--key", noted, gate.audit_path)["notes"] == report["notes"]


def test_a_folder_that_was_moved_away_gets_the_same_key_and_state_again(in_folder):
    gate, folder = in_folder
    noted = written_key(gate)
    refuse_many(gate.port, 3)
    moved = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    assert gate.reload()["event"]["action"] == "configuration-loaded"
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == (moved / "audit.key").read_bytes()
    assert intact("--key", noted, moved / "audit.jsonl", gate.audit_path)["complete"]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(lines_of(gate.audit_path)[-1])


@pytest.mark.parametrize("how", ["stop", "wait"])
def test_a_folder_that_was_moved_away_is_followed_without_a_reload(in_folder, make_log, how):
    gate, folder = in_folder
    noted = written_key(gate)
    refuse_many(gate.port, 3)
    moved = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    refuse_many(gate.port, 3)
    if how == "wait" and landlock():  # else it is followed at the end, as before
        wait_until(lambda: (folder / "audit.jsonl").exists(), what="the clerk of the new folder")
    assert gate.stop() == 0
    gate = make_log(audit={"file": folder / "audit.jsonl"})
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == (moved / "audit.key").read_bytes()
    assert intact("--key", noted, moved / "audit.jsonl", gate.audit_path)["complete"]


def test_a_deleted_key_and_state_are_written_anew_at_the_next_checkpoint(in_folder):
    gate, folder = in_folder
    kept = (folder / "audit.key").read_bytes()
    (folder / "audit.key").unlink()
    (folder / "audit.state").unlink()
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == kept
    assert intact(gate.audit_path)["complete"]
    state = json.loads((folder / "audit.state").read_text())
    assert state["hash"].encode() == hash_of(lines_of(gate.audit_path)[-1])


def test_a_key_that_was_put_there_meanwhile_stays(in_folder, tmp_path):
    gate, folder = in_folder
    other, _ = make_key(tmp_path)
    shutil.copy(other, folder / "audit.key")
    refuse_many(gate.port, 3)
    gate.stop()
    assert (folder / "audit.key").read_bytes() == other.read_bytes()


# ---- a stream that nobody reads -------------------------------------------------------------

def test_standard_output_that_is_a_socket_holds_nobody(start_forward, tmp_path):
    """As under systemd: without a reader, clients get an error and SIGTERM still works."""
    ours, theirs = socket.socketpair()
    gates = []

    def make(config, **options):
        gates.append(subprocess.Popen([BINARY, "run", "-c", tmp_path / "sg.ini"], stdout=theirs,
                                      stderr=subprocess.DEVNULL))
        return gates[0]

    def start(config, **options):
        (tmp_path / "sg.ini").write_text(as_whoever(config))
        return make(config)

    gate = start_forward(start, audit={"file": "-"}, proxy={"drain_timeout": "300ms"})
    try:
        wait_until(lambda: refuse(gate.port)[0] == 403, what="the start")
        wait_until(lambda: refuse(gate.port)[0] == 503, seconds=30, what="a full socket")
        gate.terminate()
        assert gate.wait(15) == 2
    finally:
        gate.kill()
        gate.wait()
        ours.close()
        theirs.close()
