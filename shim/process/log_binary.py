"""A container whose output a program takes: the `binary://` log URI of nerdctl and others.

The process gets pipes, and the program their other ends as its descriptors 3 and 4; it says on
descriptor 5 that it is ready. Rules: its environment holds the container's id and namespace alone;
it is given the end of file when the process has ended, and signalled when that is deleted. Source:
containerd runtime/v2/logging/logging.go and runtime/v2/README.md "Logging".
"""

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from shim.errdefs import DeadlineExceededError, InvalidArgumentError
from shim.process.reaper import Exit, Reaper
from shim.process.stdio import Stdio

SCHEME = "binary://"
_READY_TIMEOUT_S = 10.0
_DRAIN_POLL_S = 0.002
_MAX_DRAIN_S = 1.0
_KILL_AFTER_S = 12.0


@dataclass(frozen=True, slots=True)
class _Program:
    pid: int
    exited: asyncio.Future[Exit]

    @property
    def is_there(self) -> bool:
        return not self.exited.done()

    def signal(self, number: signal.Signals) -> None:
        # Its end, not its number: that may be another child's when a signal comes late.
        if self.is_there:
            os.kill(self.pid, number)


class LogBinary:
    """The streams of one process, and the program that takes its output."""

    def __init__(self, stdin: Stdio, program: "_Program", writers: Sequence[int]) -> None:
        self._stdin = stdin
        self._program = program
        self._child = [os.dup(stdin.child_fds[0]), *(os.dup(fd) for fd in writers)]
        # Held so that the program sees the end only when the process is gone, and all is read.
        self._writers = list(writers)

    @classmethod
    async def open(
        cls, stdin: str, uri: str, container_id: str, namespace: str, reaper: Reaper
    ) -> "LogBinary":
        """Start the program that a URI names, and wait until it is ready.

        Raises:
            InvalidArgumentError: it cannot be executed, or stdin cannot be opened.
            DeadlineExceededError: it does not say that it is ready within 10 s.
        """
        argv = _command(uri)
        env = {"CONTAINER_ID": container_id, "CONTAINER_NAMESPACE": namespace}
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            source = Stdio.open(stdin, "", "")
            undo.callback(source.close)
            readers, writers = [], []
            for _ in range(2):
                reader, writer = os.pipe2(os.O_CLOEXEC)
                theirs.callback(os.close, reader)
                undo.callback(os.close, writer)
                readers.append(reader)
                writers.append(writer)
            ready, ready_writer = os.pipe2(os.O_CLOEXEC)
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for fd in (ready, null):
                theirs.callback(os.close, fd)
            try:
                program = _Program(
                    *reaper.spawn(argv, env, (null, null, null, *readers, ready_writer))
                )
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise InvalidArgumentError(
                    f"log program {argv[0][:200]} cannot be executed: {reason}"
                ) from error
            finally:
                os.close(ready_writer)
            undo.callback(program.signal, signal.SIGKILL)
            await _wait_until_ready(ready, argv[0])
            undo.pop_all()
            return cls(source, program, writers)

    @property
    def child_fds(self) -> Sequence[int]:
        """The descriptors for 0, 1 and 2 of the process."""
        return self._child

    def close_child_fds(self) -> None:
        """The process has its copies."""
        for fd in self._child:
            os.close(fd)
        self._child = []
        self._stdin.close_child_fds()

    def close_stdin(self) -> None:
        """Let the process see the end of its stdin once the client has closed its side, too."""
        self._stdin.close_stdin()

    def resize(self, width: int, height: int) -> None:
        """Nothing: there is no terminal."""

    async def drained(self) -> None:
        """The process ended: wait, for a while, until the program has read everything."""
        waited_s = 0.0
        while waited_s < _MAX_DRAIN_S and any(_holds_unread(fd) for fd in self._writers):
            await asyncio.sleep(_DRAIN_POLL_S)
            waited_s += _DRAIN_POLL_S

    async def finish(self) -> None:
        """The process ended: let the program see the end of its inputs."""
        self._close_writers()
        await self._stdin.finish()

    def close(self) -> None:
        """Let go of everything; the program gets SIGTERM, and SIGKILL 12 s later."""
        self.close_child_fds()
        self._close_writers()
        self._stdin.close()
        if self._program.is_there:
            self._program.signal(signal.SIGTERM)
            loop = asyncio.get_running_loop()
            loop.call_later(_KILL_AFTER_S, self._program.signal, signal.SIGKILL)

    def _close_writers(self) -> None:
        for fd in self._writers:
            os.close(fd)
        self._writers = []


def _command(uri: str) -> list[str]:
    parts = urlsplit(uri)
    words = [
        word for pair in parse_qsl(parts.query, keep_blank_values=True) for word in pair if word
    ]
    if not Path(parts.path).is_absolute():
        raise InvalidArgumentError(f"log URI {uri[:200]} names no program by its absolute path")
    return [parts.path, *words]


async def _wait_until_ready(ready: int, program: str) -> None:
    """Until there is a byte, or the end of file: who closes it is ready as well."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(ready, readable.set)
    try:
        await asyncio.wait_for(readable.wait(), _READY_TIMEOUT_S)
    except TimeoutError:
        raise DeadlineExceededError(
            f"log program {program[:200]} is not ready after {_READY_TIMEOUT_S:g} s: it must write"
            " to, or close, its descriptor 5"
        ) from None
    finally:
        loop.remove_reader(ready)


def _holds_unread(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLERR)
    if any(happened & select.POLLERR for _, happened in poll.poll(0)):
        # Nobody can read it any more.
        return False
    (unread,) = struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return bool(unread)
