"""The documents of images that were read before: manifests, indexes and configs, by their digest.

With them, and the artefacts in the cache, a container whose image is a Wasm artifact starts without
a word to containerd but what its image is. Rules: a document is verified whenever it is read, so
that a torn file is a missing one; writing is the loader's alone; losing one costs time only.
"""

import contextlib
import hashlib
import os
from pathlib import Path

from shim.aot.locks import PARTIAL, lock_file
from shim.errdefs import InvalidArgumentError, UnavailableError
from shim.oci.descriptors import Descriptor, check_digest

_DIRECTORY = "documents"
_MAX_ENTRIES = 4096


class Documents:
    """Documents below a cache's directory, which is private to us."""

    def __init__(self, cache: Path) -> None:
        self._directory = cache / _DIRECTORY

    def read(self, descriptor: Descriptor) -> bytes:
        """A document.

        Raises:
            FileNotFoundError: it is not there, or not whole.
        """
        path = self._path(descriptor)
        data = path.read_bytes()
        try:
            check_digest(descriptor.digest, data)
        except InvalidArgumentError as error:
            raise FileNotFoundError(str(error)) from error
        return data

    def add(self, descriptor: Descriptor, data: bytes) -> None:
        """Keep a document that has been verified.

        Raises:
            UnavailableError: the disk is full, or failed.
        """
        path = self._path(descriptor)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            partial = Path(f"{path}{PARTIAL}")
            # Locked, so that no eviction beside us takes it for debris; not synced, see above.
            fd = lock_file(partial, os.O_RDWR | os.O_CREAT)
            try:
                partial.write_bytes(data)
                partial.rename(path)
            finally:
                os.close(fd)
        except OSError as error:
            raise UnavailableError(
                f"cannot write {path}: {error.strerror}; make room, or move [cache] directory"
            ) from error
        self._prune()

    def _path(self, descriptor: Descriptor) -> Path:
        # Not the digest itself: its text is the image's.
        return self._directory / hashlib.sha256(descriptor.digest.encode()).hexdigest()

    def _prune(self) -> None:
        with os.scandir(self._directory) as entries:
            names = list(entries)
        if len(names) <= _MAX_ENTRIES:
            return
        # Others may prune beside us.
        with contextlib.suppress(FileNotFoundError):
            names.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in names[: len(names) // 2]:
            Path(entry).unlink(missing_ok=True)
