"""The two ends of a ttrpc connection: bytes in, events out; calls in, bytes out.

Rules of this module: no I/O, no clock. A peer's mistake costs the peer that one call and never the
connection: containerd takes a lost connection for a dead shim and deletes the pod's containers.
Only unary calls are served. The payload beside an error stays empty, because Go's client decodes
it before it looks at the status.
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from shim.api import ttrpc_pb2
from shim.errdefs import ResourceExhaustedError
from shim.ttrpc.codes import Code
from shim.ttrpc.frame import (
    FLAG_REMOTE_OPEN,
    MAX_MESSAGE_BYTES,
    Frame,
    FrameReader,
    MessageType,
    Oversized,
    encode_frame,
)

MAX_ERROR_TEXT_BYTES = 16 << 10
MAX_STREAM_ID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A call to answer, once, with `send_response` or `send_error`."""

    stream_id: int
    service: str
    method: str
    payload: bytes
    timeout_ns: int
    """What is left of the caller's time: 0 for no limit, negative when it is over already."""
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is not a call; `reply` goes back to the peer as it is."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """The one answer to a request of ours. `code` is 0 for success."""

    stream_id: int
    code: int
    message: str
    payload: bytes


class ServerConnection:
    """The answering end. Each instance has its own stream ids."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._last_stream_id = 0

    def receive_data(self, data: bytes) -> list[RequestReceived | Refused]:
        """Take the next bytes from the peer; return calls and refusals in the order of arrival."""
        events = (self._event(frame) for frame in self._reader.receive_data(data))
        return [event for event in events if event is not None]

    def send_response(self, stream_id: int, payload: bytes) -> bytes:
        """Return the bytes that answer a call.

        A payload that does not fit becomes RESOURCE_EXHAUSTED: containerd 1.6 ends on a longer
        frame.
        """
        try:
            return _response(stream_id, ttrpc_pb2.Response(payload=payload))
        except ResourceExhaustedError as err:
            return self.send_error(stream_id, Code.RESOURCE_EXHAUSTED, str(err))

    def send_error(self, stream_id: int, code: int, message: str) -> bytes:
        """Return the bytes that fail a call; the text is cut to `MAX_ERROR_TEXT_BYTES`."""
        text = message.encode("utf-8", "backslashreplace")[:MAX_ERROR_TEXT_BYTES]
        status = ttrpc_pb2.Status(code=code, message=text.decode("utf-8", "ignore"))
        return _response(stream_id, ttrpc_pb2.Response(status=status))

    def _event(self, frame: Frame | Oversized) -> RequestReceived | Refused | None:
        match frame.type:
            case MessageType.REQUEST:
                return self._request(frame)
            case MessageType.DATA:
                text = f"stream {frame.stream_id} is not open for data"
                return self._refused(frame, Code.INVALID_ARGUMENT, text)
            case _:
                return None

    def _request(self, frame: Frame | Oversized) -> RequestReceived | Refused:
        if frame.stream_id % 2 == 0:
            text = f"stream id {frame.stream_id} is even: a client's ids are odd"
            return self._refused(frame, Code.INVALID_ARGUMENT, text)
        if frame.stream_id <= self._last_stream_id:
            text = f"stream id {frame.stream_id} does not follow {self._last_stream_id}"
            return self._refused(frame, Code.INVALID_ARGUMENT, text)
        self._last_stream_id = frame.stream_id
        if isinstance(frame, Oversized):
            text = f"request of {frame.length} bytes is over the limit of {MAX_MESSAGE_BYTES}"
            return self._refused(frame, Code.RESOURCE_EXHAUSTED, text)
        if frame.flags & FLAG_REMOTE_OPEN:
            return self._refused(frame, Code.UNIMPLEMENTED, "streaming calls are not served")
        try:
            request = ttrpc_pb2.Request.FromString(frame.data)
        except DecodeError:
            return self._refused(frame, Code.INVALID_ARGUMENT, "request cannot be decoded")
        return RequestReceived(
            stream_id=frame.stream_id,
            service=request.service,
            method=request.method,
            payload=request.payload,
            timeout_ns=request.timeout_nano,
            metadata=tuple((pair.key, pair.value) for pair in request.metadata),
        )

    def _refused(self, frame: Frame | Oversized, code: Code, text: str) -> Refused:
        return Refused(self.send_error(frame.stream_id, code, text))


class ClientConnection:
    """The calling end: ids 1, 3, 5 ...; every request gets at most one `ResponseReceived`."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._next_stream_id = 1
        self._waiting: set[int] = set()

    def send_request(
        self, service: str, method: str, payload: bytes, timeout_ns: int = 0
    ) -> tuple[int, bytes]:
        """Return the new call's stream id and its bytes.

        Raises:
            ResourceExhaustedError: the request is longer than a frame may be, or the connection
                has no stream id left.
        """
        stream_id = self._next_stream_id
        if stream_id > MAX_STREAM_ID:
            raise ResourceExhaustedError("ttrpc connection has no stream id left: open a new one")
        request = ttrpc_pb2.Request(
            service=service, method=method, payload=payload, timeout_nano=timeout_ns
        )
        data = request.SerializeToString()
        encoded = encode_frame(Frame(stream_id, MessageType.REQUEST, 0, data))
        self._next_stream_id += 2
        self._waiting.add(stream_id)
        return stream_id, encoded

    def receive_data(self, data: bytes) -> list[ResponseReceived]:
        """Take the next bytes from the peer; what answers no request of ours is dropped."""
        found: list[ResponseReceived] = []
        for frame in self._reader.receive_data(data):
            if frame.type == MessageType.RESPONSE and frame.stream_id in self._waiting:
                self._waiting.remove(frame.stream_id)
                found.append(_response_received(frame))
        return found


def _response(stream_id: int, response: ttrpc_pb2.Response) -> bytes:
    data = response.SerializeToString()
    return encode_frame(Frame(stream_id, MessageType.RESPONSE, 0, data))


def _response_received(frame: Frame | Oversized) -> ResponseReceived:
    if isinstance(frame, Oversized):
        text = f"response of {frame.length} bytes is over the limit of {MAX_MESSAGE_BYTES}"
        return ResponseReceived(frame.stream_id, Code.RESOURCE_EXHAUSTED, text, b"")
    try:
        response = ttrpc_pb2.Response.FromString(frame.data)
    except DecodeError:
        text = "response cannot be decoded"
        return ResponseReceived(frame.stream_id, Code.INTERNAL, text, b"")
    status = response.status
    return ResponseReceived(frame.stream_id, status.code, status.message, response.payload)
