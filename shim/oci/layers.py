"""What each layer of an artifact is to us: a module, a tar, a file, or nothing.

Rules: pure; decided by media types, and by titles only where a tool has been told no type.
"""

from enum import Enum, StrEnum, auto

from shim.errdefs import InvalidArgumentError
from shim.oci.descriptors import Descriptor, Manifest
from shim.oci.media_types import (
    OCI_TAR,
    ORAS_UNPACK,
    SPIN_APPLICATION,
    SPIN_ARCHIVE,
    base_type,
    is_image_config,
    is_native,
    is_tar,
    is_wasm,
    is_wasm_config,
)

_WASM_ENDINGS = (".wasm", ".wat")
# What a tool calls a file of which it was told no type: ORAS takes the first.
_UNTYPED = frozenset({OCI_TAR, "application/octet-stream", ""})


class Packing(StrEnum):
    """How an artifact was packed."""

    CNCF = "cncf"  # a Wasm config: wkg, wash, wasm-to-oci, `tandem pack`
    IMAGE = "image"  # an image config and Wasm layers: runwasi
    SPIN = "spin"  # `spin registry push`
    PLAIN = "plain"  # an empty or unknown config: ORAS


class Kind(Enum):
    """What a layer is to us."""

    WASM = auto()
    NATIVE = auto()
    TAR = auto()
    FILE = auto()
    ARCHIVE = auto()
    OTHER = auto()


def packing_of(manifest: Manifest) -> Packing:
    """How a manifest's artifact, if it is one, was packed."""
    if spin_application(manifest):
        return Packing.SPIN
    if is_wasm_config(manifest.config.media_type):
        return Packing.CNCF
    return Packing.IMAGE if is_image_config(manifest.config.media_type) else Packing.PLAIN


def kind_of(layer: Descriptor, packing: Packing) -> Kind:
    """What a layer is to us, by its type, and where that says nothing by its title."""
    name, title = base_type(layer.media_type), layer.title
    is_file_by_title = packing is Packing.PLAIN and title and name in _UNTYPED
    if is_native(name) or (is_file_by_title and title.endswith(".cwasm")):
        return Kind.NATIVE
    if is_wasm(name) or (is_file_by_title and title.endswith(_WASM_ENDINGS)):
        return Kind.WASM
    if packing is Packing.SPIN and name == SPIN_ARCHIVE:
        return Kind.ARCHIVE
    if is_file_by_title and not title.endswith(".tar") and ORAS_UNPACK not in layer.annotations:
        return Kind.FILE
    if is_tar(name):
        return Kind.TAR
    # A layer that has a name was a file; what has none (a signature, say) is for others to read.
    return Kind.FILE if title and packing is not Packing.SPIN else Kind.OTHER


def spin_application(manifest: Manifest) -> Descriptor | None:
    """The locked application of a Spin artifact; None for any other.

    Raises:
        InvalidArgumentError: there are several.
    """
    # The first versions of Spin had the application for a config.
    candidates = [
        each
        for each in (manifest.config, *manifest.layers)
        if base_type(each.media_type) == SPIN_APPLICATION
    ]
    if len(candidates) > 1:
        raise InvalidArgumentError("manifest has more than one spin application")
    return candidates[0] if candidates else None
