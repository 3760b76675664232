"""Pull and push: between the image store and a registry.

Rules: a name in the store stands for an image that is all there, so it is given last; blobs that
are there are not fetched again, which is how a pull that was interrupted goes on. A registry may
lie about everything: what is fetched is bounded by what a verified document says, and that by
limits of our own.
"""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import RawIOBase
from typing import TYPE_CHECKING, Protocol

from shim.errdefs import NotFoundError, ResourceExhaustedError
from shim.images.closure import blobs_of, closure
from shim.images.reference import Reference
from shim.images.store import Store
from shim.oci.descriptors import Descriptor, Manifest, parse_index, parse_manifest
from shim.oci.indexes import find_manifest
from shim.oci.media_types import is_index

if TYPE_CHECKING:
    # requests is slow to import, and who has a Registry has it.
    from shim.images.registry import Registry

# What Go, and so an image, calls this machine's processor.
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}

Advance = Callable[[int], None]
"""Told how many bytes more are done."""


class Progress(Protocol):
    """Who shows how far it is."""

    def begin(self, name: str, total: int) -> Advance:
        """Something of `total` bytes begins."""


class Silent:
    """Shows nothing."""

    def begin(self, name: str, total: int) -> Advance:
        """Nothing."""
        del name, total
        return lambda _done: None


@dataclass(frozen=True, slots=True)
class Moved:
    """The target of an image that was pulled or pushed, and how many bytes really moved."""

    target: Descriptor
    moved_bytes: int


def pull(registry: "Registry", store: Store, reference: Reference, progress: Progress) -> Moved:
    """Fetch an image; of an index, the manifest for Wasm or else for this machine.

    Raises:
        InvalidArgumentError: a document is malformed, or a blob is not what it was said to be.
        NotFoundError: there is no such image, or none for us.
        ResourceExhaustedError: it is too large, for us or for the disk.
        ShimError: see `Registry`.
    """
    with store.adding():
        target, document = registry.manifest(reference.digest or reference.tag)
        documents = {target.digest: document}

        def read(wanted: Descriptor) -> bytes:
            if wanted.digest not in documents:
                documents[wanted.digest] = registry.manifest(wanted.digest)[1]
            return documents[wanted.digest]

        manifest = _find(target, read, str(reference))
        missing = [blob for blob in blobs_of(manifest, str(reference)) if not store.has(blob)]
        _check_room(store, missing)
        for blob in missing:
            advance = progress.begin(blob.digest, blob.size)
            with store.writing() as writer:
                for piece in registry.blob(blob):
                    writer.write(piece)
                    advance(len(piece))
                writer.finish(blob.digest)
        for document in documents.values():
            store.add(document)
        store.tag(reference, target)
    return Moved(target, sum(blob.size for blob in missing))


def push(
    registry: "Registry",
    store: Store,
    source: Reference,
    destination: Reference,
    progress: Progress,
) -> Moved:
    """Send the image that the store calls `source`.

    Raises:
        NotFoundError: it is not in the store, or not all of it.
        ShimError: see `Registry`.
    """
    target = store.resolve(source)
    manifests, blobs = closure(store, target)
    moved = 0
    for blob in blobs:
        if not registry.has_blob(blob):
            advance = progress.begin(blob.digest, blob.size)
            with store.open(blob) as file:
                registry.push_blob(blob, _Watched(file.fileno(), blob.size, advance))
            moved += blob.size
    for manifest in reversed(manifests[1:]):
        registry.push_manifest(manifest.digest, manifest.media_type, store.read(manifest))
    name = destination.tag or target.digest
    registry.push_manifest(name, target.media_type, store.read(target))
    return Moved(target, moved)


def find_here(index: bytes) -> Descriptor | None:
    """The entry of an index for Linux on this processor."""
    processor = _PROCESSORS.get(platform.machine(), platform.machine())
    for entry in parse_index(index).manifests:
        is_for = entry.platform
        if is_for and (is_for.os, is_for.architecture) == ("linux", processor):
            return entry
    return None


def _find(target: Descriptor, read: Callable[[Descriptor], bytes], name: str) -> Manifest:
    found = find_manifest(target, read)
    if found:
        return found[1]
    entry = find_here(read(target))
    if entry is None or is_index(entry.media_type):
        raise NotFoundError(f"image {name} has no manifest for Wasm, and none for this machine")
    return parse_manifest(read(entry))


def _check_room(store: Store, blobs: Sequence[Descriptor]) -> None:
    disk = os.statvfs(store.directory)
    wanted, free = sum(blob.size for blob in blobs), disk.f_bavail * disk.f_frsize
    if wanted > free:
        raise ResourceExhaustedError(
            f"the image needs {wanted} bytes more, and {store.directory} has room for {free}"
        )


class _Watched(RawIOBase):
    """A file that says how much of it was read; http.client asks it for `len` and `read`."""

    def __init__(self, fd: int, size: int, advance: Advance) -> None:
        self._fd = fd
        self._size = size
        self._advance = advance

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def read(self, size: int = -1) -> bytes:
        data = os.read(self._fd, size if size >= 0 else self._size)
        self._advance(len(data))
        return data
