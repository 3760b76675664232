"""Requests and answers survive the way; bytes that nobody sent on purpose are refused."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.daemon.request import (
    MAX_STDIN_BYTES,
    MAX_STRINGS_BYTES,
    REQUEST_HEAD_BYTES,
    Answer,
    Request,
    body_bytes,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from shim.errdefs import InvalidArgumentError

MAGIC = 0x314D4454
words = st.binary(max_size=30).filter(lambda word: b"\0" not in word).map(os.fsdecode)
requests = st.builds(
    Request,
    argv=st.lists(words, max_size=5).map(tuple),
    env=st.lists(words, max_size=5).map(tuple),
    cwd=words,
    stdin=st.binary(max_size=100),
)


def split(data: bytes) -> tuple[bytes, bytes]:
    return data[:REQUEST_HEAD_BYTES], data[REQUEST_HEAD_BYTES:]


@given(requests)
def test_request_there_and_back(request: Request) -> None:
    head, body = split(encode_request(request))
    assert body_bytes(head) == len(body)
    assert decode_request(head, body) == request


def test_request_bytes_are_what_the_c_launcher_writes() -> None:
    request = Request(("shim", "start"), ("A=1",), "/b", b"in")
    strings = b"/b\0shim\0start\0A=1\0"
    head = struct.pack("<5I", MAGIC, 2, 1, len(strings), 2)
    assert encode_request(request) == head + strings + b"in"


@given(st.binary(min_size=REQUEST_HEAD_BYTES, max_size=REQUEST_HEAD_BYTES), st.binary(max_size=99))
def test_request_hostile_bytes_are_refused_by_name(head: bytes, body: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="magic"):
        body_bytes(head)
    with pytest.raises(InvalidArgumentError):
        decode_request(head, body)


@given(requests, st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4), st.binary())
def test_request_hostile_counts_are_refused_or_harmless(
    request: Request, counts: list[int], tail: bytes
) -> None:
    head = struct.pack("<5I", MAGIC, *counts)
    _, body = split(encode_request(request))
    try:
        decode_request(head, body + tail)
    except InvalidArgumentError:
        return
    assert len(body + tail) == body_bytes(head)


@pytest.mark.parametrize(
    ("strings", "stdin"), [(MAX_STRINGS_BYTES + 1, 0), (0, MAX_STDIN_BYTES + 1), (2**32 - 1,) * 2]
)
def test_request_that_announces_too_much_is_refused_before_it_is_read(
    strings: int, stdin: int
) -> None:
    with pytest.raises(InvalidArgumentError, match="larger"):
        body_bytes(struct.pack("<5I", MAGIC, 1, 1, strings, stdin))


@given(requests, st.data())
def test_request_cut_short_is_refused(request: Request, data: st.DataObject) -> None:
    head, body = split(encode_request(request))
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(InvalidArgumentError, match="cut short"):
        decode_request(head, body[:cut])


def test_request_env_map_drops_what_is_no_assignment() -> None:
    request = Request((), ("A=1=2", "nonsense", "B=", "=x"), "/")
    assert request.env_map() == {"A": "1=2", "B": "", "": "x"}


@given(st.integers(0, 255), st.binary(max_size=99), st.binary(max_size=99))
def test_answer_there_and_back(status: int, stdout: bytes, stderr: bytes) -> None:
    answer = Answer(status, stdout, stderr)
    assert decode_answer(encode_answer(answer)) == answer


@given(st.binary(max_size=20), st.binary(max_size=20), st.data())
def test_answer_that_is_not_whole_is_none(out: bytes, err: bytes, data: st.DataObject) -> None:
    encoded = encode_answer(Answer(0, out, err))
    assert decode_answer(encoded[: data.draw(st.integers(0, len(encoded) - 1))]) is None
    assert decode_answer(encoded + b"x") is None
