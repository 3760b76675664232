"""Unpacks an artifact's files into a directory, whoever packed them and whatever they wish us.

Rules: nothing is written outside of the directory or through a symlink of the image; what is read
is counted, not what a header says; blobs are verified, and only what is whole and verified gets
its final name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shim.oci.artifact import Contents
from shim.oci.descriptors import Descriptor

OpenBlob = Callable[[Descriptor], BinaryIO]
"""Opens a blob; only `read(n)` and `close()` are used, and the bytes need not be verified."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the files of one artifact may take when they are unpacked."""

    max_bytes: int = 4 << 30
    max_entries: int = 200_000


def unpack(
    contents: Contents, open_blob: OpenBlob, destination: Path, limits: Limits = Limits()
) -> None:
    """Make the directory `destination` with these files; there is nothing if it fails.

    Its parent must exist and be root's. A directory that is there already is left as it is.

    Raises:
        InvalidArgumentError: a blob is not what its digest says, malformed, or hostile.
        ResourceExhaustedError: a limit is reached, or the disk is full.
    """
    raise NotImplementedError
