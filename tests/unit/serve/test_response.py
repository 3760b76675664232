"""Answers in bytes: framing, and what is added to the guest's header."""

import pytest

from shim.engine.http.fields import Field
from shim.serve.request import Message
from shim.serve.response import (
    BadAnswer,
    Framing,
    Head,
    build_head,
    end_of_chunks,
    plain_answer,
    whole_answer,
)


def head(
    *fields: Field,
    status: int = 200,
    message: Message | None = None,
    body_bytes: int | None = None,
    keep_alive: bool = True,
) -> Head:
    return build_head(
        status, fields, message or Message(b"GET"), body_bytes=body_bytes, keep_alive=keep_alive
    )


def lines(found: Head) -> list[bytes]:
    """Without the date, which is always there."""
    text = found.data
    assert text.endswith(b"\r\n\r\n")
    every = text[:-4].split(b"\r\n")
    assert sum(line.startswith(b"date: ") for line in every) == 1
    return [line for line in every if not line.startswith(b"date: ")]


def test_a_body_that_is_known() -> None:
    found = head((b"a", b"1"), body_bytes=3)
    assert lines(found) == [b"HTTP/1.1 200 OK", b"a: 1", b"content-length: 3"]
    assert (found.framing, found.length, found.keep_alive) == (Framing.LENGTH, 3, True)


def test_a_body_that_is_not_known_yet() -> None:
    found = head()
    assert lines(found) == [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked"]
    assert found.framing is Framing.CHUNKED
    old = head(message=Message(b"GET", is_http_1_1=False))
    assert lines(old) == [b"HTTP/1.1 200 OK", b"connection: close"]
    assert (old.framing, old.keep_alive) == (Framing.CLOSE, False)


def test_the_guests_length_counts() -> None:
    found = head((b"content-length", b"10"), (b"content-length", b"10"), body_bytes=3)
    assert lines(found) == [b"HTTP/1.1 200 OK", b"content-length: 10"]
    assert found.length == 10


@pytest.mark.parametrize("values", [(b"1", b"2"), (b"x",), (b"-1",), (b"1" * 19,)])
def test_lengths_that_are_none(values: tuple[bytes, ...]) -> None:
    with pytest.raises(BadAnswer):
        head(*((b"content-length", value) for value in values))


def test_answers_without_a_body() -> None:
    found = head((b"content-length", b"10"), message=Message(b"HEAD"), body_bytes=0)
    assert lines(found) == [b"HTTP/1.1 200 OK", b"content-length: 10"]
    assert found.framing is Framing.NONE
    found = head((b"content-length", b"10"), status=204)
    assert lines(found) == [b"HTTP/1.1 204 No Content"]
    assert head(status=304).framing is Framing.NONE


def test_the_end_of_the_connection_is_announced() -> None:
    assert b"connection: close" in lines(head(keep_alive=False))
    assert b"connection: close" in lines(head(message=Message(b"GET", keep_alive=False)))
    old = head(message=Message(b"GET", is_http_1_1=False), body_bytes=0)
    assert b"connection: keep-alive" in lines(old)


def test_the_guests_date_stays() -> None:
    found = head((b"date", b"then"))
    assert found.data.count(b"date: ") == 1
    assert b"date: then\r\n" in found.data


def test_a_status_without_a_name() -> None:
    assert lines(head(status=799, body_bytes=0))[0] == b"HTTP/1.1 799 "


def test_trailers() -> None:
    assert end_of_chunks(()) == b"0\r\n\r\n"
    assert end_of_chunks([(b"a", b"1")]) == b"0\r\na: 1\r\n\r\n"


def test_answers_of_our_own() -> None:
    answer = plain_answer(503, keep_alive=False)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n503 Service Unavailable\n")
    assert b"\r\nallow: GET\r\n" in plain_answer(405, keep_alive=True, fields=((b"allow", b"GET"),))
    assert plain_answer(500, keep_alive=True, head_only=True).endswith(b"\r\n\r\n")


def test_whole_answers_of_our_own() -> None:
    fields = ((b"content-type", b"text/x"),)
    answer = whole_answer(200, fields, b"body", keep_alive=True, head_only=False)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ncontent-length: 4\r\n")
    assert answer.endswith(b"\r\n\r\nbody")
    assert b"connection" not in answer
    without = whole_answer(200, fields, b"body", keep_alive=True, head_only=True)
    assert without == answer.removesuffix(b"body")
