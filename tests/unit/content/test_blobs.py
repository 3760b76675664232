"""Blobs that arrive in pieces: whole and verified, or refused."""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.content.blobs import Blob, read_whole
from shim.errdefs import InvalidArgumentError
from shim.oci.descriptors import Descriptor


def descriptor_of(data: bytes, size: int | None = None) -> Descriptor:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Descriptor("application/wasm", digest, len(data) if size is None else size)


def blob(pieces: list[bytes], descriptor: Descriptor) -> BinaryIO:
    return cast("BinaryIO", Blob(iter(pieces), descriptor))


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_pieces_of_any_size_are_one_file(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    descriptor = descriptor_of(whole)
    assert read_whole(blob(pieces, descriptor), descriptor) == whole
    file, read = blob(pieces, descriptor), b""
    while piece := file.read(size):
        assert len(piece) <= size
        read += piece
    assert read == whole


def test_blob_longer_than_its_descriptor_says_is_never_handed_out() -> None:
    seen = []

    def endless() -> Iterator[bytes]:
        while True:
            seen.append(1)
            yield b"abcd"

    descriptor = descriptor_of(b"", 10)
    with pytest.raises(InvalidArgumentError, match=r"more bytes than the 10 .*pull it again"):
        read_whole(cast("BinaryIO", Blob(endless(), descriptor)), descriptor)
    assert len(seen) == 3


def test_blob_shorter_than_its_descriptor_says_is_refused() -> None:
    descriptor = descriptor_of(b"abc", 4)
    with pytest.raises(InvalidArgumentError, match="fewer bytes than the 4"):
        read_whole(blob([b"abc"], descriptor), descriptor)


def test_blob_of_other_bytes_is_refused() -> None:
    descriptor = descriptor_of(b"abc")
    with pytest.raises(InvalidArgumentError, match=descriptor.digest):
        read_whole(blob([b"xyz"], descriptor), descriptor)


def test_closing_asks_for_no_more() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    file = cast("BinaryIO", Blob(pieces(), descriptor_of(b"ab")))
    assert file.read(1) == b"a"
    file.close()
    file.close()
    assert closed == [True]
