"""The two messages that a relay passes on, piece by piece: HTTP/1.1, each parsed and said anew.

Rules: pure. Nothing of one side's framing reaches the other unseen: lengths and chunks are the
parser's to understand, and ours to write. Sources: RFC 9112 6 and 7, RFC 9110 15.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httptools

Field = tuple[bytes, bytes]

MAX_HEAD_BYTES = 256 << 10
# Said about one connection alone: RFC 9110 7.6.1. What is said of the body's framing is said anew.
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"upgrade",
     b"host")
)  # fmt: skip
_EXPECT_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
_END = b"0\r\n"


class BadMessageError(Exception):
    """A server's or our own wasmtime's bytes are no HTTP."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a request to the server begins with."""

    method: bytes
    path: bytes
    authority: bytes
    fields: Sequence[Field]
    has_body: bool

    def encode(self) -> bytes:
        """Its bytes."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.path), b"host: " + self.authority]
        lines += [
            b"%b: %b" % field
            for field in self.fields
            if field[0] not in _OF_THE_CONNECTION
            and (self.has_body or field[0] != b"content-length")
        ]
        if self.is_chunked:
            lines.append(b"transfer-encoding: chunked")
        elif not self.has_body and self.method in _EXPECT_BODY:
            lines.append(b"content-length: 0")
        lines += [b"connection: close", b"", b""]
        return b"\r\n".join(lines)

    @property
    def is_chunked(self) -> bool:
        """Whether the body is written in chunks, because nobody says how long it is."""
        return self.has_body and all(name != b"content-length" for name, _ in self.fields)


def chunk(data: bytes) -> bytes:
    """A piece of a body that is written in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def end_of_chunks(trailers: Sequence[Field]) -> bytes:
    """The end of such a body."""
    return _END + b"".join(b"%b: %b\r\n" % field for field in trailers) + b"\r\n"


class Body:
    """A message that comes in: `pieces` of its body so far, and whether it is `complete`."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.fields: list[Field] = []
        self.trailers: list[Field] = []
        self.head_done = False
        self.complete = False
        self._head_bytes = 0

    def feed_counted(self, parser: Any, data: bytes) -> None:
        """Parse bytes.

        Raises:
            BadMessageError: they are no HTTP, or the head does not end.
        """
        if not self.head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + (64 << 10):
                raise BadMessageError("the header has no end")
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            # What comes behind the end of the one message is nobody's.
            if not self.complete:
                raise BadMessageError(str(error)) from error

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer."""
        (self.trailers if self.head_done else self.fields).append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        """A piece."""
        if not self.complete:
            self.pieces.append(data)


class Asked(Body):
    """The request that wasmtime makes of the relay: its path is a password, the body a guest's."""

    def __init__(self) -> None:
        super().__init__()
        self.path = b""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse bytes; see `feed_counted`."""
        self.feed_counted(self._parser, data)

    def on_url(self, path: bytes) -> None:
        """A piece of the path."""
        self.path += path

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.head_done = True

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.complete = True


class Answered(Body):
    """The server's answer to a request with this method."""

    def __init__(self, method: bytes) -> None:
        super().__init__()
        self.status = 0
        self._bodiless = method == b"HEAD"
        self._until_end = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Parse bytes; see `feed_counted`."""
        self.feed_counted(self._parser, data)

    def feed_end(self) -> None:
        """The server has hung up.

        Raises:
            BadMessageError: before the end of its answer.
        """
        if self.head_done and self._until_end:
            self.complete = True
        if not self.complete:
            raise BadMessageError("the server has hung up before the end of its answer")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            if self.status == 101:
                raise BadMessageError("the server changes the protocol, which nobody asked for")
            return
        self.head_done = True
        names = {name for name, _ in self.fields}
        self._until_end = not names & {b"content-length", b"transfer-encoding"}
        if self._bodiless:
            self.complete = True

    def on_message_complete(self) -> None:
        """The answer is whole, or one that only announces another."""
        if self.head_done:
            self.complete = True
        else:
            self.fields.clear()
