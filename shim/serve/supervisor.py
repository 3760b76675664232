"""Several processes for one container's requests: who makes them, and replaces those that die.

Rules: the supervisor has one thread for life and runs no guest: it forks workers that have all that
was prepared, waits for their ends and for signals, and talks to the log. Workers accept from the
listening socket that they share, so that nobody's death loses who waits there. They end when the
supervisor's end of a pipe is closed, which is how it lets them drain, and are killed by its death.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

# Any of these may be the image's stop signal.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# A worker that ends sooner has served next to nobody.
QUICK_S = 5.0
QUICK_ENDS = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
_SHORTEST_REFUSED_S = 1.0
_EXIT_FORBIDDEN = 1
_EXIT_UNABLE = 125
_WITHOUT = "with [http] workers = 1 (annotation io.containerd.tandem.v1/http-workers) none is made"


class Work(Protocol):
    """What a worker is."""

    def confine(self, parent: int) -> None:
        """Close what only the supervisor needs open, and die with it; called in the worker."""

    def serve(self, listener: socket.socket, index: int, stop: int) -> int:
        """Serve until `stop` is at its end; the exit status."""


@dataclass(slots=True)
class _Place:
    """One worker's place: who is there, since when; whether somebody is to come, and when."""

    pid: int = 0
    since: float = 0.0
    due: float = 0.0


class Supervisor:
    """The process that a container with several workers begins with."""

    def __init__(
        self, work: Work, listener: socket.socket, count: int, log: Callable[[str], None]
    ) -> None:
        self._work = work
        self._listener = listener
        self._log = log
        self._places = [_Place() for _ in range(count)]
        self._quick = 0
        self._status = 0
        self._refused = False
        self._stopping = False
        self._stop, self._hold = os.pipe2(os.O_CLOEXEC)

    def run(self) -> int:
        """Until a signal says to stop and every worker has drained, or none can live; the exit
        status."""
        with self._signals() as woken:
            while not self._stopping:
                self._collect()
                self._fill()
                if not self._stopping:
                    self._wait(woken, self._next_due())
            os.close(self._hold)
            while self._collect():
                self._wait(woken, None)
        os.close(self._stop)
        return self._status

    def _fill(self) -> None:
        now = time.monotonic()
        for index, place in enumerate(self._places):
            if not self._stopping and not place.pid and place.due <= now:
                self._start(index, place)

    def _start(self, index: int, place: _Place) -> None:
        supervisor = os.getpid()
        try:
            pid = os.fork()  # noqa: TID251 (one thread, and no /proc to count them by)
        except OSError as error:
            self._refuse(index, place, error)
            return
        if pid == 0:
            self._be_worker(index, supervisor)
        self._refused = False
        place.pid, place.since = pid, time.monotonic()

    def _be_worker(self, index: int, supervisor: int) -> None:
        status = _EXIT_UNABLE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._hold)
            self._work.confine(supervisor)
            status = self._work.serve(self._listener, index, self._stop)
        except Exception as error:  # noqa: BLE001 (the last frame of this process)
            self._log(f"worker {index} cannot serve: {error}")
        finally:
            os._exit(status)

    def _refuse(self, index: int, place: _Place, error: OSError) -> None:
        """The kernel makes no process."""
        if error.errno in {errno.EAGAIN, errno.ENOMEM}:
            why = "the pids limit of the container (linux.resources.pids), or of its pod or user,"
            if error.errno == errno.ENOMEM:
                why = "the memory limit of the container"
            reason = f"{why} allows no more processes; raise it; {_WITHOUT}"
        else:
            reason = f"the seccomp profile of the container (linux.seccomp) forbids it; {_WITHOUT}"
            self._give_up(_EXIT_FORBIDDEN)
        if not self._refused:
            self._log(f"worker {index} cannot be made: {error.strerror}: {reason}")
        self._refused = True
        # Those that live serve; without any, this counts as its end would.
        if not any(other.pid for other in self._places):
            self._count_quick(_EXIT_FORBIDDEN)
        place.due = time.monotonic() + max(self._pause(), _SHORTEST_REFUSED_S)

    def _collect(self) -> bool:
        """Notice the workers that have ended; whether any are left."""
        for index, place in enumerate(self._places):
            pid, status = os.waitpid(place.pid, os.WNOHANG) if place.pid else (0, 0)
            if pid:
                place.pid = 0
                self._ended(index, place, pid, os.waitstatus_to_exitcode(status))
        return any(place.pid for place in self._places)

    def _ended(self, index: int, place: _Place, pid: int, code: int) -> None:
        if self._stopping:
            if code != 0:
                self._log(f"worker {index} (process {pid}) {_described(code)} while it drained")
            return
        now = time.monotonic()
        self._log(f"worker {index} (process {pid}) {_described(code)}; another takes its place")
        if now - place.since >= QUICK_S:
            self._quick = 0
        else:
            self._count_quick(128 - code if code < 0 else code or _EXIT_UNABLE)
        place.due = now + self._pause()

    def _count_quick(self, status: int) -> None:
        self._quick += 1
        if self._quick >= QUICK_ENDS:
            self._log(
                f"{self._quick} workers in a row ended within {QUICK_S:.0f} s: the container ends"
            )
            self._give_up(status)

    def _give_up(self, status: int) -> None:
        self._status = self._status or status
        self._stopping = True

    def _pause(self) -> float:
        """How long to wait before a replacement: the first one comes at once."""
        if self._quick < 2:
            return 0.0
        return float(min(_FIRST_PAUSE_S * 2 ** (self._quick - 2), _LONGEST_PAUSE_S))

    def _next_due(self) -> float | None:
        due = [place.due for place in self._places if not place.pid]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _wait(self, woken: socket.socket, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        if poll.poll(None if seconds is None else seconds * 1000 + 1):
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        reader, writer = socket.socketpair()
        reader.setblocking(False)  # noqa: FBT003 (the socket API's)
        writer.setblocking(False)  # noqa: FBT003 (the socket API's)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop_all)
        # Without a handler its byte would not be written.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with reader, writer:
            yield reader

    def _stop_all(self, *_: object) -> None:
        self._stopping = True


def _described(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    why = ", by the memory limit or by somebody outside" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({signal.strsignal(-code)}){why}"
