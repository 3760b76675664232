"""The lives of a pod's processes: start them, follow them to their end, tell of both.

Rules: of one process, start is told before exit; of one container, init's exit is told last, when
every process that was executed in it has been told of (containerd runtime/v2/runc/task/service.go,
handleInitExit, does so since 1.7). Whoever waits for a process learns of its end, whatever else
went wrong.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from shim.api import events_pb2, task_pb2
from shim.errdefs import NotFoundError
from shim.process.reaper import Exit
from shim.task.container import Container
from shim.task.machine import Status, Verb
from shim.task.ports import EventSink, ExitInfo, Handle, Streams
from shim.task.process import Process

# What SIGKILL does not end within this time hangs in the kernel; init's end must be told of all the
# same, or its pod would stay in Terminating.
_EXECUTED_END_S = 5.0
# As a shell has it: found, and not executable.
_EXIT_NOT_STARTED = 126

_log = structlog.get_logger()

ExecutedProcess = Process[task_pb2.ExecProcessRequest]
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Lifecycle:
    """Starts and follows; `spawn` runs a coroutine beside the caller."""

    def __init__(self, events: EventSink, spawn: Spawn) -> None:
        self._events = events
        self._spawn = spawn

    def follow(self, container: Container) -> None:
        """See a created container to its end."""
        self._spawn(self._follow(container))

    async def start(self, container: Container) -> None:
        """Let the container's init run.

        Raises:
            ShimError: the state does not allow it, or it failed.
        """
        process = container.process
        async with process.lock:
            process.check(Verb.START)
            await container.init.start()
            process.apply(Verb.START)
            self._events.publish(
                events_pb2.TaskStart(container_id=container.id, pid=container.init.pid)
            )
        if not container.init.is_alone:
            self._spawn(self._watch_oom(container))

    async def start_executed(self, container: Container, process: ExecutedProcess) -> None:
        """Make an executed process, and let it run.

        Raises:
            ShimError: why not; the process is stopped then, with nobody to tell of.
        """
        async with process.lock:
            process.check(Verb.START)
            try:
                container.check_exec()
                handle, streams = await self._execute(container, process)
            except BaseException:
                process.end(Exit(_EXIT_NOT_STARTED, time.time_ns()))
                raise
            process.apply(Verb.START)
            self._events.publish(
                events_pb2.TaskExecStarted(
                    container_id=container.id, exec_id=process.id, pid=handle.pid
                )
            )
        self._spawn(self._follow_executed(container, process, handle, streams))
        self._spawn(self._watch_oom(container))

    async def _execute(
        self, container: Container, process: ExecutedProcess
    ) -> tuple[Handle, Streams]:
        executed = await container.built.execs.build(process.request)
        process.handle, process.streams = executed.handle, executed.streams
        try:
            if process.stdin_is_closed:
                executed.streams.close_stdin()
            # Init may have ended while it was being made.
            container.check_exec()
            await executed.handle.start()
        except BaseException:
            executed.streams.close()
            await executed.handle.release()
            raise
        return executed.handle, executed.streams

    async def _follow(self, container: Container) -> None:
        process, init = container.process, container.init
        ended = await init.exited
        container.has_ended = True
        async with process.lock:
            try:
                await self._end_executed(container)
                await init.after_exit()
                await container.built.streams.drained()
            finally:
                if container.end_oom_watch is not None:
                    container.end_oom_watch()
                self._tell_oom(container)
                self._exited(container, process, ended)
        await container.built.streams.finish()

    async def _follow_executed(
        self, container: Container, process: ExecutedProcess, handle: Handle, streams: Streams
    ) -> None:
        ended = await handle.exited
        async with process.lock:
            try:
                await streams.drained()
                # Before anybody is told: what follows may be the end of its container's bundle.
                await handle.release()
            finally:
                self._exited(container, process, ended)
        await streams.finish()

    async def _end_executed(self, container: Container) -> None:
        """End what was executed in a container whose init has ended, or is about to be."""
        ending = [asyncio.create_task(_end_one(process)) for process in container.executed.values()]
        if ending:
            done, late = await asyncio.wait(ending, timeout=_EXECUTED_END_S)
            for task in late:
                task.cancel()
            for task in done:
                if (error := task.exception()) is not None:
                    _log.warning("executed process not ended", error=str(error))

    async def _watch_oom(self, container: Container) -> None:
        """Hear of kills that init survives; of its own, its end tells.

        A task of its own, so that the start is answered first.
        """
        if not container.has_ended and container.end_oom_watch is None:
            container.end_oom_watch = container.built.group.watch_oom(
                lambda: self._tell_oom(container)
            )

    def _tell_oom(self, container: Container) -> None:
        kills = container.built.group.oom_kills()
        if kills > container.oom_kills:
            container.oom_kills = kills
            self._events.publish(events_pb2.TaskOOM(container_id=container.id))

    def _exited(self, container: Container, process: Process[Any], ended: ExitInfo) -> None:
        event = events_pb2.TaskExit(
            container_id=container.id,
            id=process.id,
            pid=process.pid,
            exit_status=ended.status,
        )
        event.exited_at.FromNanoseconds(ended.exited_at_ns)
        self._events.publish(event)
        process.end(ended)


async def _end_one(process: ExecutedProcess) -> None:
    # The lock also waits for the end of a start, which finds that init has ended.
    async with process.lock:
        if process.status is not Status.RUNNING or process.handle is None:
            return
        with contextlib.suppress(NotFoundError):
            await process.handle.kill(signal.SIGKILL, everything=False)
    await process.stopped.wait()
