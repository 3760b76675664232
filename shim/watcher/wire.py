"""What the listener tells the watcher: one JSON a line, the images of one moment.

Rules: pure.
"""

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Image:
    """An image of containerd's that holds Wasm: its name, its target, and how many modules it has;
    none where it is an ordinary image that runs a Wasm file."""

    namespace: str
    name: str
    media_type: str
    digest: str
    size: int
    modules: int


@dataclass(frozen=True, slots=True)
class Look:
    """All images.

    Attributes:
        taken_ns: when they were asked for, in nanoseconds since the epoch.
        alive: the digests of their manifests and indexes.
        images: those that hold Wasm.
    """

    taken_ns: int
    alive: frozenset[str] = frozenset()
    images: tuple[Image, ...] = field(default=())


def encode_look(look: Look) -> bytes:
    """One line."""
    images = [asdict(image) for image in look.images]
    members = {"taken_ns": look.taken_ns, "alive": sorted(look.alive), "images": images}
    return json.dumps(members).encode() + b"\n"


def decode_look(line: bytes) -> Look:
    """Read such a line."""
    members = json.loads(line)
    images = tuple(Image(**image) for image in members["images"])
    return Look(members["taken_ns"], frozenset(members["alive"]), images)


class LastLine:
    """Collects what arrives in pieces, and knows the last line of it that is whole."""

    def __init__(self) -> None:
        self._pending = b""

    def add(self, data: bytes) -> bytes | None:
        """Take a piece; the last line that it completes, or None."""
        *whole, self._pending = (self._pending + data).split(b"\n")
        return whole[-1] if whole else None
