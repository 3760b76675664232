"""System calls that Python has no name for, for code that no test runs without the kernel.

Rules: as in `shim.kernel.libc`: no policy, a failure is an `OSError` with its errno.
"""

import ctypes
import os
import platform

from shim.kernel import constants as c

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syncfs(fd: int) -> None:
    """Write what a file system has in memory to its disk (syncfs(2))."""
    _check(_libc.syncfs(fd), "syncfs")


def set_io_priority(priority: int) -> None:
    """Set the priority of this thread, and of those it starts (ioprio_set(2))."""
    number = ctypes.c_long(c.SYS_IOPRIO_SET[platform.machine()])
    _check(_libc.syscall(number, c.IOPRIO_WHO_PROCESS, 0, priority), "ioprio_set")


def _check(result: int, name: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
