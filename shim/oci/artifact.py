"""What an image comes down to for us: modules, and the files that they see.

Rules: pure; documents are fetched by the caller, who has verified their digests. An image without
a Wasm layer is nobody's artifact (None): containerd has unpacked it, and its files speak for
themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shim.oci.descriptors import Descriptor, Manifest

MAX_CONFIG_BYTES = 4 << 20
MAX_LAYERS = 500
MAX_TOTAL_BYTES = 16 << 30

Read = Callable[[Descriptor], bytes]
"""Fetches a document whole and verified; asked for none larger than MAX_CONFIG_BYTES."""


class Packing(StrEnum):
    """How an artifact was packed."""

    CNCF = "cncf"  # a Wasm config: wkg, wash, wasm-to-oci, `tandem pack`
    IMAGE = "image"  # an image config and Wasm layers: runwasi
    SPIN = "spin"  # `spin registry push`
    PLAIN = "plain"  # an empty or unknown config: ORAS


@dataclass(frozen=True, slots=True)
class File:
    """One file at `path`, relative and safe: a blob, or inline, or (neither) in an archive.

    `digest` is that of its bytes in every case.
    """

    path: str
    digest: str
    blob: Descriptor | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a component of a Spin application: `kind` is `http`, `command`, `redis`, ..."""

    id: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Module:
    """A module or component; `name` is its title or its id in a Spin application, or empty.

    `env` (`NAME=value`) is what the artifact asks for; the container's own variables win.
    """

    descriptor: Descriptor
    name: str = ""
    env: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar; `in_rootfs` says that containerd unpacks it into the root file system itself."""

    descriptor: Descriptor
    in_rootfs: bool


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image config says of the process; CRI and ctr put it into config.json already."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    os: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """The files that a module's guest sees beside containerd's: tars in order, then single files.

    `archives` hold those files that are neither blobs nor inline.
    """

    layers: tuple[Descriptor, ...] = ()
    files: tuple[File, ...] = ()
    archives: tuple[Descriptor, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to unpack."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """64 hex digits that name exactly these files: a directory's name."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image with at least one Wasm layer; `digest` is its manifest's.

    `native` are layers that claim to be compiled already, which are never run (decision 3).
    """

    digest: str
    packing: Packing
    modules: tuple[Module, ...]
    native: tuple[Module, ...] = ()
    layers: tuple[Layer, ...] = ()
    files: tuple[File, ...] = ()
    archives: tuple[Descriptor, ...] = ()
    config: ImageConfig = ImageConfig()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def contents(self, module: Module, *, with_rootfs: bool) -> Contents:
        """The files for `module`'s guest.

        Args:
            module: one of `modules`.
            with_rootfs: take the layers along that containerd unpacks into a root file system,
                because no containerd is there.
        """
        raise NotImplementedError


def load_artifact(target: Descriptor, read: Read) -> Artifact | None:
    """Follow an image's target through indexes to its artifact; None is an ordinary image.

    Raises:
        InvalidArgumentError: a document is malformed, too large or too deep, or the artifact is
            one that nobody can run; the text says why.
        UnimplementedError: it needs something that Tandem does not have.
    """
    raise NotImplementedError


def read_artifact(digest: str, manifest: Manifest, read: Read) -> Artifact | None:
    """What the manifest with this digest comes down to; None is an ordinary image.

    Raises: as `load_artifact`.
    """
    raise NotImplementedError
