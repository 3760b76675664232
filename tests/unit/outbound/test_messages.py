"""Messages that are passed on: framing is said anew, and never copied."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.outbound.messages import Answered, Asked, BadMessageError, Head, chunk, end_of_chunks

SAID = b"HTTP/1.1 200 OK\r\nA: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "lines"),
    [
        (Head(b"GET", b"/", b"a", (), has_body=False), b""),
        (Head(b"POST", b"/", b"a", (), has_body=False), b"content-length: 0\r\n"),
        (Head(b"POST", b"/", b"a", (), has_body=True), b"transfer-encoding: chunked\r\n"),
        (
            Head(b"POST", b"/", b"a", ((b"content-length", b"3"),), has_body=True),
            b"content-length: 3\r\n",
        ),
        (Head(b"GET", b"/", b"a", ((b"content-length", b"3"),), has_body=False), b""),
        (
            Head(b"GET", b"/", b"a", ((b"host", b"b"), (b"te", b"c"), (b"x", b"y")), False),
            b"x: y\r\n",
        ),
    ],
)  # fmt: skip
def test_heads(head: Head, lines: bytes) -> None:
    start = b"%b / HTTP/1.1\r\nhost: a\r\n" % head.method
    assert head.encode() == start + lines + b"connection: close\r\n\r\n"


@given(st.lists(st.integers(1, len(SAID) - 1)))
def test_answers_in_any_pieces(cuts: list[int]) -> None:
    answer = Answered(b"GET")
    places = [0, *sorted(set(cuts)), len(SAID)]
    for start, end in itertools.pairwise(places):
        answer.feed(SAID[start:end])
    assert answer.complete
    assert (answer.status, b"".join(answer.pieces)) == (200, b"abc")
    assert answer.fields == [(b"a", b"1"), (b"transfer-encoding", b"chunked")]
    assert answer.trailers == [(b"t", b"2")]


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20),
    ],
)
def test_bad_answers(said: bytes) -> None:
    with pytest.raises(BadMessageError):
        Answered(b"GET").feed(said)


def test_ends_that_are_none() -> None:
    for said in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na"):
        answer = Answered(b"GET")
        answer.feed(said)
        with pytest.raises(BadMessageError, match="hung up"):
            answer.feed_end()


def test_an_answer_to_head_has_no_body() -> None:
    answer = Answered(b"HEAD")
    answer.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    assert answer.complete


@given(st.binary(min_size=1, max_size=50))
def test_chunks_are_read_as_they_were_written(data: bytes) -> None:
    asked = Asked()
    asked.feed(b"POST /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    asked.feed(chunk(data) + end_of_chunks(((b"a", b"b"),)))
    assert asked.complete
    assert (asked.path, b"".join(asked.pieces), asked.trailers) == (b"/p", data, [(b"a", b"b")])
