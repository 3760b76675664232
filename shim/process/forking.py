"""The one fork of this project, and its one rule: whoever forks has one thread.

A fork copies only the thread that calls it; a lock that another thread held stays locked in the
child for ever (fork(2)). wasmtime's and gRPC's threads make that a certainty, so they live in
leaves only.
"""

import os

from shim.errdefs import InternalError


def fork() -> int:
    """os.fork, refused where this process has a second thread.

    Raises:
        InternalError: there is a second thread.
        OSError: the kernel refuses another process.
    """
    threads = os.listdir("/proc/self/task")  # noqa: PTH208 (the start path)
    if len(threads) != 1:
        raise InternalError(f"cannot fork: this process has {len(threads)} threads")
    return os.fork()  # noqa: TID251 (here it is)
