"""Collects every child of the pod shim, its own and those it adopts as subreaper.

runc's and crun's container processes become our children when `create` ends; only whoever reaps
them learns how they ended. Rules: the one place that calls waitpid; no thread; a process is
signalled by pid only while it is unreaped here, so its pid cannot be another's. Source: prctl(2)
PR_SET_CHILD_SUBREAPER, waitpid(2).
"""

import asyncio
import fcntl
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Adopted processes may end before anybody asks for them; of more than these, nobody ever will.
_MAX_UNCLAIMED = 512


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its exit code, or 128 + the signal; wall time in ns since the epoch."""

    status: int
    exited_at_ns: int


class Reaper:
    """Tells who asks how its process ended."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Exit]] = {}
        self._unclaimed: OrderedDict[int, tuple[Exit, float]] = OrderedDict()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to reap."""
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def watch(self, pid: int) -> asyncio.Future[Exit]:
        """The end of a child that this process has just forked: call it before the loop runs
        again."""
        self._unclaimed.pop(pid, None)
        future: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._waiting[pid] = future
        return future

    def adopt(self, pid: int, since: float) -> asyncio.Future[Exit]:
        """The end of a process that became our child after `since` (time.monotonic()), maybe
        ended."""
        ended = self._unclaimed.pop(pid, None)
        future = self.watch(pid)
        if ended is not None and ended[1] >= since:
            del self._waiting[pid]
            future.set_result(ended[0])
        return future

    def is_unreaped(self, pid: int) -> bool:
        """Whether this pid still means the process that is watched."""
        return pid in self._waiting

    def _reap(self) -> None:
        while True:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(raw)
            ended = Exit(code if code >= 0 else 128 - code, time.time_ns())
            future = self._waiting.pop(pid, None)
            if future is not None:
                if not future.done():
                    future.set_result(ended)
                continue
            self._unclaimed[pid] = (ended, time.monotonic())
            while len(self._unclaimed) > _MAX_UNCLAIMED:
                self._unclaimed.popitem(last=False)

    def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], fds: Sequence[int], program: str = ""
    ) -> tuple[int, asyncio.Future[Exit]]:
        """Start a program, argv's first word if none is named, with these descriptors as its 0, 1,
        2 and so on.

        Raises:
            OSError: it cannot be executed.
        """
        # Above them first: a source descriptor may itself be one of those numbers.
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(fds)) for fd in fds]
        try:
            pid = os.posix_spawnp(
                program or argv[0],
                list(argv),
                dict(env),
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate(copies)],
                setsigdef=[signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
                setsigmask=[],
            )
        finally:
            for fd in copies:
                os.close(fd)
        return pid, self.watch(pid)
