"""Manifests and indexes of the OCI image spec, and docker's, as frozen data.

Rules: pure; a registry's documents are not trusted, so that every number, length and name is
bounded, and nothing but an `InvalidArgumentError` leaves this module. Unknown members are ignored,
as the specification asks. Source: image-spec, descriptor.md, manifest.md and image-index.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_MANIFEST_BYTES = 4 << 20
"""What a manifest or an index may have; registries take no more than 4 MiB."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What an entry of an index runs on, in lower case."""

    os: str
    architecture: str
    variant: str = ""


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
        raise NotImplementedError


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
    raise NotImplementedError


def parse_index(document: bytes) -> Index:
    """Read an index.

    Raises:
        InvalidArgumentError: it is no index, or a member is wrong or too large.
    """
    raise NotImplementedError


def check_digest(digest: str, data: bytes) -> None:
    """See that `data` is what `digest` names.

    Raises:
        InvalidArgumentError: it is something else.
    """
    raise NotImplementedError
