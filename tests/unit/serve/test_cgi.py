"""The header that a CGI program prints, and what it cannot do with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.serve.cgi import CgiHead, CgiHeaderReader
from shim.serve.response import BadAnswer


def read(data: bytes, limit: int = 1000) -> CgiHead | None:
    return CgiHeaderReader(limit).feed(data)


@pytest.mark.parametrize(
    ("data", "status", "fields"),
    [
        (b"Content-Type: a/b\n\n", 200, [(b"content-type", b"a/b")]),
        (b"content-type:a/b \r\n\r\n", 200, [(b"content-type", b"a/b")]),
        (b"Status: 404\n\n", 404, []),
        (b"Status: 404 Not Here\nX: y\n\n", 404, [(b"x", b"y")]),
        (b"Location: /there\n\n", 302, [(b"location", b"/there")]),
        (b"Location: http://h/\nStatus: 301 M\n\n", 301, [(b"location", b"http://h/")]),
        (
            b"Set-Cookie: a\nStatus: 200\nSet-Cookie: b\n\n",
            200,
            [(b"set-cookie", b"a"), (b"set-cookie", b"b")],
        ),
        (b"Status: 200\nConnection: close\nTransfer-Encoding: chunked\n\n", 200, []),
    ],
)
def test_headers(data: bytes, status: int, fields: list[tuple[bytes, bytes]]) -> None:
    assert read(data + b"body\n\n") == CgiHead(status, fields, b"body\n\n")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\n", "neither Content-Type nor Location nor Status"),
        (b"X-A: b\n\n", "neither Content-Type nor Location nor Status"),
        (b"<html>\n", r"line '<html>' without a colon"),
        (b"Status: 200\n folded: 1\n\n", "bad line ' folded: 1'"),
        (b"Sta tus: 200\n\n", "bad line"),
        (b": x\n\n", "bad line"),
        (b"X: a\rSet-Cookie: b\n\n", r"bad line 'X: a\\rSet-Cookie: b'"),
        (b"X: a\0\n\n", "bad line"),
        (b"Status: 99\n\n", "the status '99'"),
        (b"Status: 100 Continue\n\n", "the status"),
        (b"Status: 600\n\n", "the status"),
        (b"Status: abc\n\n", "the status"),
        (b"Status:\n\n", "the status"),
        (b"Status: 2\xb300\n\n", "the status"),
        (b"A" * 1001, "larger than 1000 bytes"),
        (b"A: b\n" * 201, "larger than 1000 bytes"),
        (b"Status: 200\n" + b"A: b\n" * 200 + b"\n", "larger than 1000 bytes"),
    ],
)
def test_what_is_no_header(data: bytes, said: str) -> None:
    with pytest.raises(BadAnswer, match=said) as raised:
        read(data)
    assert raised.value.status == 500


def test_a_large_body_behind_a_small_header() -> None:
    head = read(b"Status: 200\n\n" + b"x" * 5000)
    assert head is not None
    assert len(head.rest) == 5000


@given(st.integers(1, 60))
def test_in_pieces(size: int) -> None:
    data = b"Status: 201 Made\r\nX-A: 1\r\nX-A: 2\r\n\r\nrest"
    reader, found, behind = CgiHeaderReader(1000), None, b""
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        if found is None:
            found = reader.feed(piece)
        else:
            behind += piece
    assert found is not None
    assert (found.status, found.fields) == (201, [(b"x-a", b"1"), (b"x-a", b"2")])
    assert found.rest + behind == b"rest"


@given(st.binary(max_size=200))
def test_no_value_can_end_a_line(data: bytes) -> None:
    try:
        head = read(b"Status: 200\n" + data + b"\n\n")
    except BadAnswer:
        return
    assert head is not None
    for name, value in head.fields:
        assert not set(name + value) & set(b"\r\n\0")
