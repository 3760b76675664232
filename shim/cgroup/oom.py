"""Noticing, while a group lives, that the kernel killed one of its processes for want of memory.

Rules: no thread; one callback for each look that sees more kills than the last; a group that goes
away ends the watch. Source: the kernel's admin-guide/cgroup-v1/memory.rst, "OOM Control", and
admin-guide/cgroup-v2.rst, "memory.events".
"""

import asyncio
import contextlib
import errno
import os
import select
from collections.abc import Callable
from pathlib import Path

from shim.cgroup.group import Cgroup
from shim.errdefs import InternalError

# v1 tells of the want of memory before it kills, and then no more: look again until it has killed.
_LOOKS_S = (0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0)
_SIZE = 4096


class OomWatch:
    """Calls `on_kill`, in the running loop, for kills that come after it was made.

    A group without an account of its memory has none to tell of, and costs nothing.
    """

    def __init__(self, cgroup: Cgroup, on_kill: Callable[[], None]) -> None:
        """Begin; raises InternalError where the kernel or a limit of this process forbids it."""
        self._cgroup = cgroup
        self._on_kill = on_kill
        self._seen = cgroup.oom_kills()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._close = contextlib.ExitStack()
        file = cgroup.file("memory.events" if cgroup.unified else "memory.oom_control")
        if file is None:
            return
        try:
            with contextlib.ExitStack() as undo:
                if cgroup.unified:
                    self._watch_v2(file, undo)
                else:
                    self._watch_v1(file, undo)
                self._close = undo.pop_all()
        except OSError as error:
            # A container that has ended already takes its group away at any moment.
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise InternalError(f"cannot watch {file}: {error.strerror}") from error

    def look(self) -> None:
        """Compare the count now: before the end of the container is told of, for example."""
        kills = self._cgroup.oom_kills()
        if kills > self._seen:
            self._seen = kills
            self._on_kill()

    def close(self) -> None:
        """Watch no more; may be called again."""
        if self._timer is not None:
            self._timer.cancel()
        self._close.close()

    def _watch_v2(self, file: Path, undo: contextlib.ExitStack) -> None:
        # Not inotify, of whose instances a user has 128 on most nodes: a changed file is "urgent"
        # to epoll, and stays so until it is read through the same descriptor. It is also always
        # readable, so that the loop is given an epoll of its own which hears of the former alone.
        events = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        undo.callback(os.close, events)
        urgent = select.epoll()
        undo.callback(urgent.close)
        os.pread(events, _SIZE, 0)
        urgent.register(events, select.EPOLLPRI | select.EPOLLET)
        self._loop.add_reader(urgent.fileno(), self._changed, urgent, events)
        undo.callback(self._loop.remove_reader, urgent.fileno())

    def _changed(self, urgent: select.epoll, events: int) -> None:
        urgent.poll(0)
        try:
            os.pread(events, _SIZE, 0)
        except OSError:
            # The group was removed.
            self.close()
        else:
            self.look()

    def _watch_v1(self, file: Path, undo: contextlib.ExitStack) -> None:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        undo.callback(os.close, event)
        control = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            register = os.open(file.with_name("cgroup.event_control"), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(register, f"{event} {control}".encode())
            finally:
                os.close(register)
        finally:
            os.close(control)
        self._loop.add_reader(event, self._out_of_memory, event, file)
        undo.callback(self._loop.remove_reader, event)

    def _out_of_memory(self, event: int, file: Path) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(event)
        if not file.exists():
            # The kernel's last word to all who watch a group that is removed.
            self.close()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._look_until_seen(self._seen, 0)

    def _look_until_seen(self, before: int, looks: int) -> None:
        self.look()
        if self._seen == before and looks < len(_LOOKS_S):
            self._timer = self._loop.call_later(
                _LOOKS_S[looks], self._look_until_seen, before, looks + 1
            )
