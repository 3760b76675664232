"""Finds the manifest to run behind an image's target, through any indexes.

Rules: pure; depth and number of documents are bounded, so that an index which names itself ends in
a clear error. An entry whose platform says Wasm wins; the first of several, as the image spec has
it. An entry that is not there was not pulled, and so was not meant.
"""

from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.oci.descriptors import (
    MAX_MANIFEST_BYTES,
    Descriptor,
    Index,
    Manifest,
    Read,
    parse_index,
    parse_manifest,
)
from shim.oci.media_types import SPIN_APPLICATION, base_type, is_index, is_wasm, is_wasm_config

MAX_DEPTH = 4
MAX_DOCUMENTS = 32

_ARCHITECTURES = frozenset({"wasm", "wasm32", "wasm64"})


def is_wasm_platform(entry: Descriptor) -> bool:
    """Whether an entry is for wasi/wasm, wasip1/wasm, wasip2/wasm or alike, in any case."""
    return entry.platform is not None and entry.platform.architecture in _ARCHITECTURES


def select_manifest(index: Index) -> Descriptor | None:
    """The first entry for a Wasm platform; None if there is none."""
    return next(filter(is_wasm_platform, index.manifests), None)


def find_manifest(target: Descriptor, read: Read) -> tuple[str, Manifest] | None:
    """The Wasm manifest that `target` leads to, with its digest; None if an index has none.

    A target that is itself a manifest is taken whatever its platform, as containerd does.

    Raises:
        InvalidArgumentError: a document is malformed, or there are too many of them.
        NotFoundError: the target is not there.
    """
    return _Search(read).follow(target, 0)


class _Search:
    def __init__(self, read: Read) -> None:
        self._read = read
        self._documents = 0

    def follow(self, target: Descriptor, depth: int) -> tuple[str, Manifest] | None:
        document = self._fetch(target, depth)
        if not is_index(target.media_type):
            return target.digest, parse_manifest(document)
        index = parse_index(document)
        for entry in index.manifests:
            if is_wasm_platform(entry) and (found := self._try(entry, depth + 1)):
                return found
        # What names no platform may be a further index, or an artifact that says it otherwise.
        for entry in index.manifests:
            if entry.platform is None:
                found = self._try(entry, depth + 1)
                if found and (is_index(entry.media_type) or says_wasm(found[1])):
                    return found
        return None

    def _try(self, entry: Descriptor, depth: int) -> tuple[str, Manifest] | None:
        try:
            return self.follow(entry, depth)
        except NotFoundError:
            return None

    def _fetch(self, target: Descriptor, depth: int) -> bytes:
        self._documents += 1
        if depth > MAX_DEPTH or self._documents > MAX_DOCUMENTS:
            raise InvalidArgumentError(
                f"{target.digest}: more than {MAX_DEPTH} indexes inside each other, or more than"
                f" {MAX_DOCUMENTS} documents to look at; does an index name itself?"
            )
        if target.size > MAX_MANIFEST_BYTES:
            raise InvalidArgumentError(
                f"{target.digest} is a manifest or index of {target.size} bytes, and"
                f" {MAX_MANIFEST_BYTES} are the most that are read"
            )
        return self._read(target)


def says_wasm(manifest: Manifest) -> bool:
    """Whether a manifest has a Wasm config or a layer that is a module by its type."""
    types = [manifest.config.media_type, *(layer.media_type for layer in manifest.layers)]
    return any(
        is_wasm_config(each) or is_wasm(each) or base_type(each) == SPIN_APPLICATION
        for each in types
    )
