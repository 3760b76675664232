"""Reads requests from the bytes of a connection, and refuses what is not HTTP/1.1 beyond doubt.

Rules: no I/O. The grammar is llhttp's, through httptools, in its strict mode; what it leaves to its
callers is checked here: lengths, one Host, targets, folded lines. Sources: RFC 9110, RFC 9112 (6.3
for the length of a body, 3.2 for targets, 11.2 for smuggling).
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from shim.engine.http.fields import Field

MAX_FIELDS = 200
_SPACES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_VISIBLE = re.compile(rb"[\x21-\x7e]+").fullmatch
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)([^#]*)").fullmatch
# Of the connection, and not the guest's: as in wasmtime's own server.
_HOP_BY_HOP = frozenset(
    (
        b"connection", b"host", b"http2-settings", b"keep-alive", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip


class BadRequest(Exception):  # noqa: N818 - the words of RFC 9110
    """The bytes are no request that is answered; the connection has to be closed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True, eq=False)
class Message:
    """A request, while it arrives: `chunks` are of its body and wait to be taken."""

    method: bytes = b""
    target: bytes = b""
    authority: bytes | None = None
    fields: list[Field] = field(default_factory=list)
    is_http_1_1: bool = True
    keep_alive: bool = True
    expects_continue: bool = False
    wants_trailers: bool = False
    has_head: bool = False
    complete: bool = False
    chunks: deque[bytes] = field(default_factory=deque)
    trailers: list[Field] = field(default_factory=list)
    body_bytes: int = 0
    # when its head was taken, by the monotonic clock
    began: float = 0.0
    # whether its end has been counted
    counted: bool = False


class RequestReader:
    """The requests of one connection, in order."""

    def __init__(
        self,
        max_header_bytes: int,
        max_body_bytes: int,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._count_bytes = count
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._messages: deque[Message] = deque()
        self._message = Message()
        self._header_bytes = 0
        self._progress = False
        self._unseen_bytes = 0
        self._hosts = 0
        self._has_body = False
        self._refused: BadRequest | None = None
        # whether there is a part of a request
        self.begun = False

    def next(self) -> Message | None:
        """The next request whose head is complete."""
        return self._messages.popleft() if self._messages else None

    def close(self) -> None:
        """Nothing more is read; the parser, which holds this, is let go of."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Read what has arrived.

        Raises:
            BadRequest: it is no good request; nothing more can be read.
        """
        self._count_bytes(len(data))
        if self._refused is not None:
            raise self._refused
        self._progress = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The message is complete, and what follows is not ours to read.
            self._refused = BadRequest(400, "bytes behind an upgrade that did not happen")
        except httptools.HttpParserError as error:
            if self._refused is None:
                self._refused = _refusal(error)
            # A good request before the bad one is still answered.
            if not self._messages or not self._messages[-1].complete:
                raise self._refused from error
        if self._progress:
            self._unseen_bytes = 0
        self._unseen_bytes += len(data)
        # A line without an end reaches no callback.
        if not self._progress and self._unseen_bytes > self._max_header_bytes:
            self._refused = BadRequest(431, "a line is too long")
            raise self._refused

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.begun = True

    def on_url(self, data: bytes) -> None:
        """A part of the target (httptools' callback, as the others)."""
        self._count(len(data))
        self._message.target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailers."""
        message = self._message
        self._count(len(name) + len(value))
        value = value.strip(b" \t")
        if _SPACES(value):
            self._refuse(400, "a header value holds control characters")
        fields = message.trailers if message.has_head else message.fields
        if len(fields) >= MAX_FIELDS:
            self._refuse(431, "too many header fields")
        name = name.lower()
        if name in {b"content-length", b"transfer-encoding"}:
            self._has_body = True
        if name == b"host" and not message.has_head:
            self._hosts += 1
            message.authority = value
        if name not in _HOP_BY_HOP:
            fields.append((name, value))
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            self._refuse(501, "only chunked is understood as a transfer coding")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        message = self._message
        message.method = self._parser.get_method()
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._refuse(505, "a version that is not understood")
        message.is_http_1_1 = version == "1.1"
        message.keep_alive = self._parser.should_keep_alive()
        self._check_head(message)
        if self._parser.should_upgrade():
            # It is not taken up, but the parser stops here, and reads no body either.
            message.keep_alive = False
            if self._has_body:
                self._refuse(501, "an upgrade of a request with a body")
        for name, value in message.fields:
            if name == b"expect":
                if value.lower() != b"100-continue":
                    self._refuse(417, "an expectation that is not understood")
                message.expects_continue = message.is_http_1_1
            elif name == b"te" and b"trailers" in value.lower():
                message.wants_trailers = True
            elif name == b"content-length" and int(value) > self._max_body_bytes:
                self._refuse(413, "the body is too large")
        message.has_head = True
        self._header_bytes = 0
        self._hosts = 0
        self._has_body = False
        self._messages.append(message)

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its framing."""
        self._progress = True
        message = self._message
        message.body_bytes += len(data)
        if message.body_bytes > self._max_body_bytes:
            self._refuse(413, "the body is too large")
        message.chunks.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._progress = True
        self._header_bytes = 0
        self.begun = False
        self._message.complete = True
        self._message = Message()

    def _check_head(self, message: Message) -> None:
        if self._hosts > 1 or (self._hosts == 0 and message.is_http_1_1):
            self._refuse(400, "not exactly one Host")
        if message.authority and not _VISIBLE(message.authority):
            self._refuse(400, "a Host that is none")
        if message.method == b"CONNECT":
            self._refuse(501, "not a proxy")
        target = message.target
        if not _VISIBLE(target):
            self._refuse(400, "a target with characters that it cannot have")
        if not target.startswith(b"/") and target != b"*":
            absolute = _ABSOLUTE(target)
            if absolute is None:
                self._refuse(400, "a target that is none")
            else:
                message.authority = absolute[1]
                rest = absolute[2]
                message.target = rest if rest.startswith(b"/") else b"/" + rest

    def _count(self, count: int) -> None:
        self._progress = True
        self._header_bytes += count
        if self._header_bytes > self._max_header_bytes:
            self._refuse(431, "the header is too large")

    def _refuse(self, status: int, reason: str) -> None:
        self._refused = BadRequest(status, reason)
        raise self._refused


def _refusal(error: Exception) -> BadRequest:
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return BadRequest(501, "a method that is not known")
    return BadRequest(400, str(error))
