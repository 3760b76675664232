"""Where the module of a loader comes from.

Rules: a source is made in the pod shim and asked there only for what costs no waiting (`find`);
everything else is asked in the loader, a forked process of its own that may wait, have threads and
be thrown away.
"""

import os
import time
from collections.abc import Callable
from typing import Protocol

from shim.aot.cache import Cache
from shim.aot.entry import Artefact
from shim.aot.report import JSON, Loaded
from shim.errdefs import InvalidArgumentError, ResourceExhaustedError

__all__ = ["JSON", "FileSource", "Loaded", "ModuleSource"]


class ModuleSource(Protocol):
    """One module, as a loader asks for it."""

    @property
    def kept_fds(self) -> tuple[int, ...]:
        """Descriptors that the loader does not close."""

    def find(self, cache: Cache) -> Loaded | None:
        """What an earlier start has remembered; in the pod shim, so it reads no module."""

    def prepare(self) -> None:
        """Called first in the loader, for whom there is something to ask.

        Raises:
            ShimError: there is no such module.
        """

    @property
    def is_cgi(self) -> bool:
        """After `prepare`: whether the image says that its modules are CGI programs. Who starts a
        container knows that before, and chooses the cache for it."""

    @property
    def digest(self) -> str | None:
        """After `prepare`: sha256 of the module in hex, where it is known without reading it."""

    @property
    def image(self) -> str | None:
        """After `prepare`: the digest (`sha256:...`) of the manifest of the image that it came
        from, where that is known."""

    def read(self, max_bytes: int) -> bytes:
        """After `prepare`, maybe twice: the module; it has the digest that was named, if one was.

        Raises:
            ResourceExhaustedError: it has more bytes than that.
            ShimError: it cannot be read, or is not what it was said to be.
        """

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Called last in the loader: let `find` know this artefact, where that is safe."""

    def facts(self) -> dict[str, JSON]:
        """After `prepare`: what the pod shim has to know besides the artefact."""


class FileSource:
    """A file of a rootfs or volume."""

    digest = None
    is_cgi = False

    def __init__(
        self, fd: int, identity: str, ask_image: Callable[[], str | None] | None = None
    ) -> None:
        """Describe it.

        Args:
            fd: the file, open for reading.
            identity: where it comes from.
            ask_image: called in the loader, where the file is one of an image: see `image`.
        """
        self._fd = fd
        self._identity = identity
        self._ask_image = ask_image
        self.image: str | None = None

    @property
    def kept_fds(self) -> tuple[int, ...]:
        """The file."""
        return (self._fd,)

    def find(self, cache: Cache) -> Loaded | None:
        """The artefact of a file that did not change since it was hashed."""
        artefact = cache.find(self._fd, self._identity)
        return Loaded(artefact, {}) if artefact else None

    def prepare(self) -> None:
        """Note which version of the file it is, and which image has it."""
        self.image = self._ask_image() if self._ask_image else None
        self._hashed_ns = time.time_ns()
        self._status = os.fstat(self._fd)

    def read(self, max_bytes: int) -> bytes:
        """The file.

        Raises:
            ResourceExhaustedError: it has more bytes than that.
            InvalidArgumentError: somebody is writing to it.
        """
        size = self._status.st_size
        if size > max_bytes:
            raise too_large(size, max_bytes)
        binary = os.pread(self._fd, size, 0)
        if len(binary) != size:
            raise InvalidArgumentError("the module changed its size while it was read")
        return binary

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Remember it, unless the file changed meanwhile."""
        if os.fstat(self._fd).st_ctime_ns == self._status.st_ctime_ns:
            cache.remember(self._identity, self._status, self._hashed_ns, artefact)

    def facts(self) -> dict[str, JSON]:
        """Nothing."""
        return {}


def too_large(size: int, max_bytes: int) -> ResourceExhaustedError:
    """A module of `size` bytes is not read."""
    return ResourceExhaustedError(
        f"the module has {size} bytes, and [compile] memory_bytes allows {max_bytes}"
    )
