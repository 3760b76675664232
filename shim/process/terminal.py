"""The streams of a process that has a terminal: its master side is here, and copied to and from
what containerd named.

The slave comes from an OCI runtime's console socket, or from `open_pty` for a Wasm instance. Rules:
as for the other streams, nothing that the process wrote before its end is lost, and what it left
running in the background does not keep its streams open (containerd runtime/v2/runc/platform.go,
ShutdownConsole). Source: pty(7), ioctl_tty(2).
"""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Sequence

from shim.process.child_streams import ChildStreams
from shim.process.pump import Pump

_MAX_DRAIN_S = 1.0


class Terminal:
    """A terminal over the streams that containerd named; the process's stderr is its stdout."""

    def __init__(self, outer: ChildStreams, *, has_stdin: bool) -> None:
        self._outer = outer
        self._has_stdin = has_stdin
        self._master: int | None = None
        self._slave: int | None = None
        self._size: tuple[int, int] | None = None
        self._input: Pump | None = None
        self._output: Pump | None = None

    @property
    def child_fds(self) -> Sequence[int]:
        """The slave, where `open_pty` has made it; otherwise nothing is for the process."""
        return (self._slave,) * 3 if self._slave is not None else ()

    def open_pty(self) -> None:
        """Make a terminal of our own, for a process that this one forks."""
        master, self._slave = os.openpty()
        self.attach(master)

    def attach(self, master: int) -> None:
        """Copy from and to the terminal from now on; `master` belongs to this object then."""
        self._master = master
        if self._size is not None:
            self.resize(*self._size)
        stdin, stdout, _ = self._outer.child_fds
        self._output = Pump(master, stdout)
        if self._has_stdin:
            self._input = Pump(stdin, master)

    def close_child_fds(self) -> None:
        """The process has its copies."""
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def resize(self, width: int, height: int) -> None:
        """Change the size in characters; the foreground process gets SIGWINCH."""
        self._size = width, height
        if self._master is not None:
            size = struct.pack("=4H", height & 0xFFFF, width & 0xFFFF, 0, 0)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def close_stdin(self) -> None:
        """Stop reading what containerd named, once its client has closed it; the terminal stays."""
        self._outer.close_stdin()

    async def drained(self) -> None:
        """The process ended: copy what the terminal still holds, if somebody takes it."""
        if self._output is not None:
            # The kernel answers a read of an empty terminal only after it has moved what was
            # written to the other side: drivers/tty/n_tty.c, n_tty_read.
            self._output.end_when_empty()
            await asyncio.wait([self._output.done], timeout=_MAX_DRAIN_S)
        await self._outer.drained()

    async def finish(self) -> None:
        """The process ended: close the terminal when it is empty, then let go of the rest."""
        if self._output is not None:
            await self._output.done
        self._close_terminal()
        self._outer.close_child_fds()
        await self._outer.finish()

    def close(self) -> None:
        """Let go of everything."""
        self._close_terminal()
        self._outer.close()

    def _close_terminal(self) -> None:
        self.close_child_fds()
        for pump in (self._input, self._output):
            if pump is not None:
                pump.stop()
        if self._master is not None:
            os.close(self._master)
            self._master = None
