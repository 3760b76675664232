"""Where an OCI runtime sends the master side of the terminal that it has made for a process.

Rules: the socket lies in the bundle, which is removed with its container whatever happens; its name
goes by way of a descriptor, since bundles have longer paths than a socket may (unix(7), sun_path).
Source: runc docs/terminals.md, "detached", "new terminal".
"""

import contextlib
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from shim.errdefs import InternalError
from shim.process.child_streams import ChildStreams
from shim.process.terminal import Terminal

_numbers = itertools.count()

# One call of the runtime's that makes a process: its stdio, the path of its console socket or
# nothing, and the monotonic time before the call.
Making = Callable[[Sequence[int], str], Awaitable[float]]


async def with_stdio(
    bundle: Path, streams: ChildStreams, terminal: Terminal | None, make: Making
) -> float:
    """Have a process made that gets these streams, as they are or by a terminal of its own.

    Raises:
        InternalError: it was not made, or its terminal was not sent.
    """
    if terminal is None:
        begun = await make(streams.child_fds, "")
        streams.close_child_fds()
        return begun
    with contextlib.closing(ConsoleSocket(bundle)) as console:
        begun = await make((), console.path)
        terminal.attach(console.receive())
        return begun


class ConsoleSocket:
    """One socket, for one terminal."""

    def __init__(self, bundle: Path) -> None:
        self._directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"console-{next(_numbers)}.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(f"/proc/self/fd/{self._directory}/{self._name}")
            self._listener.listen(1)
            # The runtime has sent it, or never will, when its call ends.
            self._listener.setblocking(False)  # noqa: FBT003 (the socket API's)
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """How another process reaches it."""
        return f"/proc/{os.getpid()}/fd/{self._directory}/{self._name}"

    def receive(self) -> int:
        """The terminal's master, which the runtime has sent.

        Raises:
            InternalError: it has sent none.
        """
        try:
            connection, _ = self._listener.accept()
            with connection:
                _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        except OSError as error:
            raise InternalError(
                f"the OCI runtime has sent no terminal: {error.strerror}"
            ) from error
        if len(fds) != 1:
            raise InternalError("the OCI runtime has sent no terminal")
        os.set_inheritable(fds[0], False)  # noqa: FBT003 (os's)
        return fds[0]

    def close(self) -> None:
        """Remove it."""
        self._listener.close()
        try:
            os.unlink(self._name, dir_fd=self._directory)
        except OSError:
            pass
        finally:
            os.close(self._directory)
