"""Unpacks an artifact's files into a directory, whoever packed them and whatever they wish us.

Rules: nothing is written outside of the directory or through a symlink of the image; what is read
is counted, not what a header says; blobs are verified, and only what is whole and verified gets
its final name.
"""

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shim.errdefs import InternalError, InvalidArgumentError, ResourceExhaustedError
from shim.oci.artifact import Contents, File
from shim.oci.descriptors import Descriptor
from shim.unpack.place import Place
from shim.unpack.streams import CHUNK_BYTES, Budget, Readable, VerifiedBlob, decompressed
from shim.unpack.tar import TarReader, Type

TEMPORARY_PREFIX = ".unpacking-"
"""Directories of this name beside a destination are what an interruption left: remove them."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

OpenBlob = Callable[[Descriptor], BinaryIO]
"""Opens a blob; only `read(n)` and `close()` are used, and the bytes need not be verified."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the files of one artifact may take when they are unpacked."""

    max_bytes: int = 4 << 30
    max_entries: int = 200_000


def unpack(
    contents: Contents, open_blob: OpenBlob, destination: Path, limits: Limits = Limits()
) -> None:
    """Make the directory `destination` with these files; there is nothing if it fails.

    Its parent must exist and be root's. A directory that is there already, with something in it,
    is left as it is.

    Raises:
        InvalidArgumentError: a blob is not what its digest says, malformed, or hostile.
        ResourceExhaustedError: a limit is reached, or the disk is full.
        InternalError: the file system refuses something else.
    """
    try:
        temporary = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=destination.parent)
        try:
            _fill(
                contents, open_blob, Path(temporary), Budget(limits.max_bytes, limits.max_entries)
            )
            _name(temporary, destination)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceExhaustedError(
                f"no space is left for the image's files at {destination.parent}"
            ) from error
        raise InternalError(f"cannot unpack the image's files: {error}") from error


def _name(temporary: str, destination: Path) -> None:
    try:
        Path(temporary).rename(destination)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _fill(contents: Contents, open_blob: OpenBlob, directory: Path, budget: Budget) -> None:
    root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchmod(root_fd, 0o755)
        place = Place(root_fd)
        for layer in contents.layers:
            place.begin_layer()
            _with_blob(layer, open_blob, lambda blob: _lay(blob, place, budget))
        in_archives = []
        for file in contents.files:
            budget.take_entry()
            if file.content is not None:
                place.add_file(file.path, _counted(io.BytesIO(file.content), budget))
            elif file.blob is not None:
                _with_blob(file.blob, open_blob, _file_writer(place, file, budget))
            else:
                in_archives.append(file)
        _pick(in_archives, contents.archives, open_blob, place, budget)
    finally:
        os.close(root_fd)


def _with_blob(
    descriptor: Descriptor, open_blob: OpenBlob, use: Callable[[VerifiedBlob], None]
) -> None:
    stream = open_blob(descriptor)
    try:
        blob = VerifiedBlob(descriptor, stream)
        use(blob)
        blob.finish()
    finally:
        stream.close()


def _lay(blob: Readable, place: Place, budget: Budget) -> None:
    tar = TarReader(decompressed(blob, budget), budget)
    for member in tar:
        place.add(member, tar.read)


def _file_writer(place: Place, file: File, budget: Budget) -> Callable[[VerifiedBlob], None]:
    return lambda blob: place.add_file(file.path, _counted(blob, budget))


def _counted(source: Readable, budget: Budget) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        data = source.read(size)
        budget.take_bytes(len(data))
        return data

    return read


def _pick(
    files: Iterable[File],
    archives: Iterable[Descriptor],
    open_blob: OpenBlob,
    place: Place,
    budget: Budget,
) -> None:
    """Take files out of archives by their digests, as Spin's own puller does."""
    wanted: dict[str, list[str]] = {}
    for file in files:
        wanted.setdefault(file.digest, []).append(file.path)
    for archive in archives:
        if wanted:
            _with_blob(archive, open_blob, lambda blob: _pick_from(blob, wanted, place, budget))
    if wanted:
        digest, paths = next(iter(wanted.items()))
        raise InvalidArgumentError(
            f"file {paths[0][:200]!r} with the digest {digest} is in none of the image's archives"
        )


def _pick_from(blob: Readable, wanted: dict[str, list[str]], place: Place, budget: Budget) -> None:
    tar = TarReader(decompressed(blob, budget), budget)
    for member in tar:
        if member.type is not Type.FILE:
            continue
        with tempfile.TemporaryFile() as copy:
            digest = hashlib.sha256()
            while data := tar.read(CHUNK_BYTES):
                digest.update(data)
                copy.write(data)
            for path in wanted.pop(f"sha256:{digest.hexdigest()}", []):
                copy.seek(0)
                place.add_file(path, _counted(copy, budget))
