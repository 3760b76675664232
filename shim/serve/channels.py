"""Pairs of FIFOs through which bodies reach a guest and leave it.

Rules: wasmtime opens them by name, so they lie in a tmpfs of their own that no path of the guest
leads to: it is mounted nowhere, and is the working directory of this process. A pair serves one
request at a time, and another only when nobody holds an end of it any more: the kernel then has
forgotten what was in it.
"""

import errno
import os
import queue
import time
from dataclasses import dataclass

from shim.kernel import constants as c
from shim.kernel.libc import LINUX, Kernel

_MODE = 0o666
_LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Channel:
    """A pair: `source` carries the request's body to the guest, `sink` the answer's from it."""

    source: bytes
    sink: bytes

    def open_sink(self) -> int:
        """Our end of `sink`, to read from; does not block."""
        return os.open(self.sink, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def open_source(self) -> int:
        """Our end of `source`, to write to; does not block, and needs nobody at the other end."""
        # Linux opens a FIFO for both at once, which a writer without a reader needs: fifo(7).
        return os.open(self.source, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def is_idle(self) -> bool:
        """Whether nobody reads `source` any more."""
        try:
            os.close(os.open(self.source, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise
        return False


class Channels:
    """All pairs of a server."""

    def __init__(self, count: int, kernel: Kernel = LINUX) -> None:
        """Make them; before the jail, which forbids it."""
        attributes = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
        self._directory = kernel.new_tmpfs(("mode=0755", "size=64k"), attributes, "body channels")
        self._free: queue.SimpleQueue[Channel] = queue.SimpleQueue()
        for number in range(count):
            channel = Channel(b"i%d" % number, b"o%d" % number)
            for name in (channel.source, channel.sink):
                os.mkfifo(name, dir_fd=self._directory)
                # whatever user the guest is going to be, and whatever mask was inherited
                os.chmod(name, _MODE, dir_fd=self._directory)
            self._free.put(channel)

    def enter(self) -> None:
        """Make the names of the pairs work, in the jail."""
        os.fchdir(self._directory)
        os.close(self._directory)

    def acquire(self, timeout_s: float) -> Channel | None:
        """A pair that nobody holds; None if there is none in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                channel = self._free.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if channel.is_idle():
                return channel
            # Its guest has ended, and wasmtime lets go of it in a moment; nobody tells when.
            self._free.put(channel)
            if time.monotonic() > deadline:
                return None
            time.sleep(_LOOK_S)

    def release(self, channel: Channel) -> None:
        """Give a pair back; our ends are closed."""
        self._free.put(channel)
