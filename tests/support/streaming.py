"""Exec, attach and port-forward sessions with CRI's streaming server, as a kubelet has them.

CRI's Exec, Attach and PortForward answer with a URL on the node's loopback. A client upgrades an
HTTP request there to SPDY/3.1 and opens one stream per channel (k8s.io/kubelet, pkg/cri/streaming;
a kubelet hands its callers' bytes on in the same form). SPDY and not WebSocket, since there only
does every containerd let a client end standard input and read on.

A session has no thread: whoever waits for something reads meanwhile.
"""

import json
import re
import select
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support import network
from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.pods import Container, Pod

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
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
        deadline = time.monotonic() + timeout
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


class Session:
    """An exec or an attach under way: standard streams, and the terminal's size."""

    def __init__(self, namespace: Path, url: str, *, stdin: bool, tty: bool) -> None:
        """Connect and open the streams that the CRI call asked for."""
        self._connection = Connection(namespace, url, "v4.channel.k8s.io")
        names = ["error", "stdin" if stdin else "", "stdout"]
        names += ["resize"] if tty else ["stderr"]
        self._streams = {
            name: self._connection.open({"streamtype": name}) for name in filter(None, names)
        }
        self._connection.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, text: str | bytes) -> None:
        """Type something."""
        data = text.encode() if isinstance(text, str) else text
        self._connection.send(self._streams["stdin"], data)

    def end_stdin(self) -> None:
        """Let the other side read the end of standard input; its output goes on."""
        self._connection.send(self._streams["stdin"], b"", last=True)

    def resize(self, width: int, height: int) -> None:
        """Tell the terminal's size in columns and lines."""
        size = json.dumps({"Width": width, "Height": height}).encode()
        self._connection.send(self._streams["resize"], size)

    @property
    def stdout(self) -> str:
        """What has been read of it; a terminal's line ends are made plain."""
        return self._text("stdout")

    @property
    def output(self) -> bytes:
        """What has been read of standard output, as it came."""
        return bytes(self._streams["stdout"].data)

    @property
    def stderr(self) -> str:
        """What has been read of it; empty with a terminal."""
        return self._text("stderr")

    @property
    def ended(self) -> bool:
        """Whether the other side has hung up."""
        return self._connection.ended

    def read_until(self, pattern: str, timeout: float = 20.0) -> "re.Match[str]":
        """Read until standard output holds a regular expression; the timeout is in seconds.

        Raises:
            TimeoutError: it did not come in time.
            StreamingError: the session ended without it.
        """

        def found() -> "re.Match[str] | None":
            return re.search(pattern, self.stdout, re.MULTILINE)

        self._until(lambda: bool(found()) or self.ended, f"{pattern!r} in {self.stdout!r}", timeout)
        match = found()
        if match is None:
            raise StreamingError(f"no {pattern!r} in {self.stdout!r}, {self.stderr!r}")
        return match

    def wait(self, timeout: float = 20.0) -> int:
        """Read until the program has ended; the timeout is in seconds.

        Returns:
            Its exit code.

        Raises:
            TimeoutError: it did not end in time.
            StreamingError: the session ended in another way; the text is the server's, if any.
        """
        self.read_all(timeout)
        text = self._text("error")
        if not text.startswith("{"):
            raise StreamingError(text or "hung up")
        status = json.loads(text)
        if status["status"] == "Success":
            return 0
        for cause in status.get("details", {}).get("causes", []):
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise StreamingError(status["message"])

    def read_some(self) -> None:
        """Read what is there already."""
        while self._connection.pump(0):
            pass

    def read_all(self, timeout: float = 20.0) -> None:
        """Read until the other side has ended every stream; the timeout is in seconds."""
        ends = [stream for name, stream in self._streams.items() if name not in ("stdin", "resize")]
        self._until(lambda: all(stream.ended for stream in ends), "end of the session", timeout)

    def close(self) -> None:
        """Hang up, as a client does whose user presses Ctrl-P Ctrl-Q or goes away."""
        self._connection.close()

    def _text(self, name: str) -> str:
        stream = self._streams.get(name)
        return stream.data.decode(errors="replace").replace("\r\n", "\n") if stream else ""

    def _until(self, done: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left < 0:
                raise TimeoutError(f"no {what} within {timeout:g} s; {self.stdout!r}")
            self._connection.pump(min(left, 0.5))


def exec_session(
    containerd: Containerd,
    container: Container,
    *command: str,
    stdin: bool = False,
    tty: bool = False,
) -> Session:
    """Start a command in a container, as `kubectl exec` does, with -i and -t or without."""
    request = api.ExecRequest(
        container_id=container.id, cmd=command, stdin=stdin, tty=tty, stdout=True, stderr=not tty
    )
    url = containerd.cri.call(request, api.ExecResponse).url
    return Session(containerd.room.network, url, stdin=stdin, tty=tty)


def attach_session(
    containerd: Containerd, container: Container, *, stdin: bool = False, tty: bool = False
) -> Session:
    """Join a running container's streams, as `kubectl attach` does."""
    request = api.AttachRequest(
        container_id=container.id, stdin=stdin, tty=tty, stdout=True, stderr=not tty
    )
    url = containerd.cri.call(request, api.AttachResponse).url
    return Session(containerd.room.network, url, stdin=stdin, tty=tty)


def forward(
    containerd: Containerd, pod: Pod, port: int, request: bytes, timeout: float = 20.0
) -> bytes:
    """Send bytes to a port of a pod, as `kubectl port-forward` does, and read the whole answer.

    Raises:
        StreamingError: the pod could not be reached; the text is the server's.
        TimeoutError: no end of the answer after so many seconds.
    """
    call = api.PortForwardRequest(pod_sandbox_id=pod.id, port=[port])
    url = containerd.cri.call(call, api.PortForwardResponse).url
    connection = Connection(containerd.room.network, url, "portforward.k8s.io")
    try:
        headers = {"port": str(port), "requestid": "0"}
        error = connection.open({"streamtype": "error", **headers})
        data = connection.open({"streamtype": "data", **headers})
        connection.settle()
        connection.send(error, b"", last=True)
        connection.send(data, request)
        deadline = time.monotonic() + timeout
        while not (data.ended and error.ended):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of the answer from port {port}")
            connection.pump(0.5)
        if error.data:
            raise StreamingError(error.data.decode(errors="replace"))
        return bytes(data.data)
    finally:
        connection.close()
