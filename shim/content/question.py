"""Unary gRPC calls over one HTTP/2 connection, one after the other: as much of both as a question
to containerd takes, when everything goes well.

Why not grpcio: it starts threads, so that the pod shim may not import it, and a fresh process needs
80 ms for it. Rules: pure; what is not the plain answer to the question (an error, a refusal, a
frame that nobody expected) is an `UnansweredError`, and then grpcio asks once more in a leaf, and
has the words. Headers are never read: a Go server sends a message only with status 0, and an error
without one. Sources: RFC 9113 (frames), RFC 7541 (headers that are sent are literals), gRPC's
PROTOCOL-HTTP2.md.
"""

import struct
from collections.abc import Iterator

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 1, 1, 4, 8
_HEAD = struct.Struct(">BHBBL")
_MESSAGE_HEAD = struct.Struct(">BL")
# No push, and a window that holds the largest answer, so that none has to be moved.
_MAX_ANSWER_BYTES = 4 << 20
_WINDOW = 2 * _MAX_ANSWER_BYTES
_OUR_SETTINGS = struct.pack(">HLHL", 2, 0, 4, _WINDOW)
_MAX_FRAME_BYTES = 1 << 14
# By HPACK's static table: POST, http, and the names of authority and content type. Those that
# begin with a colon have to come first.
_PSEUDO_HEADERS = b"\x83\x86\x01\x09localhost"
_HEADERS_OF_GRPC = b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
_PATH, _NEW_NAME = b"\x04", b"\x00"
_MAX_TEXT_BYTES = 126


class UnansweredError(Exception):
    """There is no plain answer."""


class Questions:
    """The client's side of one connection.

    `ask` gives the bytes to send; `receive` takes what arrives, and gives the answer once it is
    whole, and bytes to send meanwhile by `pending`.
    """

    def __init__(self, namespace: str) -> None:
        self._metadata = _literal(_NEW_NAME, b"containerd-namespace", namespace.encode())
        self._stream = -1
        self._buffer = bytearray()
        self._message = bytearray()
        self.pending = _PREFACE + _frame(_SETTINGS, 0, 0, _OUR_SETTINGS)
        self.pending += _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">L", _WINDOW))

    def ask(self, method: str, request: bytes) -> bytes:
        """The bytes of one call; `method` is "package.Service/Method".

        Raises:
            UnansweredError: it does not fit one frame.
        """
        if len(request) + _MESSAGE_HEAD.size > _MAX_FRAME_BYTES:
            raise UnansweredError("the request is too long")
        self._stream += 2
        self._message.clear()
        path = _literal(_PATH, f"/{method}".encode())
        block = _PSEUDO_HEADERS + path + _HEADERS_OF_GRPC + self._metadata
        return (
            self.take_pending()
            + _frame(_HEADERS, _END_HEADERS, self._stream, block)
            + _frame(
                _DATA, _END_STREAM, self._stream, _MESSAGE_HEAD.pack(0, len(request)) + request
            )
        )

    def take_pending(self) -> bytes:
        """What has to be sent beside a question."""
        pending, self.pending = self.pending, b""
        return pending

    def receive(self, data: bytes) -> bytes | None:
        """The answer to the last question, or None while it is not whole.

        Raises:
            UnansweredError: there will be none.
        """
        self._buffer += data
        answer = None
        for kind, flags, stream, payload in self._frames():
            if kind == _SETTINGS and not flags & _ACK:
                self.pending += _frame(_SETTINGS, _ACK, 0, b"")
            elif kind == _PING and not flags & _ACK:
                self.pending += _frame(_PING, _ACK, 0, payload)
            elif kind in {_RST_STREAM, _GOAWAY}:
                raise UnansweredError("refused")
            elif kind == _DATA and stream == self._stream:
                self._take(flags, payload)
            elif kind == _HEADERS and stream == self._stream and flags & _END_STREAM:
                answer = self._finish(flags)
        return answer

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._buffer) >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._buffer)
            size = high << 16 | low
            if size > _MAX_FRAME_BYTES:
                raise UnansweredError("a frame is larger than HTTP/2 allows unasked")
            end = _HEAD.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield kind, flags, stream & 0x7FFFFFFF, payload

    def _take(self, flags: int, payload: bytes) -> None:
        if flags & (_PADDED | _END_STREAM):
            raise UnansweredError("padding, or an end without a status")
        self._message += payload
        if len(self._message) > _MAX_ANSWER_BYTES:
            raise UnansweredError("the answer is too long")

    def _finish(self, flags: int) -> bytes:
        if len(self._message) < _MESSAGE_HEAD.size or not flags & _END_HEADERS:
            raise UnansweredError("an error, or headers in several frames")
        compressed, size = _MESSAGE_HEAD.unpack_from(self._message)
        message = bytes(self._message[_MESSAGE_HEAD.size :])
        if compressed or size != len(message):
            raise UnansweredError("not one plain message")
        return message


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _literal(head: bytes, *texts: bytes) -> bytes:
    """A header that is not indexed: its name, if `head` does not say it, and its value."""
    for text in texts:
        if len(text) > _MAX_TEXT_BYTES:
            raise UnansweredError("a header is too long")
    return head + b"".join(bytes((len(text),)) + text for text in texts)
