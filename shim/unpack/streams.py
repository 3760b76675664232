"""A blob as a stream of bytes that is counted, verified and decompressed on the way.

Rules: no header is believed: what is counted is what was read, and the one bound on unpacked bytes
stops a decompression bomb while it unfolds. How a blob is compressed is read off its first bytes.
"""

import hashlib
import zlib
from typing import Any, BinaryIO, Protocol

from shim.errdefs import InvalidArgumentError, ResourceExhaustedError
from shim.oci.descriptors import Descriptor, parse_digest

CHUNK_BYTES = 64 << 10

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31
# What zstd itself takes without being told to: a larger window is memory for the asking.
_ZSTD_MAX_WINDOW = 128 << 20


class Readable(Protocol):
    """Anything with a `read`."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


class Budget:
    """What is left of an artifact's bytes and entries."""

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self._bytes = self._max_bytes = max_bytes
        self._entries = self._max_entries = max_entries

    def take_bytes(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            ResourceExhaustedError: there are too many.
        """
        self._bytes -= count
        if self._bytes < 0:
            raise ResourceExhaustedError(
                f"the artifact's layers unpack to more than {self._max_bytes} bytes"
            )

    def take_entry(self) -> None:
        """Count a member of a tar, or a file.

        Raises:
            ResourceExhaustedError: there are too many.
        """
        self._entries -= 1
        if self._entries < 0:
            raise ResourceExhaustedError(
                f"the artifact's layers have more than {self._max_entries} entries"
            )


class VerifiedBlob:
    """Reads a blob, and says at its end whether it was the right one."""

    def __init__(self, descriptor: Descriptor, stream: BinaryIO) -> None:
        algorithm, self._wanted = parse_digest(descriptor.digest)
        self._descriptor = descriptor
        self._stream = stream
        self._hash = hashlib.new(algorithm)
        self._left = descriptor.size

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes.

        Raises:
            InvalidArgumentError: there is more than the descriptor says.
        """
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise InvalidArgumentError(
                f"layer {self._descriptor.digest} has more than the {self._descriptor.size} bytes"
                " that its manifest says"
            )
        self._hash.update(data)
        return data

    def finish(self) -> None:
        """Read what is left, and verify all.

        Raises:
            InvalidArgumentError: it is shorter than the descriptor says, or something else.
        """
        while self.read(CHUNK_BYTES):
            pass
        if self._left or self._hash.hexdigest() != self._wanted:
            raise InvalidArgumentError(
                f"layer {self._descriptor.digest} is not what its digest says"
            )


def decompressed(blob: Readable, budget: Budget) -> Readable:
    """What a blob unfolds to, counted: gzip, zstd, or what it is.

    Its `read` raises InvalidArgumentError where the compression is broken or followed by garbage.
    """
    head = b""
    while len(head) < len(_ZSTD_MAGIC) and (data := blob.read(len(_ZSTD_MAGIC) - len(head))):
        head += data
    whole = _Prefixed(head, blob)
    if head.startswith(_GZIP_MAGIC):
        return _Counted(_Gzip(whole), budget)
    if head == _ZSTD_MAGIC:
        return _Counted(_Zstd(whole), budget)
    return _Counted(whole, budget)


class _Prefixed:
    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._rest.read(size)


class _Counted:
    def __init__(self, source: Readable, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._budget.take_bytes(len(data))
        return data


class _Gzip:
    """One gzip member after another, as the format allows; never more unfolded than asked for."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._input = b""

    def read(self, size: int, /) -> bytes:
        while True:
            self._input = self._input or self._source.read(CHUNK_BYTES)
            if self._member.eof:
                if not self._input:
                    return b""
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            try:
                # without input, too: it may hold back what did not fit the last time
                data = self._member.decompress(self._input, size)
            except zlib.error as error:
                raise InvalidArgumentError(f"layer is no valid gzip: {error}") from error
            if not self._input and not data and not self._member.eof:
                raise InvalidArgumentError("layer ends in the middle of its gzip data")
            self._input = self._member.unconsumed_tail or self._member.unused_data
            if data:
                return data


class _Zstd:
    def __init__(self, source: Any) -> None:
        # Imported by those alone who meet such a layer: it costs milliseconds.
        import zstandard  # noqa: PLC0415

        self._error: Any = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        self._reader: Any = decompressor.stream_reader(source, read_across_frames=True)

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except self._error as error:
            raise InvalidArgumentError(f"layer is no valid zstd: {error}") from error
        return data
