"""A clock that a test sets while the gate runs. The clock fixture is imported by the test modules
that use it."""

import subprocess

import pytest

from gate import sanitized

SHIM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The real time, and what a file says to add. */
time_t time(time_t *out)
{
    struct timespec now;
    long offset = 0;
    FILE *f = fopen(getenv("CLOCK_SHIM"), "re");
    if (f && fscanf(f, "%ld", &offset) != 1) offset = 0;
    if (f) fclose(f);
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec + offset;
    return now.tv_sec + offset;
}
"""


@pytest.fixture
def clock(tmp_path):
    """(environment, set(seconds to add))"""
    if sanitized():
        pytest.skip("a sanitizer wants to be loaded first")
    (tmp_path / "clock.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "clock.so",
                    tmp_path / "clock.c"], check=True)
    env = {"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_SHIM": str(tmp_path / "clock")}
    return env, lambda seconds: (tmp_path / "clock").write_text(f"{seconds}\n")
