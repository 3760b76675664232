"""A container's stdin, stdout and stderr: FIFOs or files that containerd names, handed over as
they are.

The container's process writes into containerd's FIFO itself; no byte passes through this process.
What stays open here is what keeps the stream alive while containerd is away: a read end of each
output, so that a writer meets no SIGPIPE, and a write end of stdin, so that a client that goes
away is no end of file.
Rules: opening never blocks (fifo(7): O_RDWR does not wait for the other side); after the process
ended, an output is closed as soon as somebody else has it open for reading, since that reader then
gets the rest and the end of file; with no reader, the bytes wait here for the next one.
"""

import asyncio
import contextlib
import os
import select
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from shim.errdefs import InvalidArgumentError, UnimplementedError

_POLL_S = 0.05
_DRAIN_POLL_S = 0.0005
# containerd's own limit for the whole of an exit's handling is 10 s.
_MAX_DRAIN_S = 1.0


class Stdio:
    """The three streams of one process; empty paths are /dev/null."""

    def __init__(self) -> None:
        self._child: list[int] = []
        self._stdin_writer: int | None = None
        # Write end and read end of each output FIFO.
        self._outputs: list[tuple[int, int]] = []

    @classmethod
    def open(cls, stdin: str, stdout: str, stderr: str, owner: tuple[int, int] = (0, 0)) -> "Stdio":
        """Open what containerd named in Create or Exec.

        `owner` is the user and group that the process will be, where it will not be root's:
        it may then open its streams anew, by /dev/stdout.

        Raises:
            InvalidArgumentError: a path is missing or neither a FIFO nor a regular file.
            UnimplementedError: a log URI of a scheme that Tandem does not serve.
        """
        streams = cls()
        try:
            streams._child.append(streams._open_input(stdin))
            streams._child.append(streams._open_output(stdout))
            streams._child.append(streams._open_output(stderr))
            if owner != (0, 0):
                streams._give_to(*owner)
        except BaseException:
            streams.close()
            raise
        return streams

    @property
    def child_fds(self) -> Sequence[int]:
        """The descriptors for 0, 1 and 2 of the process."""
        return self._child

    def close_child_fds(self) -> None:
        """The process has its copies."""
        for fd in self._child:
            os.close(fd)
        self._child = []

    def resize(self, width: int, height: int) -> None:
        """Nothing: there is no terminal."""

    def close_stdin(self) -> None:
        """Let the process see the end of its stdin once the client has closed its side, too."""
        if self._stdin_writer is not None:
            os.close(self._stdin_writer)
            self._stdin_writer = None

    async def drained(self) -> None:
        """The process ended: wait, for a while, until whoever reads its outputs has read them.

        containerd 1.6 stops reading when it learns of the exit.
        """
        pause_s, waited_s = _DRAIN_POLL_S, 0.0
        while waited_s < _MAX_DRAIN_S and any(_is_being_read(*output) for output in self._outputs):
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, _POLL_S)

    async def finish(self) -> None:
        """The process ended: let go of each output once its bytes have a reader or are read.

        stdin stays: a client may open it only now, and would wait for ever for a reader.
        """
        while True:
            self._outputs = [output for output in self._outputs if not self._let_go(*output)]
            if not self._outputs:
                return
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """Let go of everything, read or not."""
        self.close_child_fds()
        self.close_stdin()
        for write_fd, read_fd in self._outputs:
            os.close(write_fd)
            os.close(read_fd)
        self._outputs = []

    def _open_input(self, path: str) -> int:
        if not path:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if not _is_fifo(path):
            return _open(path, os.O_RDONLY)
        self._stdin_writer = _open(path, os.O_RDWR | os.O_NONBLOCK)
        return _open(path, os.O_RDONLY)

    def _open_output(self, uri: str) -> int:
        if not uri:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        scheme, separator, rest = uri.partition("://")
        path = rest if separator else uri
        if separator and scheme not in {"fifo", "file"}:
            raise UnimplementedError(f"stdio {uri[:200]}: log scheme {scheme!r} is not supported")
        if scheme == "file" and separator and not Path(path).is_fifo():
            with _named(uri):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            return _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        if not _is_fifo(path):
            return _open(path, os.O_WRONLY | os.O_APPEND)
        read_fd = _open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self._outputs.append((_open(path, os.O_WRONLY), read_fd))
        except BaseException:
            os.close(read_fd)
            raise
        return _open(path, os.O_WRONLY)

    def _give_to(self, uid: int, gid: int) -> None:
        for fd in self._child:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, uid, gid)

    @staticmethod
    def _let_go(write_fd: int, read_fd: int) -> bool:
        """Close both ends unless unread bytes would be lost; see the head of this module."""
        if _poll(read_fd, select.POLLIN) and not _has_other_reader(write_fd, read_fd):
            return False
        os.close(write_fd)
        os.close(read_fd)
        return True


def _is_being_read(write_fd: int, read_fd: int) -> bool:
    return _poll(read_fd, select.POLLIN) and _has_other_reader(write_fd, read_fd)


def _has_other_reader(write_fd: int, read_fd: int) -> bool:
    """Whether anybody else has the FIFO open for reading.

    Without our own read end, a write end that nobody reads polls POLLERR. The bytes stay in the
    pipe as long as one end is open, so our read end can come back.
    """
    os.close(read_fd)
    alone = _poll(write_fd, select.POLLERR)
    path = f"/proc/self/fd/{write_fd}"
    again = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if again != read_fd:
        os.dup2(again, read_fd, inheritable=False)
        os.close(again)
    return not alone


def _poll(fd: int, event: int) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return any(happened & event for _, happened in poll.poll(0))


def _is_fifo(path: str) -> bool:
    with _named(path):
        mode = Path(path).stat().st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISREG(mode):
        raise InvalidArgumentError(f"stdio {path[:200]} is neither a FIFO nor a file")
    return stat.S_ISFIFO(mode)


def _open(path: str, flags: int) -> int:
    with _named(path):
        return os.open(path, flags | os.O_CLOEXEC, 0o640)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the path.
        reason = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"stdio {path[:200]}: {reason}") from error
