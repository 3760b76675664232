"""An image as one file: the OCI image layout in a tar, as `ctr image import` and others read it.

Rules: the same image has the same bytes. What is read is not trusted: members are found by the
names that the layout gives them, and nothing is unpacked.
"""

import contextlib
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from shim.errdefs import InvalidArgumentError, NotFoundError, UnavailableError
from shim.images.documents import encode, index_entry, read_entries
from shim.images.reference import Reference
from shim.images.store import LAYOUT, Store
from shim.oci.descriptors import MAX_MANIFEST_BYTES, Descriptor, check_digest

_MAX_MEMBERS = 20_000


def write_archive(
    store: Store, reference: Reference, target: Descriptor, blobs: Iterable[Descriptor], path: Path
) -> None:
    """Write an image to a file, which appears whole.

    Args:
        store: where its blobs are.
        reference: its name, which it has after the import.
        target: its manifest.
        blobs: all that it needs, the manifest included.
        path: the file.

    Raises:
        UnavailableError: the file cannot be written.
    """
    index = {"schemaVersion": 2, "manifests": [index_entry(str(reference), target)]}
    documents = {"index.json": encode(index), "oci-layout": encode(LAYOUT)}
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
            for name, data in documents.items():
                archive.addfile(_member(name, len(data)), BytesIO(data))
            for digest, size in sorted({(blob.digest, blob.size) for blob in blobs}):
                with store.path(digest).open("rb") as blob:
                    archive.addfile(_member(f"blobs/{digest.replace(':', '/')}", size), blob)
        new.rename(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from error


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


class Archive:
    """An image layout to look into: a tar of one, or a directory."""

    def __init__(self, path: Path, members: dict[str, tarfile.TarInfo] | None, file: BinaryIO):
        self._path = path
        self._members = members
        self._file = file

    def images(self) -> dict[str, Descriptor]:
        """What it holds, by name."""
        return read_entries(self._read("index.json", MAX_MANIFEST_BYTES))

    def read(self, blob: Descriptor) -> bytes:
        """A blob, whole and verified.

        Raises:
            NotFoundError: it is not here.
            InvalidArgumentError: it has another size or digest.
        """
        data = self._read(f"blobs/{blob.digest.replace(':', '/')}", blob.size)
        check_digest(blob.digest, data)
        return data

    def open(self, blob: Descriptor) -> BinaryIO:
        """A blob, whole and verified, as a file.

        Raises:
            ShimError: as `read`.
        """
        return BytesIO(self.read(blob))

    def _read(self, name: str, max_bytes: int) -> bytes:
        data = self._start_of(name, max_bytes + 1)
        if len(data) > max_bytes:
            raise InvalidArgumentError(f"{name} in {self._path} has more than {max_bytes} bytes")
        return data

    def _start_of(self, name: str, max_bytes: int) -> bytes:
        missing = NotFoundError(f"{self._path} is no image layout, or not all of one: no {name}")
        if self._members is None:
            try:
                with (self._path / name).open("rb") as file:
                    return file.read(max_bytes)
            except OSError:
                raise missing from None
        member = self._members.get(name)
        if member is None or not member.isreg():
            raise missing
        self._file.seek(member.offset_data)
        return self._file.read(min(member.size, max_bytes))


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Look into a tar of an image layout, or a directory that is one.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if path.is_dir():
        yield Archive(path, None, BytesIO())
        return
    with path.open("rb") as file:
        members: dict[str, tarfile.TarInfo] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    members.setdefault(member.name.removeprefix("./"), member)
                    if len(members) > _MAX_MEMBERS:
                        raise InvalidArgumentError(f"{path} has more than {_MAX_MEMBERS} members")
        except (tarfile.TarError, ValueError) as error:
            raise InvalidArgumentError(f"{path} is no tar archive: {error}") from error
        yield Archive(path, members, file)
