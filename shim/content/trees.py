"""The files that artifacts bring along, unpacked once per node: `layers/KEY` below the cache.

Rules: a tree is there whole or not at all, and never changes; loaders alone make them. Whoever has
one mounted holds a shared lock on its directory (flock(2)), so that nobody takes it away beneath.
"""

import fcntl
import os
from pathlib import Path

from shim.errdefs import UnavailableError
from shim.oci.artifact import Contents
from shim.unpack.tree import OpenBlob, unpack

LAYERS = "layers"


class Trees:
    """Trees below a cache's directory, which is private to us."""

    def __init__(self, cache: Path) -> None:
        self._directory = cache / LAYERS

    def path(self, contents: Contents) -> Path:
        """Where the tree of these files is, or would be."""
        return self._directory / contents.key

    def has(self, contents: Contents) -> bool:
        """Whether nothing has to be unpacked; counts as a use."""
        if contents.is_empty:
            return True
        try:
            os.utime(self.path(contents))
        except FileNotFoundError:
            return False
        return True

    def make(self, contents: Contents, open_blob: OpenBlob) -> None:
        """Unpack what is not there yet.

        Raises:
            ShimError: a blob cannot be had, or is hostile; see `unpack`.
        """
        if self.has(contents):
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        unpack(contents, open_blob, self.path(contents))

    def hold(self, contents: Contents) -> int:
        """A descriptor of the tree, which keeps it from being evicted until it is closed.

        Raises:
            UnavailableError: it has just been evicted.
        """
        path = self.path(contents)
        fd = -1
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except (BlockingIOError, FileNotFoundError):
            # Whoever evicts it holds the lock, or has been quicker.
            pass
        except BaseException:
            os.close(fd)
            raise
        if fd >= 0:
            os.close(fd)
        raise UnavailableError(
            f"the files of the artifact, {path}, have just been evicted; a retry unpacks them again"
        )
