"""Locks of the cache, and files written under them.

Rules: flock(2), which the kernel lets go of whatever becomes of the holder. A file whose name ends
with `PARTIAL` is locked by its writer for as long as it has that name: an unlocked one is debris.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

PARTIAL = ".partial"
# Only the foremost of those who wait looks this often.
_POLL_S = 0.02


def lock_file(
    path: Path, flags: int = os.O_RDWR, *, wait: bool = True, shared: bool = False
) -> int:
    """Open a file and lock it, making sure that it still has its name.

    Args:
        path: the file, or a directory.
        flags: for open(2).
        wait: for whoever holds the lock.
        shared: with others who want it shared.

    Raises:
        BlockingIOError: somebody holds the lock, and `wait` is false.
        FileNotFoundError: it does not exist, and `flags` do not say to create it.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, operation if wait else operation | fcntl.LOCK_NB)
            mine = os.fstat(fd)
            # whoever held the lock may have renamed or removed the file meanwhile
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(mine, path.lstat()):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that has its name only when it is on disk."""
    partial = Path(f"{path}{PARTIAL}")
    fd = lock_file(partial, os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(fd, 0)
        write_to_disk(fd, data)
        partial.rename(path)
    finally:
        os.close(fd)


def write_to_disk(fd: int, data: bytes | bytearray) -> None:
    """Write all of it, and return when a power cut cannot take it away."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.fsync(fd)


def remove_if_abandoned(partial: Path) -> None:
    """Remove a file that its writer died over."""
    try:
        fd = lock_file(partial, wait=False)
    except (BlockingIOError, FileNotFoundError):
        return
    partial.unlink(missing_ok=True)
    os.close(fd)


@contextlib.contextmanager
def slot(directory: Path, count: int) -> Iterator[None]:
    """Hold one of `count` slots of the node, waiting for one in turn."""
    turn = lock_file(directory / "turn", os.O_RDWR | os.O_CREAT)
    try:
        fd = _free_slot(directory, count)
    finally:
        os.close(turn)
    try:
        yield
    finally:
        os.close(fd)


def _free_slot(directory: Path, count: int) -> int:
    while True:
        for number in range(count):
            with contextlib.suppress(BlockingIOError):
                flags = os.O_RDWR | os.O_CREAT
                return lock_file(directory / str(number), flags, wait=False)
        time.sleep(_POLL_S)
