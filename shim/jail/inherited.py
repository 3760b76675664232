"""What a forked instance must not keep of the process that forked it."""

import os
from collections.abc import Iterable

from shim.kernel.libc import LINUX, Kernel

_LAST_FD = 2**32 - 1


def drop_inherited(keep_fds: Iterable[int], kernel: Kernel = LINUX) -> None:
    """Close every file descriptor that is not in `keep_fds`, and empty the environment."""
    first = 0
    for fd in sorted(set(keep_fds)):
        if fd > first:
            kernel.close_range(first, fd - 1)
        first = fd + 1
    kernel.close_range(first, _LAST_FD)
    os.environ.clear()
