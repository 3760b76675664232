"""Copies from one descriptor to another inside the event loop, as slowly as the slower side.

For terminals, whose bytes have to pass through this process (pty(7)). Rules: one read per turn of
the loop, so that no stream starves the calls; nothing is read that could not be written; both
descriptors belong to whoever made the pump, and may be closed when `done` is set.
"""

import asyncio
import os

_CHUNK_BYTES = 64 << 10


class Pump:
    """Runs from its construction; `done` is set at the source's end, or when either side fails."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._pending = b""
        self._ends_when_empty = False
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        for fd in (source, sink):
            os.set_blocking(fd, False)
        self._read_on()

    def end_when_empty(self) -> None:
        """Nobody writes to the source any more: end as soon as nothing is left in it."""
        self._ends_when_empty = True
        if not self._pending:
            self._read()

    def stop(self) -> None:
        """Copy nothing more; what was read and not written is lost."""
        if not self.done.done():
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._sink)
            self.done.set_result(None)

    def _read_on(self) -> None:
        try:
            self._loop.add_reader(self._source, self._read)
        except PermissionError:
            # A regular file, which epoll(7) does not take, is always readable.
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        # The loop and `end_when_empty` both ask; what the last read brought may be unwritten yet.
        if self.done.done() or self._pending:
            return
        try:
            self._pending = os.read(self._source, _CHUNK_BYTES)
        except BlockingIOError:
            if self._ends_when_empty:
                self.stop()
            return
        except OSError:
            # EIO is how a terminal's master says that nobody has the other side open.
            self._pending = b""
        if not self._pending:
            self.stop()
            return
        self._write()
        if self._pending:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._write_rest)
        elif self._ends_when_empty:
            self._loop.call_soon(self._read)
        else:
            self._read_on()

    def _write_rest(self) -> None:
        self._write()
        if not self._pending and not self.done.done():
            self._loop.remove_writer(self._sink)
            self._read_on()
            if self._ends_when_empty:
                self._loop.call_soon(self._read)

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self._sink, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""
            self.stop()
