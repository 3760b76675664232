"""A blob that is being written: hashed on the way, named by its digest when it is whole.

Rules: what is not finished leaves no file. The name comes last, after the bytes are on the disk.
"""

import errno
import hashlib
import os
import tempfile
from pathlib import Path

from shim.errdefs import InvalidArgumentError, ResourceExhaustedError, UnavailableError


class BlobWriter:
    """Writes one blob to a file in `ingest`, which `finish` moves to `blobs`."""

    def __init__(self, ingest: Path, blobs: Path) -> None:
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self.size = 0
        fd, name = tempfile.mkstemp(dir=ingest)
        self._path = Path(name)
        # Unbuffered: the pieces are large, and an error belongs to the write that met it.
        self._file = os.fdopen(fd, "wb", buffering=0)

    def write(self, data: bytes) -> int:
        """Append some bytes.

        Raises:
            ResourceExhaustedError: the disk is full.
            UnavailableError: it failed.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _failed(self._path, error) from error
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def finish(self, digest: str = "") -> str:
        """Give the blob its name.

        Args:
            digest: what it must be, where that is known (`sha256:...`).

        Returns:
            Its digest.

        Raises:
            InvalidArgumentError: its bytes have another digest.
            UnavailableError: the disk failed.
        """
        found = f"sha256:{self._hash.hexdigest()}"
        if digest and digest != found:
            raise InvalidArgumentError(f"blob {digest} has other bytes: theirs is {found}")
        try:
            os.fsync(self._file.fileno())
            self._path.rename(self._blobs / found.removeprefix("sha256:"))
        except OSError as error:
            raise _failed(self._path, error) from error
        return found

    def close(self) -> None:
        """Drop it, unless it was finished."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _failed(path: Path, error: OSError) -> ResourceExhaustedError | UnavailableError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceExhaustedError(f"no room for images in {path.parent.parent}: make some")
    return UnavailableError(f"cannot write {path}: {error.strerror}")
