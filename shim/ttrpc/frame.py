"""ttrpc's frames: a header of ten bytes and at most 4 MiB of data (ttrpc PROTOCOL.md).

Rules of this module: no I/O. Whatever the other side sends, the reader keeps in step by the length
in the header and never raises; data above the limit is thrown away as it arrives, so that a peer
cannot make us hold it.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from shim.errdefs import ResourceExhaustedError

MAX_MESSAGE_BYTES = 4 << 20
HEADER = struct.Struct(">IIBB")

FLAG_REMOTE_OPEN = 0x02
"""On a request: the caller will stream."""


class MessageType(IntEnum):
    """What a frame's data is."""

    REQUEST = 1
    RESPONSE = 2
    DATA = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `type` is a plain number because a peer may send one that we do not know."""

    stream_id: int
    type: int
    flags: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Oversized:
    """The header of a frame with more than `MAX_MESSAGE_BYTES` of data; the data is discarded."""

    stream_id: int
    type: int
    length: int


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame.

    Raises:
        ResourceExhaustedError: the data is longer than `MAX_MESSAGE_BYTES`.
    """
    length = len(frame.data)
    if length > MAX_MESSAGE_BYTES:
        message = f"ttrpc message of {length} bytes is over the limit of {MAX_MESSAGE_BYTES}"
        raise ResourceExhaustedError(message)
    return HEADER.pack(length, frame.stream_id, frame.type, frame.flags) + frame.data


class FrameReader:
    """Cuts a byte stream into frames. How the stream was split makes no difference."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._discard = 0

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not complete yet."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> list[Frame | Oversized]:
        """Take the next bytes of the stream and return what they complete, in order.

        `Oversized` is reported when its header is complete, before its data has been discarded.
        """
        found: list[Frame | Oversized] = []
        self._buffer += self._after_discard(data)
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            length, stream_id, kind, flags = HEADER.unpack_from(self._buffer, start)
            body = start + HEADER.size
            if length > MAX_MESSAGE_BYTES:
                found.append(Oversized(stream_id, kind, length))
                held = len(self._buffer) - body
                self._discard = max(0, length - held)
                start = body + min(length, held)
                continue
            if len(self._buffer) - body < length:
                break
            start = body + length
            found.append(Frame(stream_id, kind, flags, bytes(self._buffer[body:start])))
        del self._buffer[:start]
        return found

    def _after_discard(self, data: bytes) -> memoryview:
        dropped = min(self._discard, len(data))
        self._discard -= dropped
        return memoryview(data)[dropped:]
