"""Tars as tests want them, and the contents of an artifact that they make."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from shim.errdefs import NotFoundError
from shim.oci.artifact import Contents, File
from shim.oci.descriptors import Descriptor

Entry = tuple[str, bytes, str | bytes]
"""Name, type as tarfile writes it, and the data or the link's target."""


def file(name: str, data: bytes = b"data") -> Entry:
    return name, tarfile.REGTYPE, data


def directory(name: str) -> Entry:
    return name, tarfile.DIRTYPE, b""


def symlink(name: str, target: str) -> Entry:
    return name, tarfile.SYMTYPE, target


def hardlink(name: str, target: str) -> Entry:
    return name, tarfile.LNKTYPE, target


def tar(entries: Sequence[Entry], mode: int = 0o644, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, mode
            if isinstance(data, str):
                info.linkname = data
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class Store:
    """Blobs by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.open = 0

    def add(
        self, data: bytes, media_type: str = "application/vnd.oci.image.layer.v1.tar"
    ) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return Descriptor(media_type, digest, len(data))

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.digest not in self.blobs:
            raise NotFoundError(descriptor.digest)
        self.open += 1
        return _Blob(self, self.blobs[descriptor.digest])

    def layers(self, *layers: bytes) -> Contents:
        return Contents(layers=tuple(self.add(layer) for layer in layers))

    def files(self, files: Mapping[str, bytes], *archives: bytes) -> Contents:
        """Files by their digests alone, and archives that may hold them."""
        named = tuple(
            File(path, f"sha256:{hashlib.sha256(data).hexdigest()}") for path, data in files.items()
        )
        return Contents(files=named, archives=tuple(self.add(each) for each in archives))


class _Blob(io.BytesIO):
    def __init__(self, store: Store, data: bytes) -> None:
        super().__init__(data)
        self._store = store

    def close(self) -> None:
        self._store.open -= not self.closed
        super().close()
