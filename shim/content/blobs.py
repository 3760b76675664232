"""A blob that arrives in pieces: counted, and verified before a byte of it is used.

Rules: no I/O of its own; the pieces come from outside and are not trusted.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from shim.errdefs import InvalidArgumentError
from shim.oci.descriptors import Descriptor, check_digest

_DAMAGED = (
    "the image, or containerd's content store, is damaged; remove the image and pull it again"
)


class Blob(io.RawIOBase):
    """A file to read from; a piece that would make it longer than its descriptor says is an
    error."""

    def __init__(self, pieces: Iterator[bytes], descriptor: Descriptor) -> None:
        super().__init__()
        self._pieces = pieces
        self._descriptor = descriptor
        self._left = descriptor.size
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # narrower
        """Fill the buffer with what is at hand; 0 is the end.

        Raises:
            InvalidArgumentError: the blob has more bytes than its descriptor says.
        """
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left -= len(piece)
            if self._left < 0:
                _wrong_size(self._descriptor, "more")
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        """Ask for no more pieces."""
        close = getattr(self._pieces, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()


def read_whole(blob: BinaryIO, descriptor: Descriptor) -> bytes:
    """All of a blob.

    Raises:
        InvalidArgumentError: it is not what the descriptor names.
    """
    data = blob.read(-1)
    if len(data) < descriptor.size:
        _wrong_size(descriptor, "fewer")
    try:
        check_digest(descriptor.digest, data)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{error}: {_DAMAGED}") from error
    return data


def _wrong_size(descriptor: Descriptor, how: str) -> NoReturn:
    raise InvalidArgumentError(
        f"blob {descriptor.digest} has {how} bytes than the {descriptor.size} that its descriptor"
        f" says: {_DAMAGED}"
    )
