"""A ttrpc client for tests: one socket, no thread, any number of calls in flight.

`begin` sends a call, `finish` waits for its answer and keeps the answers of other calls for later.
"""

import select
import socket
import time
from typing import TypeVar

from google.protobuf.message import Message

from shim.ttrpc.connection import ClientConnection, ResponseReceived
from shim.ttrpc.frame import Frame, FrameReader, Oversized

M = TypeVar("M", bound=Message)
CALL_TIMEOUT_S = 20.0


class RpcError(Exception):
    """The call was answered with a status; `code` is google.rpc.Code's number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"code {code}: {message}")
        self.code = code
        self.message = message


class ClosedError(Exception):
    """The shim closed the connection."""


def dial(address: str) -> socket.socket:
    """Connect as containerd does: one connect(2), no retry."""
    assert address.startswith("unix:///"), address
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.removeprefix("unix://"))
    except OSError:
        sock.close()
        raise
    return sock


class TtrpcClient:
    """One connection to a shim."""

    def __init__(self, address: str) -> None:
        self._socket = dial(address)
        self._connection = ClientConnection()
        self._answers: dict[int, ResponseReceived] = {}
        self.closed = False

    def close(self) -> None:
        self._socket.close()

    def begin(self, service: str, method: str, request: Message, timeout_ns: int = 0) -> int:
        """Send a call and return its stream id."""
        payload = request.SerializeToString()
        stream_id, data = self._connection.send_request(service, method, payload, timeout_ns)
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as err:
            self.closed = True
            raise ClosedError(method) from err
        return stream_id

    def finish(self, stream_id: int, into: type[M], timeout_s: float = CALL_TIMEOUT_S) -> M:
        """Wait for the answer of one call."""
        deadline = time.monotonic() + timeout_s
        while stream_id not in self._answers:
            if not self._receive(deadline - time.monotonic()):
                raise TimeoutError(f"no answer on stream {stream_id} after {timeout_s} s")
        answer = self._answers.pop(stream_id)
        if answer.code != 0:
            assert answer.payload == b"", "the payload beside an error must be empty"
            raise RpcError(answer.code, answer.message)
        return into.FromString(answer.payload)

    def answered(self, stream_id: int, within_s: float = 0.0) -> bool:
        """Tell whether the answer of a call arrives in that time."""
        deadline = time.monotonic() + within_s
        while stream_id not in self._answers:
            if not self._receive(max(0.0, deadline - time.monotonic())):
                return False
        return True

    def call(self, service: str, method: str, request: Message, into: type[M]) -> M:
        return self.finish(self.begin(service, method, request), into)

    def _receive(self, timeout_s: float) -> bool:
        if self.closed:
            raise ClosedError("connection closed by the shim")
        readable, _, _ = select.select([self._socket], [], [], max(0.0, timeout_s))
        if not readable:
            return False
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            raise ClosedError("connection closed by the shim")
        for answer in self._connection.receive_data(data):
            self._answers[answer.stream_id] = answer
        return True


class RawConnection:
    """A connection that sends whatever bytes a test wants and reads frames."""

    def __init__(self, address: str) -> None:
        self._socket = dial(address)
        self._socket.settimeout(CALL_TIMEOUT_S)
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> Frame:
        """Return the next frame; raises `ClosedError` when the shim hung up."""
        while not self._frames:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ClosedError("connection closed by the shim")
            for frame in self._reader.receive_data(data):
                assert not isinstance(frame, Oversized)
                self._frames.append(frame)
        return self._frames.pop(0)
