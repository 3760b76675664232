"""The node's own images, for `tandem`: an OCI image layout in a directory.

Rules: the directory belongs to its user (root) alone. A blob appears under its digest at once and
whole, after its bytes were found to have that digest, or not at all. Any number of processes may
use the store at once: whoever adds holds `lock` shared, from the first blob to the name that keeps
them; whoever sweeps holds it alone; `index.lock` is held while `index.json` is replaced.

Below the directory: `oci-layout`, `index.json` and `blobs/sha256/` as the OCI image layout says,
and `ingest/`, where blobs are while they are written.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from shim.aot.directory import open_private
from shim.errdefs import InternalError, InvalidArgumentError, NotFoundError, UnavailableError
from shim.images.blob_writer import BlobWriter
from shim.images.documents import encode, index_entry, read_entries
from shim.images.reference import Reference
from shim.oci.descriptors import Descriptor, check_digest

LAYOUT = {"imageLayoutVersion": "1.0.0"}


class Store:
    """One image layout."""

    def __init__(self, directory: Path) -> None:
        """Make or check the directories.

        Raises:
            PermissionDeniedError: others could change it.
            InternalError: it cannot be made.
        """
        self.directory = open_private(directory, "image store")
        self.blobs = self.directory / "blobs" / "sha256"
        self.ingest = self.directory / "ingest"
        try:
            for path in (self.blobs, self.ingest):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (self.directory / "index.json").exists():
                self._begin()
        except OSError as error:
            raise InternalError(f"image store {directory}: {error.strerror}") from error

    def _begin(self) -> None:
        with self._locked("index.lock", fcntl.LOCK_EX):
            if not (self.directory / "index.json").exists():
                self._replace("oci-layout", encode(LAYOUT))
                self._write_index({})

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """Keep what is added from being swept away until it has a name."""
        with self._locked("lock", fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[BlobWriter]:
        """A new blob; dropped, unless it is finished."""
        writer = BlobWriter(self.ingest, self.blobs)
        try:
            yield writer
        finally:
            writer.close()

    def add(self, data: bytes) -> str:
        """Keep some bytes.

        Returns:
            Their digest.
        """
        with self.writing() as writer:
            writer.write(data)
            return writer.finish()

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is here."""
        try:
            return self.path(blob.digest).stat().st_size == blob.size
        except FileNotFoundError:
            return False

    def path(self, digest: str) -> Path:
        """Where the blob with this digest is, if it is here.

        Raises:
            InvalidArgumentError: it is not a sha256.
        """
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise InvalidArgumentError(f"digest {digest[:80]!r} is not sha256 and 64 hex digits")
        return self.blobs / value

    def read(self, blob: Descriptor) -> bytes:
        """A blob, whole and verified; one that was damaged is removed.

        Raises:
            NotFoundError: it is not here.
            UnavailableError: it was damaged.
        """
        path = self.path(blob.digest)
        try:
            data = path.read_bytes()
            check_digest(blob.digest, data)
        except FileNotFoundError:
            raise NotFoundError(
                f"blob {blob.digest} is not in the image store: pull the image again"
            ) from None
        except InvalidArgumentError:
            path.unlink(missing_ok=True)
            raise UnavailableError(
                f"blob {blob.digest} in the image store was damaged and is removed: pull the image,"
                " or pack it, again"
            ) from None
        return data

    def open(self, blob: Descriptor) -> BinaryIO:
        """A blob, for who verifies it or hands it on to somebody who does.

        Raises:
            NotFoundError: it is not here.
        """
        try:
            return self.path(blob.digest).open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"blob {blob.digest} is not in the image store") from None

    def images(self) -> dict[str, Descriptor]:
        """Everything that has a name, by it, in order."""
        return read_entries(self._index())

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for.

        Raises:
            NotFoundError: nothing here has it.
        """
        found = self.images().get(str(reference))
        if found is None:
            raise NotFoundError(
                f"image {reference} is not in the image store: pull it, or pack it, first"
            )
        return found

    def tag(self, reference: Reference, target: Descriptor) -> None:
        """Give a manifest or index, all of which is here, a name; an older owner loses it."""
        with self._locked("index.lock", fcntl.LOCK_EX):
            images = {**self.images(), str(reference): target}
            self._write_index(images)

    def remove(self, reference: Reference) -> int:
        """Take a name away, and what nothing else needs.

        Returns:
            How many bytes were freed; 0 where somebody adds an image just now, and the next
            removal frees them.

        Raises:
            NotFoundError: nothing here has it.
        """
        with self._locked("index.lock", fcntl.LOCK_EX):
            images = self.images()
            if images.pop(str(reference), None) is None:
                raise NotFoundError(f"image {reference} is not in the image store")
            self._write_index(images)
        return self._sweep()

    def _sweep(self) -> int:
        freed = 0
        with contextlib.suppress(BlockingIOError), self._locked("lock", fcntl.LOCK_EX, wait=False):
            kept = {self.path(digest).name for digest in self._reachable()}
            for path in [*self.blobs.iterdir(), *self.ingest.iterdir()]:
                if path.name not in kept:
                    freed += path.stat().st_blocks * 512
                    path.unlink()
        return freed

    def _reachable(self) -> set[str]:
        found: set[str] = set()
        todo = [descriptor.digest for descriptor in self.images().values()]
        while todo:
            digest = todo.pop()
            path = self.path(digest)
            if digest in found or not path.exists():
                continue
            found.add(digest)
            todo += _named_in(path)
        return found

    def _index(self) -> bytes:
        return (self.directory / "index.json").read_bytes()

    def _write_index(self, images: dict[str, Descriptor]) -> None:
        entries = [index_entry(name, images[name]) for name in sorted(images)]
        self._replace("index.json", encode({"schemaVersion": 2, "manifests": entries}))

    def _replace(self, name: str, data: bytes) -> None:
        new = self.directory / f".{name}.{os.getpid()}"
        try:
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.rename(self.directory / name)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise UnavailableError(
                f"cannot write {self.directory / name}: {error.strerror}"
            ) from error

    @contextlib.contextmanager
    def _locked(self, name: str, how: int, *, wait: bool = True) -> Iterator[None]:
        fd = os.open(self.directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how if wait else how | fcntl.LOCK_NB)
            yield
        finally:
            os.close(fd)


def _named_in(path: Path) -> list[str]:
    """The digests in a manifest or index; a blob that is neither names nothing."""
    with path.open("rb") as file:
        # Cheaper than parsing every module for JSON.
        if file.read(1) != b"{":
            return []
    try:
        document: Any = json.loads(path.read_bytes())
        children = [*document.get("manifests", []), *document.get("layers", [])]
        return [child["digest"] for child in [*children, document.get("config", {})] if child]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
