"""Clocks that a test sets while the gate runs. The clock fixture is imported by the test modules that
use it."""

import os
import struct
import subprocess

import pytest

from gate import sanitized

SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A file's: to add to the time of day, and to the clock of timers. Opened at the start, as the
 * process may open none later. */
static volatile long *offsets;

__attribute__((constructor)) static void begin(void)
{
    int fd = open(getenv("CLOCK_SHIM"), O_RDONLY | O_CLOEXEC);
    offsets = mmap(NULL, 2 * sizeof *offsets, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || offsets == MAP_FAILED) abort();
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (offsets) now->tv_sec += offsets[id != CLOCK_REALTIME];
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def clock(tmp_path):
    """(environment, set(seconds to add to the time of day, to the clock of timers))"""
    if sanitized():
        pytest.skip("a sanitizer wants to be loaded first")
    (tmp_path / "clock.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "clock.so", tmp_path / "clock.c"],
                   check=True)
    env = {"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_SHIM": str(tmp_path / "clocks")}

    file = os.open(tmp_path / "clocks", os.O_WRONLY | os.O_CREAT, 0o644)

    def add(day, timers=0):
        os.pwrite(file, struct.pack("@ll", day, timers), 0)
    add(0)
    yield env, add
    os.close(file)
