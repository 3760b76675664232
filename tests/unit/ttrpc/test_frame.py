"""Frames survive any split of the stream and any bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import ResourceExhaustedError
from shim.ttrpc.frame import (
    HEADER,
    MAX_MESSAGE_BYTES,
    Frame,
    FrameReader,
    MessageType,
    Oversized,
    encode_frame,
)

frames = st.builds(
    Frame,
    stream_id=st.integers(0, 0xFFFFFFFF),
    type=st.integers(0, 255),
    flags=st.integers(0, 255),
    data=st.binary(max_size=64),
)


def feed(stream: bytes, cuts: list[int]) -> tuple[list[Frame | Oversized], FrameReader]:
    reader = FrameReader()
    found: list[Frame | Oversized] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        found += reader.receive_data(stream[start:end])
    return found, reader


@given(st.lists(frames, max_size=8), st.lists(st.integers(0, 1000), max_size=20))
def test_frames_come_back_whatever_the_split(sent: list[Frame], cuts: list[int]) -> None:
    found, reader = feed(b"".join(map(encode_frame, sent)), cuts)
    assert found == sent
    assert reader.buffered == 0


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=20))
def test_hostile_bytes_give_the_same_whatever_the_split(stream: bytes, cuts: list[int]) -> None:
    whole, reader = feed(stream, [])
    split, other = feed(stream, cuts)
    assert split == whole
    assert other.buffered == reader.buffered


@given(st.integers(1, 5), st.integers(1, 1 << 20))
def test_oversized_data_is_reported_discarded_and_followed_by_the_next_frame(
    over: int, chunk: int
) -> None:
    length = MAX_MESSAGE_BYTES + over
    after = Frame(9, MessageType.REQUEST, 0, b"after")
    body = bytes(length) + encode_frame(after)
    reader = FrameReader()
    found = reader.receive_data(HEADER.pack(length, 7, MessageType.REQUEST, 0))
    assert found == [Oversized(7, MessageType.REQUEST, length)]
    held = 0
    for start in range(0, len(body), max(chunk, 4096)):
        found += reader.receive_data(body[start : start + max(chunk, 4096)])
        held = max(held, reader.buffered)
    assert found[1:] == [after]
    assert held < HEADER.size + len(after.data)


def test_oversized_frame_in_one_piece() -> None:
    length = MAX_MESSAGE_BYTES + 1
    after = Frame(9, MessageType.REQUEST, 0, b"")
    stream = HEADER.pack(length, 7, 1, 0) + bytes(length) + encode_frame(after)
    assert FrameReader().receive_data(stream) == [Oversized(7, 1, length), after]


def test_largest_frame_passes_and_one_byte_more_is_refused() -> None:
    largest = Frame(1, MessageType.RESPONSE, 0, bytes(MAX_MESSAGE_BYTES))
    assert FrameReader().receive_data(encode_frame(largest)) == [largest]
    with pytest.raises(ResourceExhaustedError, match="4194305 bytes is over the limit"):
        encode_frame(Frame(1, MessageType.RESPONSE, 0, bytes(MAX_MESSAGE_BYTES + 1)))


def test_header_layout() -> None:
    encoded = encode_frame(Frame(0x01020304, MessageType.DATA, 0x05, b"ab"))
    assert encoded == bytes([0, 0, 0, 2, 1, 2, 3, 4, 3, 5]) + b"ab"
