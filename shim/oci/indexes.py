"""Finds the manifest to run behind an image's target, through any indexes.

Rules: pure; depth and number of documents are bounded, so that an index which names itself ends in
a clear error. A platform that says Wasm wins, whatever the order.
"""

from shim.oci.artifact import Read
from shim.oci.descriptors import Descriptor, Index, Manifest

MAX_DEPTH = 4


def select_manifest(index: Index) -> Descriptor | None:
    """The entry for wasi/wasm, wasip1/wasm or wasip2/wasm, in any case; None if there is none."""
    raise NotImplementedError


def find_manifest(target: Descriptor, read: Read) -> tuple[str, Manifest] | None:
    """The Wasm manifest that `target` leads to, with its digest; None if an index has none.

    A target that is itself a manifest is taken whatever its platform, as containerd does.

    Raises:
        InvalidArgumentError: a document is malformed, or the indexes go too deep.
    """
    raise NotImplementedError
