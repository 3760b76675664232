"""The node's cache of compiled modules.

Rules: deserialising an artefact is loading code, so every directory belongs to us alone.
"""

from dataclasses import dataclass
from pathlib import Path

from shim.wasm.binary import Kind


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled module; `digest` is the sha256 of the module in hex."""

    path: Path
    kind: Kind
    digest: str


class Cache:
    """Artefacts by the digest of their module."""

    def __init__(self, directory: Path, max_bytes: int, compatibility_key: str) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._compatibility_key = compatibility_key

    def find(self, module_fd: int, identity: str) -> Artefact | None:
        """Look up the artefact of an open module without reading the module."""
        del module_fd, identity
        return None

    def drop(self, artefact: Artefact) -> None:
        """Remove an artefact that cannot be loaded."""
