"""The cost of a process and all its children: processor time and memory, from /proc."""

import contextlib
import os
import pathlib
import re


def tree(pid):
    """pid and its descendants."""
    found = [pid]
    for task in _tasks(pid):
        try:
            children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def cpu_seconds(pid):
    """Time on a processor so far, all threads, to the nanosecond (schedstat)."""
    total = 0
    for process in tree(pid):
        for task in _tasks(process):
            try:
                text = pathlib.Path(f"/proc/{process}/task/{task}/schedstat").read_text()
            except OSError:
                continue
            total += int(text.split()[0])
    return total / 1e9


def memory_kib(pid):
    """Proportional set size."""
    total = 0
    for process in tree(pid):
        try:
            text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return total


@contextlib.contextmanager
def budget(pid, cores):
    """Limits the process to this share of a core, if the system's cgroups are writable; returns
    whether they are."""
    first, second = pathlib.Path("/sys/fs/cgroup/cpu"), pathlib.Path("/sys/fs/cgroup")
    period = 20_000
    group = (first if first.is_dir() else second) / f"suitegate-bench-{pid}"
    try:
        group.mkdir()
        if group.parent == first:
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(str(int(period * cores)))
        else:
            (group / "cpu.max").write_text(f"{int(period * cores)} {period}")
        (group / "cgroup.procs").write_text(str(pid))
        held = True
    except OSError:
        held = False
    try:
        yield held
    finally:
        if held:
            (group.parent / "cgroup.procs").write_text(str(pid))
        if group.is_dir():
            group.rmdir()


def pin(pid, cores):
    for process in tree(pid):
        for task in _tasks(process):
            os.sched_setaffinity(int(task), cores)
