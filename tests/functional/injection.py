"""System calls in another process, as whoever has taken it over could make them. ptrace(2): for root,
on x86-64."""

import ctypes
import os
import pathlib
import platform
import signal
import struct
import time

import pytest

from gate import PATIENCE

ATTACH, DETACH, CONT, NEXT_CALL, GETREGS, SETREGS = 16, 17, 7, 24, 12, 13
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
             "fs_base gs_base ds es fs gs").split()
ARGUMENTS = "rdi rsi rdx r10 r8 r9".split()
SYSCALL = b"\x0f\x05"
WALL = 0x40000000

needs_injection = pytest.mark.skipif(os.geteuid() != 0 or platform.machine() != "x86_64",
                                     reason="only root, and on x86-64")


def ptrace(request, pid, data=None):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def registers(pid):
    room = ctypes.create_string_buffer(8 * len(REGISTERS))
    ptrace(GETREGS, pid, ctypes.addressof(room))
    return dict(zip(REGISTERS, struct.unpack(f"{len(REGISTERS)}Q", room.raw)))


def set_registers(pid, values):
    room = ctypes.create_string_buffer(struct.pack(
        f"{len(REGISTERS)}Q", *(values[name] & (1 << 64) - 1 for name in REGISTERS)))
    ptrace(SETREGS, pid, ctypes.addressof(room))


def attach(pid):
    """Stops it in a call; returns its registers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        ptrace(ATTACH, pid)
        assert os.WIFSTOPPED(os.waitpid(pid, WALL)[1])
        found = registers(pid)
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(found["rip"] - len(SYSCALL))
            if memory.read(len(SYSCALL)) == SYSCALL:
                return found
        ptrace(DETACH, pid)  # it is at work
        assert time.monotonic() < deadline
        time.sleep(0.01)


def inject(pid, number, *arguments):
    """Makes the main thread make this call. Texts are given by their address. Returns its result, or
    the signal that it met; then the process goes on with that signal."""
    before = attach(pid)
    values = {**before, "rax": number, "orig_rax": -1, "rip": before["rip"] - len(SYSCALL)}
    at = before["rsp"] - 4096
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for name, argument in zip(ARGUMENTS, arguments):
            if isinstance(argument, bytes):
                memory.seek(at)
                memory.write(argument + b"\0")
                argument, at = at, at + len(argument) + 1
            values[name] = argument
    set_registers(pid, values)
    for _ in "begin", "end":
        ptrace(NEXT_CALL, pid)
        met = signal.Signals(os.WSTOPSIG(os.waitpid(pid, WALL)[1]))
        if met == signal.SIGTRAP and registers(pid)["rax"] == number:  # it was not made
            ptrace(CONT, pid)
            met = signal.Signals(os.WSTOPSIG(os.waitpid(pid, WALL)[1]))
        if met != signal.SIGTRAP:
            ptrace(DETACH, pid, met)
            return met
    result = registers(pid)["rax"]
    set_registers(pid, {**before, "orig_rax": -1, "rax": -4})  # EINTR: its loop goes on
    ptrace(DETACH, pid)
    return result - (1 << 64) if result >> 63 else result


def opens(pid, path, flags=os.O_RDONLY):
    """openat(); the descriptor is closed again. A path, or what inject() returns."""
    result = inject(pid, 257, -100, str(path).encode(), flags, 0o600)
    if isinstance(result, int) and not isinstance(result, signal.Signals) and result >= 0:
        target = os.readlink(f"/proc/{pid}/fd/{result}")
        assert inject(pid, 3, result) == 0
        return pathlib.Path(target)
    return result
