"""What is known of one compiled module, as the texts in the cache say it.

Rules: pure. Whoever reads a text that is none of ours gets None: what is not understood is not
believed.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shim.wasm.binary import Kind

# A module that many images hold must not make its entry grow for ever; the newest are kept.
_MAX_IMAGES = 256


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled module; `digest` is the sha256 of the module in hex."""

    path: Path
    kind: Kind
    digest: str


@dataclass(frozen=True, slots=True)
class Description:
    """What stands beside an artefact.

    Attributes:
        kind: of the module.
        sha256: of the artefact, in hex.
        size: of the artefact, in bytes.
        module_size: of the module, in bytes.
        images: digests (`sha256:...`) of the manifests of the images that it came from, the newest
            last.
        created: seconds since the epoch.
    """

    kind: Kind
    sha256: str
    size: int
    module_size: int
    images: tuple[str, ...]
    created: int

    def with_image(self, image: str) -> "Description":
        """The same with one more image."""
        others = tuple(other for other in self.images if other != image)
        return replace(self, images=(*others, image)[-_MAX_IMAGES:])


def encode_description(description: Description) -> bytes:
    """As a JSON."""
    return json.dumps(asdict(description)).encode()


def decode_description(text: bytes) -> Description | None:
    """Read `encode_description`'s text."""
    try:
        members = json.loads(text)
        found = Description(
            kind=Kind(members["kind"]),
            sha256=members["sha256"],
            size=members["size"],
            module_size=members["module_size"],
            images=tuple(members["images"]),
            created=members["created"],
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = (found.size, found.module_size, found.created)
    texts = (found.sha256, *found.images)
    known = all(type(n) is int for n in numbers) and all(type(t) is str for t in texts)
    return found if known else None
