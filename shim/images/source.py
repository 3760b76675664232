"""A module of an image in the store, or of a file, as a loader wants it: bytes with a digest."""

from shim.aot.cache import Artefact, Cache
from shim.aot.source import JSON, Loaded
from shim.errdefs import ResourceExhaustedError


class BytesSource:
    """A module that was read and verified already; `image` is its image's manifest's digest."""

    kept_fds: tuple[int, ...] = ()

    def __init__(self, binary: bytes, digest: str, image: str | None = None) -> None:
        """Take a module and its sha256 in hex."""
        self._binary = binary
        self.digest = digest
        self.image = image

    def find(self, cache: Cache) -> Loaded | None:
        """Its artefact, by its digest."""
        artefact = cache.lookup(self.digest)
        return Loaded(artefact, {}) if artefact else None

    def prepare(self) -> None:
        """Nothing is to be asked."""

    def read(self, max_bytes: int) -> bytes:
        """The module.

        Raises:
            ResourceExhaustedError: it has more bytes than that.
        """
        if len(self._binary) > max_bytes:
            raise ResourceExhaustedError(f"the module has {len(self._binary)} bytes")
        return self._binary

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Nothing: its digest is known."""

    def facts(self) -> dict[str, JSON]:
        """Nothing."""
        return {}
