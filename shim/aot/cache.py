"""The node's cache of compiled modules, and the memo that finds one without reading the module.

Rules: deserialising an artefact is loading code, so every directory belongs to us alone and only
the loader writes. An artefact appears under its name at once and whole, or not at all.

Below the directory, one directory per compatibility key:
`DIGEST.module`, `DIGEST.component`, `DIGEST.service` are artefacts; their mtime is the time of the
last use;
`DIGEST.partial` is one being written, locked by its writer;
`memo/KEY` is a symbolic link to the artefact of a file that was hashed before.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.aot.directory import open_private
from shim.errdefs import UnavailableError
from shim.wasm.binary import Kind

PARTIAL = ".partial"
MEMO = "memo"
# a file can change without a new time stamp for as long as the clock that stamps it stands still;
# 2 s is the coarsest of all file systems
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled module; `digest` is the sha256 of the module in hex."""

    path: Path
    kind: Kind
    digest: str


class Cache:
    """Artefacts by the digest of their module; `max_bytes` is what all of them may take on disk."""

    def __init__(self, directory: Path, max_bytes: int, compatibility_key: str) -> None:
        """Make or check the directories; see `open_private` for what is refused."""
        self.directory = open_private(directory)
        self.max_bytes = max_bytes
        key = hashlib.sha256(compatibility_key.encode()).hexdigest()[:16]
        self._artefacts = open_private(self.directory / key)
        self._memo = open_private(self._artefacts / MEMO)

    def find(self, module_fd: int, identity: str) -> Artefact | None:
        """Look up the artefact of an open module by what is known of the file; reads no module.

        Args:
            module_fd: the module, open; its offset stays as it is.
            identity: where the file comes from: a text that is another one for another image.
        """
        memo = self._memo / _memo_key(identity, os.fstat(module_fd))
        try:
            name = os.readlink(memo)  # noqa: PTH115 - Path.readlink costs three times as much
            path = self._artefacts / name.removeprefix("../")
            os.utime(path)
        except FileNotFoundError:
            return None
        return Artefact(path, Kind(path.suffix[1:]), path.stem)

    def lookup(self, digest: str) -> Artefact | None:
        """Return the artefact of the module with this sha256 digest, if there is one."""
        for kind in (Kind.MODULE, Kind.COMPONENT, Kind.SERVICE):
            path = self._artefacts / f"{digest}.{kind}"
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
                return Artefact(path, kind, digest)
        return None

    def drop(self, artefact: Artefact) -> None:
        """Remove an artefact that cannot be loaded, so that the next loader compiles it anew."""
        artefact.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self, digest: str) -> Iterator["Writer"]:
        """Hold the lock of a digest, waiting for whoever holds it; drops what was not finished."""
        path = self._artefacts / f"{digest}{PARTIAL}"
        fd = lock_file(path, os.O_CREAT)
        writer = Writer(fd, path)
        try:
            yield writer
        finally:
            if not writer.finished:
                path.unlink(missing_ok=True)
            os.close(fd)

    def remember(
        self, identity: str, status: os.stat_result, hashed_ns: int, artefact: Artefact
    ) -> None:
        """Let `find` know the artefact of a file, unless the file could change unnoticed.

        Args:
            identity: as for `find`.
            status: of the file, the same before and after it was read.
            hashed_ns: the wall time at which reading began.
            artefact: of the bytes that were read.
        """
        if hashed_ns - status.st_ctime_ns < _RACY_NS:
            return
        if abs(hashed_ns - status.st_mtime_ns) < _RACY_NS:
            return
        fresh = self._memo / f"{os.getpid()}.{time.monotonic_ns()}{PARTIAL}"
        # a memo is only speed: on a full disk, or where an eviction beside us took it for debris,
        # the next start hashes the module once more
        with contextlib.suppress(OSError):
            fresh.symlink_to(f"../{artefact.path.name}")
            fresh.rename(self._memo / _memo_key(identity, status))


class Writer:
    """The half-written artefact of one digest; its file is the lock as well."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self.finished = False

    def finish(self, kind: Kind, data: bytes | bytearray) -> Artefact:
        """Write the artefact and give it its name.

        Raises:
            UnavailableError: the disk is full, or failed.
        """
        path = self._path.with_suffix(f".{kind}")
        try:
            os.ftruncate(self._fd, 0)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            # without it a power cut could leave the name with no data behind it
            os.fsync(self._fd)
            self._path.rename(path)
        except OSError as error:
            raise UnavailableError(
                f"cannot write the artefact {path}: {error.strerror};"
                " make room, or move [cache] directory"
            ) from error
        self.finished = True
        return Artefact(path, kind, path.stem)


def lock_file(path: Path, flags: int = 0, *, wait: bool = True) -> int:
    """Open a file and lock it, making sure that it still has its name.

    Raises:
        BlockingIOError: somebody holds the lock, and `wait` is false.
        FileNotFoundError: it does not exist, and `flags` do not say to create it.
    """
    operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            fcntl.flock(fd, operation)
            mine = os.fstat(fd)
            # whoever held the lock may have renamed or removed the file meanwhile
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(mine, path.stat()):
                    return fd
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


def _memo_key(identity: str, status: os.stat_result) -> str:
    facts = [identity, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
