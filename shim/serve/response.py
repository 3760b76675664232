"""Writes answers in HTTP/1.1: the head, and how the body is framed.

Rules: no I/O. Sources: RFC 9110 6.4.1 and 8.6, RFC 9112 6.1, 6.3 and 7.1.
"""

import http
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from shim.engine.http.fields import Field
from shim.serve.request import Message

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"
_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}


class Framing(Enum):
    """How the client learns where a body ends."""

    NONE = "there is no body"
    LENGTH = "by its length"
    CHUNKED = "by an empty chunk"
    CLOSE = "by the end of the connection"


@dataclass(frozen=True, slots=True)
class Head:
    """A head: its bytes, the framing, the body's length where known, whether we go on after it."""

    data: bytes
    framing: Framing
    length: int | None
    keep_alive: bool


class BadAnswer(Exception):  # noqa: N818 - the guest's, not ours
    """The guest's answer cannot be sent; the client gets `status` in its place."""

    def __init__(self, reason: str, status: int = 500) -> None:
        super().__init__(reason)
        self.status = status


def build_head(
    status: int,
    fields: Sequence[Field],
    message: Message,
    *,
    body_bytes: int | None,
    keep_alive: bool,
) -> Head:
    """The head of an answer.

    Args:
        status: of the answer, final.
        fields: of the answer.
        message: the request.
        body_bytes: the length of the body, where it is known already.
        keep_alive: whether the connection may go on, as far as the server is concerned.

    Raises:
        BadAnswer: its lengths contradict each other.
    """
    declared = _declared(fields)
    keep_alive = keep_alive and message.keep_alive
    framing, length = _framing(status, message, declared, body_bytes)
    keep_alive = keep_alive and framing is not Framing.CLOSE
    lines = [b"HTTP/1.1 %d %s" % (status, _REASONS.get(status, b""))]
    dated = False
    for name, value in fields:
        if name == b"content-length":
            continue
        dated = dated or name == b"date"
        lines.append(name + b": " + value)
    if length is not None and status != 204:
        lines.append(b"content-length: %d" % length)
    elif framing is Framing.CHUNKED:
        lines.append(b"transfer-encoding: chunked")
    if not dated:
        lines.append(_date())
    if not keep_alive:
        lines.append(b"connection: close")
    elif not message.is_http_1_1:
        lines.append(b"connection: keep-alive")
    lines.append(b"\r\n")
    return Head(b"\r\n".join(lines), framing, length, keep_alive)


def plain_answer(
    status: int, *, keep_alive: bool, head_only: bool = False, fields: Sequence[Field] = ()
) -> bytes:
    """A whole answer of our own: the status is all it says."""
    body = b"%d %s\n" % (status, _REASONS[status])
    fields = ((b"content-type", b"text/plain"), *fields)
    return whole_answer(status, fields, body, keep_alive=keep_alive, head_only=head_only)


def whole_answer(
    status: int, fields: Sequence[Field], body: bytes, *, keep_alive: bool, head_only: bool
) -> bytes:
    """A whole answer of our own."""
    lines = [
        b"HTTP/1.1 %d %s" % (status, _REASONS[status]),
        *(name + b": " + value for name, value in fields),
        b"content-length: %d" % len(body),
        _date(),
    ]
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join((*lines, b"", b"" if head_only else body))


def end_of_chunks(trailers: Sequence[Field]) -> bytes:
    """The empty chunk, and the trailers."""
    if not trailers:
        return END_OF_CHUNKS
    lines = (name + b": " + value + b"\r\n" for name, value in trailers)
    return b"0\r\n" + b"".join(lines) + b"\r\n"


def _framing(
    status: int, message: Message, declared: int | None, body_bytes: int | None
) -> tuple[Framing, int | None]:
    length = body_bytes if declared is None else declared
    if message.method == b"HEAD" or status in {204, 304}:
        return Framing.NONE, declared
    if length is not None:
        return Framing.LENGTH, length
    return (Framing.CHUNKED if message.is_http_1_1 else Framing.CLOSE), None


def _declared(fields: Sequence[Field]) -> int | None:
    values = {value.strip() for name, value in fields if name == b"content-length"}
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > 18:
        raise BadAnswer("the guest's content-length is not one number")
    return int(value)


_dates: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    global _dates  # noqa: PLW0603 (one assignment of a whole pair: every thread sees either)
    now = int(time.time())
    second, line = _dates
    if second != now:
        line = time.strftime("date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)).encode()
        _dates = now, line
    return line
