"""The files that artifacts bring along, unpacked once per node into the cache's layers.

A tree of files lies in `files` of the layer that its key names, and never changes. Rules: loaders
alone unpack; whoever uses a tree holds its layer, so that nobody evicts it meanwhile.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from shim.aot.cache import Cache
from shim.errdefs import ResourceExhaustedError, UnavailableError
from shim.oci.artifact import Contents

if TYPE_CHECKING:
    from shim.unpack.tree import OpenBlob

_FILES = "files"
_SHARE = 4  # of the cache, for the files of one artifact
_BLOCK_BYTES = 512  # of st_blocks: stat(2)


def is_there(cache: Cache, contents: Contents) -> bool:
    """Whether nothing has to be unpacked."""
    return contents.is_empty or cache.layers.path(contents.key).is_dir()


def make(cache: Cache, contents: Contents, image: str, open_blob: "OpenBlob") -> int | None:
    """Unpack what is not there yet, in a loader.

    Args:
        cache: where to.
        contents: the files.
        image: the digest of the image's manifest.
        open_blob: gets the blobs that are needed.

    Returns:
        A descriptor that holds the tree; None where there are no files.

    Raises:
        ResourceExhaustedError: they would take more than their share of the cache.
        ShimError: a blob cannot be had, or is hostile; see `unpack`.
    """
    if contents.is_empty:
        return None
    from shim.unpack.tree import Limits, unpack  # noqa: PLC0415 (for loaders alone)

    with cache.layers.unpacking(contents.key, image) as writer:
        if writer is not None:
            try:
                limits = Limits(max_bytes=cache.max_bytes // _SHARE)
                unpack(contents, open_blob, writer.path / _FILES, limits)
            except ResourceExhaustedError as error:
                raise ResourceExhaustedError(
                    f"{error}; one artifact may take 1/{_SHARE} of [cache] max_bytes"
                ) from error
            writer.finish(_size(writer.path))
        return hold(cache, contents)


def hold(cache: Cache, contents: Contents) -> int:
    """A descriptor of a tree's layer, which keeps it from being evicted until it is closed.

    Raises:
        UnavailableError: it has just been evicted.
    """
    fd = cache.layers.hold(contents.key)
    if fd is None:
        raise UnavailableError(
            "the artifact's files have just been evicted from the cache; a retry unpacks them again"
        )
    return fd


def open_files(layer_fd: int) -> int:
    """The directory of a tree whose layer is held."""
    return os.open(_FILES, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=layer_fd)


def _size(tree: Path) -> int:
    """What a tree takes on disk, in bytes."""
    return sum(
        os.lstat(os.path.join(folder, name)).st_blocks * _BLOCK_BYTES  # noqa: PTH118 (many)
        for folder, folders, files in os.walk(tree)
        for name in (*folders, *files)
    )
