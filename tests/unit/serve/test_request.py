"""Requests from bytes: what is read, in whatever pieces it comes, and what is refused."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.serve.request import MAX_FIELDS, BadRequest, Message, RequestReader

GET = b"GET /a?b=c HTTP/1.1\r\nHost: here:80\r\nX-A: 1\r\nx-a:  2 \r\nAccept: */*\r\n\r\n"
CHUNKED = (
    b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\r\n"
    b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
)


def reader(max_header_bytes: int = 4096, max_body_bytes: int = 1000) -> RequestReader:
    return RequestReader(max_header_bytes, max_body_bytes)


def read(*pieces: bytes) -> list[Message]:
    source = reader()
    for piece in pieces:
        source.feed(piece)
    found = []
    while message := source.next():
        found.append(message)
    return found


def refusal(*pieces: bytes) -> int:
    with pytest.raises(BadRequest) as caught:
        read(*pieces)
    return caught.value.status


def test_a_request() -> None:
    (message,) = read(GET)
    assert message.method == b"GET"
    assert message.target == b"/a?b=c"
    assert message.authority == b"here:80"
    assert message.fields == [(b"x-a", b"1"), (b"x-a", b"2"), (b"accept", b"*/*")]
    assert message.complete
    assert message.keep_alive
    assert not message.chunks


def test_what_belongs_to_the_connection_is_not_the_guests() -> None:
    head = (
        b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\nkeep-alive: 1\r\nte: trailers\r\n\r\n"
    )
    (message,) = read(head)
    assert message.fields == [(b"te", b"trailers")]
    assert not message.keep_alive
    assert message.wants_trailers


@given(st.lists(st.integers(1, len(CHUNKED) - 1)))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(CHUNKED)]
    (message,) = read(*(CHUNKED[a:b] for a, b in itertools.pairwise(edges)))
    assert b"".join(message.chunks) == b"hello world"
    assert message.trailers == [(b"x-t", b"1")]
    assert message.complete


def test_requests_that_come_together() -> None:
    first, second, third = read(GET + CHUNKED + GET)
    assert (first.method, second.method, third.method) == (b"GET", b"POST", b"GET")
    assert b"".join(second.chunks) == b"hello world"


def test_a_head_without_its_body() -> None:
    source = reader()
    source.feed(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
    message = source.next()
    assert message is not None
    assert (message.expects_continue, message.complete) == (True, False)
    source.feed(b"hello")
    assert (message.expects_continue, message.complete) == (True, True)
    assert list(message.chunks) == [b"hello"]


def test_whether_a_request_has_begun() -> None:
    source = reader()
    for piece, begun in ((b"\r\n", False), (b"G", True), (GET[1:], False), (GET + b"GE", True)):
        source.feed(piece)
        assert source.begun == begun


def test_http_1_0() -> None:
    (message,) = read(b"GET / HTTP/1.0\r\n\r\n")
    assert not message.is_http_1_1
    assert not message.keep_alive
    assert message.authority is None


def test_an_upgrade_is_the_last_request_of_its_connection() -> None:
    source = reader()
    source.feed(GET[:-2] + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n" + GET)
    message = source.next()
    assert message is not None
    assert (message.complete, message.keep_alive) == (True, False)
    assert source.next() is None


def test_absolute_form() -> None:
    (message,) = read(b"GET http://there:1?x HTTP/1.1\r\nhost: here\r\n\r\n")
    assert (message.authority, message.target) == (b"there:1", b"/?x")
    (message,) = read(b"OPTIONS * HTTP/1.1\r\nhost: here\r\n\r\n")
    assert message.target == b"*"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"host: h", *fields, b"", body))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        # RFC 9112, 11.2: a length that two readers could understand differently
        (post(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"), 400),
        (post(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"), 400),
        (post(b"content-length: 5", b"content-length: 6", body=b"hello!"), 400),
        (post(b"content-length: 5", b"content-length: 5", body=b"hello"), 400),
        (post(b"content-length: 5, 5", body=b"hello"), 400),
        (post(b"content-length: +5", body=b"hello"), 400),
        (post(b"content-length: -5", body=b"hello"), 400),
        (post(b"content-length: 0x5", body=b"hello"), 400),
        (post(b"content-length : 5", body=b"hello"), 400),
        (post(b"transfer-encoding : chunked", body=b"0\r\n\r\n"), 400),
        (post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n"), 501),
        (post(b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"), 400),
        (post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
        (post(b"transfer-encoding:\x0bchunked", body=b"0\r\n\r\n"), 400),
        (post(b"transfer-encoding: chunked", b"transfer-encoding: chunked"), 400),
        (post(b"transfer-encoding: chunked", body=b"x\r\n"), 400),
        (post(b"transfer-encoding: chunked", body=b"-1\r\n"), 400),
        (post(b"transfer-encoding: chunked", body=b"0x5\r\nhello\r\n"), 400),
        (post(b"transfer-encoding: chunked", body=b"5\r\nhelloX\r\n"), 400),
        (post(b"transfer-encoding: chunked", body=b"5\nhello\n0\n\n"), 400),
        (post(b"transfer-encoding: chunked", body=b"f" * 17 + b"\r\n"), 400),
        (post(b"x: a\r\n  folded"), 400),
        (post(b"x: a\rb"), 400),
        (post(b"x: a\0b"), 400),
        (post(b"no colon"), 400),
        (post(b"expect: tea"), 417),
        (post(b"connection: upgrade", b"upgrade: h2c", b"content-length: 5", body=b"hello"), 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (post(b"content-length: 1001"), 413),
        (post(b"transfer-encoding: chunked", body=b"3e9\r\n" + b"a" * 1001), 413),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 501),
        (b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),
        (b"GET /" + b"a" * 5000, 431),
        (b"GET / HTTP/1.1\r\nhost: h\r\n" + b"x: y\r\n" * (MAX_FIELDS + 2), 431),
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes, status: int) -> None:
    assert refusal(data) == status
    # one byte at a time it is no better
    assert refusal(*(data[n : n + 1] for n in range(len(data)))) == status


def test_a_refused_connection_stays_refused() -> None:
    source = reader()
    with pytest.raises(BadRequest):
        source.feed(b"nonsense\r\n\r\n")
    with pytest.raises(BadRequest):
        source.feed(GET)


def test_a_good_request_before_a_bad_one_is_answered() -> None:
    source = reader()
    source.feed(GET + b"nonsense\r\n\r\n")
    assert source.next() is not None
    assert source.next() is None
    with pytest.raises(BadRequest):
        source.feed(b"more")


def test_a_line_without_an_end_is_refused() -> None:
    assert refusal(b"GET / HTTP/1.1\r\nhost: h\r\nx: ", *[b"a" * 1000] * 10) == 431


def test_endless_trailers_and_chunk_extensions_are_refused() -> None:
    head = post(b"transfer-encoding: chunked", body=b"1\r\na\r\n0\r\n")
    assert refusal(head, *[b"x: y\r\n"] * (MAX_FIELDS + 2)) == 431
    head = post(b"transfer-encoding: chunked", body=b"1;")
    assert refusal(head, *[b"a" * 1000] * 10) == 431


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_of_bytes(data: bytes) -> None:
    source = reader(max_header_bytes=100)
    with contextlib.suppress(BadRequest):
        source.feed(data)


def test_every_byte_is_counted_once() -> None:
    """Refused ones, too: they have come all the same."""
    counts: list[int] = []
    one = RequestReader(1000, 1000, counts.append)
    one.feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(BadRequest):
        one.feed(b"no header\r\n\r\n")
    assert counts == [16, 13]
