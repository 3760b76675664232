"""A module of an image in the store, or of a file, as a loader wants it: bytes with a digest."""

from shim.aot.cache import Artefact, Cache
from shim.aot.source import JSON, Loaded, too_large


class BytesSource:
    """A module that was read and verified already.

    It says no image, whichever it came from: the images that entries of the cache follow are
    containerd's, and what one of ours left would seem to be gone.
    """

    kept_fds: tuple[int, ...] = ()
    image = None
    is_cgi = False

    def __init__(self, binary: bytes, digest: str) -> None:
        """Take a module and its sha256 in hex."""
        self._binary = binary
        self.digest = digest

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
            raise too_large(len(self._binary), max_bytes)
        return self._binary

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Nothing: its digest is known."""

    def facts(self) -> dict[str, JSON]:
        """Nothing."""
        return {}
