"""Compression by content, counted and bounded."""

import gzip
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, ResourceExhaustedError
from shim.unpack.streams import Budget, Readable, decompressed


def drain(stream: Readable, step: int = 1000) -> bytes:
    parts = []
    while data := stream.read(step):
        assert len(data) <= step
        parts.append(data)
    return b"".join(parts)


@given(st.binary(max_size=5000), st.integers(1, 3000))
def test_what_was_compressed_comes_back(data: bytes, step: int) -> None:
    halves = gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])
    for packed in (gzip.compress(data), halves, zstandard.compress(data)):
        assert drain(decompressed(io.BytesIO(packed), Budget(5000, 1)), step) == data


@pytest.mark.parametrize("data", [b"", b"a", b"abcd", b"\x1f", b"plain " * 1000])
def test_what_is_not_compressed_stays(data: bytes) -> None:
    assert drain(decompressed(io.BytesIO(data), Budget(1 << 20, 1))) == data


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_count_is_of_what_unfolds(compress: object) -> None:
    assert callable(compress)
    packed = compress(bytes(10_000))
    assert drain(decompressed(io.BytesIO(packed), Budget(10_000, 1))) == bytes(10_000)
    with pytest.raises(ResourceExhaustedError, match="more than 9999 bytes"):
        drain(decompressed(io.BytesIO(packed), Budget(9_999, 1)))


def test_window_of_zstd_is_bounded() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = writer.compress(b"x" * 1000) + writer.flush()
    with pytest.raises(InvalidArgumentError, match="zstd"):
        drain(decompressed(io.BytesIO(packed), Budget(1 << 20, 1)))


@given(st.sampled_from([b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b""]), st.binary())
def test_any_bytes(head: bytes, rest: bytes) -> None:
    try:
        drain(decompressed(io.BytesIO(head + rest), Budget(1 << 20, 1)))
    except (InvalidArgumentError, ResourceExhaustedError):
        return
