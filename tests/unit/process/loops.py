"""A loop in which children are reaped, and nothing of a scenario stays open."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from shim.process.reaper import Reaper

LAST_OF_STDIO = 2


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def inherited_fds() -> set[str]:
    """What every child of this process has, whoever started the tests."""
    fds = [int(name) for name in os.listdir("/proc/self/fd")]
    # The directory that was being listed is closed by now.
    open_ones = [fd for fd in fds if Path(f"/proc/self/fd/{fd}").is_symlink()]
    return {str(fd) for fd in open_ones if fd > LAST_OF_STDIO and os.get_inheritable(fd)}


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def with_reaper(
    scenario: Callable[[Reaper], Coroutine[Any, Any, None]], timeout_s: float = 10
) -> None:
    """Run a scenario, which must give back every descriptor that it opens."""

    async def run() -> None:
        reaper = Reaper()
        loop = asyncio.get_running_loop()
        reaper.install(loop)
        before = open_fds()
        try:
            await asyncio.wait_for(scenario(reaper), timeout_s)
            assert open_fds() == before
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)

    asyncio.run(run())


class Reader:
    """The client's end of a FIFO: made, open for reading, and read inside the loop."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.data = b""
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def read_until(
        self, text: bytes | None, chunk: int = 1 << 16, pause_s: float = 0
    ) -> bytes:
        """Read until `text` was seen, or to the end of file; in pauses where it is to be slow."""
        had_writer = False
        while text is None or text not in self.data:
            try:
                got = os.read(self._fd, chunk)
            except BlockingIOError:
                had_writer = True
                await asyncio.sleep(0.001)
                continue
            self.data += got
            had_writer = had_writer or bool(got)
            if not got and had_writer:
                return self.data
            await asyncio.sleep(pause_s if got else 0.001)
        return self.data

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Writer:
    """The client's end of a stdin FIFO; to be opened when somebody reads."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = -1

    def write(self, data: bytes) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(self._fd, data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
