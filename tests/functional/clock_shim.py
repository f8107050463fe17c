"""Clocks that a test sets while the gate runs. The clock fixture is imported by the test modules that
use it."""

import os
import subprocess

import pytest

from gate import sanitized

SHIM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What a file says to add to the time of day, and to the clock of timers. */
static void read_offsets(long out[2])
{
    FILE *f = fopen(getenv("CLOCK_SHIM"), "re");
    out[0] = out[1] = 0;
    if (f && fscanf(f, "%ld %ld", &out[0], &out[1]) != 2) out[0] = out[1] = 0;
    if (f) fclose(f);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    long offsets[2];
    int result = (int)syscall(SYS_clock_gettime, id, now);
    read_offsets(offsets);
    now->tv_sec += offsets[id != CLOCK_REALTIME];
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

    def add(day, timers=0):
        (tmp_path / "next").write_text(f"{day} {timers}\n")
        os.rename(tmp_path / "next", tmp_path / "clocks")
    return env, add
