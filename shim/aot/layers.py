"""Unpacked layers of images: directories that guests see read-only, shared by all pods.

Rules: a directory has its name at once and whole, or not at all. Removing one that is the lower
layer of a mounted overlay would take files from under a guest, so whoever mounts one holds it
(`Layers.hold`: a shared flock on the directory itself) for as long as the mount lives, and nobody
removes what is held. The kernel lets go of it when the holder dies.

`DIGEST` is a layer's directory, `DIGEST.json` what is known of it, with the last use as its mtime;
`DIGEST.partial` is one being unpacked by who holds the lock `DIGEST.lock.partial`, and
`DIGEST.PID.partial` one being removed.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from shim.aot.locks import PARTIAL, lock_file, remove_if_abandoned, write_whole
from shim.aot.marks import DESCRIPTION
from shim.kernel.calls import syncfs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of a layer: its bytes on disk, and the images that it came from."""

    size: int
    images: tuple[str, ...]


class Layers:
    """The layers below one directory, by the sha256 of the layer's blob in hex."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """Where a layer lies, if it is there."""
        return self.directory / digest

    def hold(self, digest: str) -> int | None:
        """Keep a layer from being removed until the descriptor that is returned is closed.

        None where it is not there, or is being removed: then a loader has to unpack it. This
        counts as a use.
        """
        with contextlib.suppress(OSError):
            os.utime(self._description(digest))
        try:
            return lock_file(self.path(digest), _DIRECTORY, wait=False, shared=True)
        except (FileNotFoundError, BlockingIOError):
            return None

    @contextlib.contextmanager
    def unpacking(self, digest: str, image: str | None) -> Iterator["LayerWriter | None"]:
        """Hold the lock of a layer, waiting for whoever holds it; None where it is there already.

        What was not finished is removed.

        Args:
            digest: of the layer.
            image: where it comes from, as `ModuleSource.image`; the layer knows it afterwards.
        """
        with self._locked(digest, wait=True):
            if self.path(digest).is_dir():
                self._add_image(digest, image)
                yield None
                return
            writer = LayerWriter(self, digest, image)
            try:
                yield writer
            finally:
                shutil.rmtree(writer.path, ignore_errors=True)

    def facts(self, digest: str) -> LayerFacts | None:
        """What is known of a layer."""
        try:
            members = json.loads(self._description(digest).read_bytes())
            return LayerFacts(int(members["size"]), tuple(map(str, members["images"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def describe(self, digest: str, facts: LayerFacts) -> None:
        """Say what is known of a layer, for who holds its lock."""
        write_whole(self._description(digest), json.dumps(asdict(facts)).encode())

    def remove(self, digest: str) -> bool:
        """Remove a layer; False where somebody holds it, or it is gone."""
        path = self.path(digest)
        try:
            fd = lock_file(path, _DIRECTORY, wait=False)
        except (FileNotFoundError, BlockingIOError):
            return False
        try:
            doomed = self.directory / f"{digest}.{os.getpid()}{PARTIAL}"
            path.rename(doomed)
            self._description(digest).unlink(missing_ok=True)
            shutil.rmtree(doomed, ignore_errors=True)
        finally:
            os.close(fd)
        return True

    def clear_debris(self) -> None:
        """Remove what dead loaders left."""
        for path in self.directory.glob(f"*{PARTIAL}"):
            digest = path.name.split(".")[0]
            if not path.is_dir():
                remove_if_abandoned(path)
            elif path.name != f"{digest}{PARTIAL}":
                # its remover may be at it as well
                shutil.rmtree(path, ignore_errors=True)
            else:
                with (
                    contextlib.suppress(BlockingIOError, FileNotFoundError),
                    self._locked(digest, wait=False),
                ):
                    shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, digest: str, *, wait: bool) -> Iterator[None]:
        lock = self.directory / f"{digest}{_LOCK}{PARTIAL}"
        fd = lock_file(lock, os.O_RDWR | os.O_CREAT, wait=wait)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(fd)

    def _add_image(self, digest: str, image: str | None) -> None:
        facts = self.facts(digest)
        if facts and image and image not in facts.images:
            self.describe(digest, LayerFacts(facts.size, (*facts.images, image)))

    def _description(self, digest: str) -> Path:
        return self.directory / f"{digest}{DESCRIPTION}"


class LayerWriter:
    """A layer being unpacked, to `path`, an empty directory."""

    def __init__(self, layers: Layers, digest: str, image: str | None) -> None:
        self._layers = layers
        self._digest = digest
        self._image = image
        self.path = layers.directory / f"{digest}{PARTIAL}"
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(mode=0o755)

    def finish(self, size: int) -> None:
        """Give the layer its name; `size` is what it takes on disk, in bytes."""
        fd = os.open(self.path, _DIRECTORY | os.O_CLOEXEC)
        try:
            # a power cut must not leave the name with empty files behind it
            syncfs(fd)
        finally:
            os.close(fd)
        self._layers.describe(self._digest, LayerFacts(size, (self._image,) if self._image else ()))
        self.path.rename(self._layers.path(self._digest))
