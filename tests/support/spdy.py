"""SPDY/3.1 as far as CRI's streaming server speaks it: streams over an upgraded HTTP request.

Written from the protocol's draft 3.1. The server is moby/spdystream behind k8s.io/kubelet's
pkg/cri/streaming. A connection has no thread: whoever waits for something calls `pump`.
"""

import select
import struct
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.support import network
from tests.support.waiting import PATIENCE

SYN_STREAM, SYN_REPLY, RST_STREAM, PING = 1, 2, 3, 6
CONTROL = 0x80030000
FIN = 1


class StreamingError(Exception):
    """The streaming server refused a session, or ended it in the middle of something."""


@dataclass
class Stream:
    """One direction or both of a channel; `data` is what has come so far."""

    number: int
    data: bytearray = field(default_factory=bytearray)
    accepted: bool = False
    ended: bool = False


class Connection:
    """An upgraded connection that carries streams."""

    def __init__(self, namespace: Path, url: str, protocol: str) -> None:
        """Connect from a network namespace.

        Args:
            namespace: whose loopback the URL means.
            url: as CRI gave it; good for one connection.
            protocol: what the streams mean, such as "v4.channel.k8s.io".

        Raises:
            StreamingError: the server does not switch; the text is its answer.
        """
        parts = urlsplit(url)
        self._socket = network.connect(namespace, parts.hostname or "", parts.port or 80)
        self._socket.settimeout(20)
        self._packer = zlib.compressobj()
        self._buffer = bytearray()
        self._streams: dict[int, Stream] = {}
        self.ended = False
        try:
            self._upgrade(parts.path, parts.netloc, protocol)
        except BaseException:
            self._socket.close()
            raise

    def _upgrade(self, path: str, host: str, protocol: str) -> None:
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
            "Content-Length: 0",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer and self._receive(20):
            pass
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise StreamingError(f"{path}: {bytes(self._buffer).decode(errors='replace')}")
        self._buffer = bytearray(rest)

    def open(self, headers: Mapping[str, str]) -> Stream:
        """Open a stream with these headers, their names in lower case."""
        stream = Stream(2 * len(self._streams) + 1)
        self._streams[stream.number] = stream
        block = struct.pack(">I", len(headers))
        for text in (text for pair in headers.items() for text in pair):
            block += struct.pack(">I", len(text)) + text.encode()
        # Without SPDY's dictionary: Go's reader asks for it only where the data says so.
        packed = self._packer.compress(block) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self._control(SYN_STREAM, struct.pack(">IIBB", stream.number, 0, 0, 0) + packed)
        return stream

    def settle(self, timeout: float = 20.0) -> None:
        """Wait until the server has taken every stream; the timeout is in seconds.

        A client that hangs up earlier leaves a containerd that waits for ever to write to it.
        """
        deadline = time.monotonic() + timeout * PATIENCE
        while not all(stream.accepted for stream in self._streams.values()):
            if self.ended or time.monotonic() > deadline:
                raise StreamingError("the server does not take the streams")
            self.pump(0.5)

    def send(self, stream: Stream, data: bytes, *, last: bool = False) -> None:
        """Send bytes; with `last`, nothing more will come: the other side reads its end."""
        for start in range(0, max(len(data), 1), 1 << 15):
            part = data[start : start + (1 << 15)]
            flags = FIN if last and start + len(part) == len(data) else 0
            head = struct.pack(">II", stream.number, flags << 24 | len(part))
            self._socket.sendall(head + part)

    def pump(self, timeout: float) -> bool:
        """Take in what arrives within so many seconds; whether anything did."""
        arrived = self._receive(timeout)
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                break
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            self._take(first, second >> 24, payload)
        return arrived

    def close(self) -> None:
        """Hang up."""
        self.ended = True
        self._socket.close()

    def _control(self, kind: int, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">II", CONTROL | kind, len(payload)) + payload)

    def _take(self, first: int, flags: int, payload: bytes) -> None:
        number = first
        if first & 0x80000000:
            kind = first & 0xFFFF
            if kind == PING and not payload[3] & 1:
                self._control(PING, payload)
            if kind not in (SYN_REPLY, RST_STREAM):
                return
            number = struct.unpack_from(">I", payload)[0]
            payload = b""
            flags = FIN if kind == RST_STREAM else flags
        stream = self._streams.get(number)
        if stream is not None:
            stream.accepted = True
            stream.data += payload
            stream.ended |= bool(flags & FIN)

    def _receive(self, timeout: float) -> bool:
        if self.ended or not select.select([self._socket], [], [], timeout)[0]:
            return False
        part = b""
        with suppress(ConnectionResetError):
            part = self._socket.recv(1 << 16)
        self._buffer += part
        if not part:
            self.ended = True
            for stream in self._streams.values():
                stream.ended = True
        return bool(part)
