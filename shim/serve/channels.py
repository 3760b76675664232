"""Pairs of FIFOs through which bodies reach a guest and leave it.

Rules: wasmtime opens them by name, so they lie in a tmpfs of their own that no path of the guest
leads to: it is mounted nowhere, and is the working directory of this process. A pair serves one
request at a time, and another only when nobody holds an end of it any more (the kernel then has
forgotten what was in it), or when the instance that holds one is to answer that, too.
"""

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from shim.kernel import constants as c
from shim.kernel.libc import LINUX, Kernel

_MODE = 0o666
_LOOK_S = 0.001


class Channel:
    """A pair: `source` carries the request's body to the guest, `sink` the answer's from it.

    `living` is the instance that has stayed with it since `since`, if one has.
    """

    def __init__(self, source: bytes, sink: bytes) -> None:
        self.source = source
        self.sink = sink
        self.living: Any = None
        self.since = 0.0

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
    """All pairs of a container's workers, `count` for each, of which a worker uses its own."""

    def __init__(
        self,
        count: int,
        workers: int = 1,
        end: Callable[[Any], None] = lambda _: None,
        kernel: Kernel = LINUX,
    ) -> None:
        """Make them; before the jail, which forbids it.

        Args:
            count: of pairs, for each worker.
            workers: how many workers there are.
            end: ends an instance that is not to stay any longer.
            kernel: for tests.
        """
        attributes = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
        self._directory = kernel.new_tmpfs(("mode=0755", "size=64k"), attributes, "body channels")
        self._count = count
        self._end = end
        for number in range(count * workers):
            for name in _names(number):
                os.mkfifo(name, dir_fd=self._directory)
                # whatever user the guest is going to be, and whatever mask was inherited
                os.chmod(name, _MODE, dir_fd=self._directory)
        self._changed = threading.Condition()
        self._free: deque[Channel] = deque()
        # those with an instance, the last one last
        self._kept: list[Channel] = []
        self.use(0)

    def use(self, worker: int) -> None:
        """Use the pairs of this worker, whose predecessor has ended."""
        numbers = range(worker * self._count, (worker + 1) * self._count)
        self._free = deque(Channel(*_names(number)) for number in numbers)

    def enter(self) -> None:
        """Make the names of the pairs work, in the jail."""
        os.fchdir(self._directory)
        os.close(self._directory)

    def acquire(self, timeout_s: float, *, with_instance: bool) -> Channel | None:
        """A pair that nobody else holds; None if there is none in time.

        Args:
            timeout_s: how long to wait.
            with_instance: one with an instance is welcome.
        """
        deadline = time.monotonic() + timeout_s
        while (channel := self._take(deadline, with_instance=with_instance)) is not None:
            if channel.living is not None:
                if with_instance:
                    return channel
                self._empty(channel)
            if channel.is_idle():
                return channel
            # Its guest has ended, and wasmtime lets go of it in a moment; nobody tells when.
            self.release(channel)
            if time.monotonic() > deadline:
                return None
            time.sleep(_LOOK_S)
        return None

    def release(self, channel: Channel) -> None:
        """Give a pair back; our ends are closed."""
        with self._changed:
            if channel.living is None:
                self._free.append(channel)
            else:
                channel.since = time.monotonic()
                self._kept.append(channel)
            self._changed.notify()

    def end_idle(self, before: float) -> bool:
        """End the instances that nobody has needed since; whether any are left."""
        while True:
            with self._changed:
                if not self._kept or self._kept[0].since >= before:
                    return bool(self._kept)
                channel = self._kept.pop(0)
            self._empty(channel)
            self.release(channel)

    def _take(self, deadline: float, *, with_instance: bool) -> Channel | None:
        with self._changed:
            while not self._free and not self._kept:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    return None
            if self._kept and (with_instance or not self._free):
                # The others stay idle, and end.
                return self._kept.pop(-1 if with_instance else 0)
            return self._free.popleft()

    def _empty(self, channel: Channel) -> None:
        living, channel.living = channel.living, None
        self._end(living)


def _names(number: int) -> tuple[bytes, bytes]:
    return b"i%d" % number, b"o%d" % number
