"""Exec, attach and port-forward sessions with CRI's streaming server, as a kubelet has them.

CRI's Exec, Attach and PortForward answer with a URL on the node's loopback. A client upgrades an
HTTP request there to SPDY/3.1 and opens one stream per channel (k8s.io/kubelet, pkg/cri/streaming;
a kubelet hands its callers' bytes on in the same form). SPDY and not WebSocket, since there only
does every containerd let a client end standard input and read on.

A session has no thread: whoever waits for something reads meanwhile.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.pods import Container, Pod
from tests.support.spdy import Connection, StreamingError
from tests.support.waiting import PATIENCE


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
        deadline = time.monotonic() + timeout * PATIENCE
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
        deadline = time.monotonic() + timeout * PATIENCE
        while not (data.ended and error.ended):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of the answer from port {port}")
            connection.pump(0.5)
        if error.data:
            raise StreamingError(error.data.decode(errors="replace"))
        return bytes(data.data)
    finally:
        connection.close()
