"""Manifests and indexes of the OCI image spec, and docker's, as frozen data.

Rules: pure; a registry's documents are not trusted, so that every number, length and digest is
checked, and nothing but an `InvalidArgumentError` leaves this module. Unknown members are ignored,
as the specification asks. Source: image-spec, descriptor.md, manifest.md and image-index.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shim.errdefs import InvalidArgumentError
from shim.oci.document import Node, load_foreign_json
from shim.oci.media_types import TITLE, is_index

MAX_MANIFEST_BYTES = 4 << 20
"""What a manifest or an index may have; registries take no more than 4 MiB either."""

_MAX_MEDIA_TYPE = 255
_MAX_SIZE = (1 << 63) - 1
_HEX_DIGITS = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Platform:
    """What an entry of an index runs on, in lower case."""

    os: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob by its digest (`sha256:...` or `sha512:...`) and its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str = ""

    @property
    def title(self) -> str:
        """The file name that ORAS and others give a blob, or nothing."""
        return self.annotations.get(TITLE, "")


Read = Callable[[Descriptor], bytes]
"""Fetches a whole document, verified against its digest; NotFoundError where it is not there."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image or artifact: its config and its layers in order."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests for different platforms."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


def parse_manifest(document: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        InvalidArgumentError: it is no manifest, or a member is wrong or too large.
    """
    top = _top(document, "manifest")
    if "manifests" in top or is_index(top.get("mediaType", str, "")):
        # one document with two meanings would be another image to us than to others
        raise InvalidArgumentError("manifest: it is an index as well, or one that calls itself so")
    return Manifest(
        config=_descriptor(top.node("config")),
        layers=tuple(_descriptor(node) for node in top.nodes("layers")),
        artifact_type=_media_type(top, "artifactType"),
        annotations=top.string_map("annotations"),
    )


def parse_index(document: bytes) -> Index:
    """Read an index.

    Raises:
        InvalidArgumentError: it is no index, or a member is wrong or too large.
    """
    top = _top(document, "index")
    if "layers" in top or "config" in top:
        raise InvalidArgumentError("index: it is a manifest as well")
    return Index(
        manifests=tuple(_descriptor(node) for node in top.nodes("manifests")),
        annotations=top.string_map("annotations"),
    )


def parse_digest(digest: str) -> tuple[str, str]:
    """Split a digest into the name that hashlib knows and the hex digits.

    Raises:
        InvalidArgumentError: it is neither a sha256 nor a sha512.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None or len(match[2]) != _HEX_DIGITS[match[1]]:
        raise InvalidArgumentError(
            f"digest {digest[:200]!r} is neither sha256 nor sha512 with lower case hex digits"
        )
    return match[1], match[2]


def check_digest(digest: str, data: bytes) -> None:
    """See that `data` is what `digest` names.

    Raises:
        InvalidArgumentError: it is something else.
    """
    algorithm, wanted = parse_digest(digest)
    found = hashlib.new(algorithm, data).hexdigest()
    if found != wanted:
        raise InvalidArgumentError(f"blob {digest} has the digest {algorithm}:{found}")


def _top(document: bytes, name: str) -> Node:
    top = Node(load_foreign_json(document, name, MAX_MANIFEST_BYTES), "", f"{name}: ")
    version = top.get("schemaVersion", int, 2)
    if version != 2:
        raise InvalidArgumentError(f"{name}: schema version {version} is not 2")
    return top


def _descriptor(node: Node) -> Descriptor:
    size = node.get("size", int, -1)
    if not 0 <= size <= _MAX_SIZE:
        raise InvalidArgumentError(f"{node.name('size')} is missing, negative or too large")
    digest = node.get("digest", str, "")
    parse_digest(digest)
    return Descriptor(
        media_type=_media_type(node, "mediaType"),
        digest=digest,
        size=size,
        annotations=node.string_map("annotations"),
        platform=_platform(node.node("platform")),
        artifact_type=_media_type(node, "artifactType"),
    )


def _platform(node: Node) -> Platform | None:
    if node.is_empty:
        return None
    os, architecture = node.get("os", str, ""), node.get("architecture", str, "")
    return Platform(os.lower(), architecture.lower())


def _media_type(node: Node, name: str) -> str:
    media_type = node.get(name, str, "")
    if len(media_type) > _MAX_MEDIA_TYPE:
        raise InvalidArgumentError(f"{node.name(name)} has more than {_MAX_MEDIA_TYPE} characters")
    return media_type
