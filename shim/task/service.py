"""The verbs of containerd's Task service, one method each: find, act, publish, answer.

Rules: requests and responses are the API's messages, no transport; an unknown container is
NotFoundError, except for Connect, which never fails, and Shutdown; a verb that Tandem lacks is
UnimplementedError whatever it names. Events of a container come in the order create, start, exit,
delete. Source: containerd api/runtime/task/v3/shim.proto and docs/runtime-v2.md.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from google.protobuf.empty_pb2 import Empty

import shim
from shim.api import events_pb2, task_pb2
from shim.errdefs import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnimplementedError
from shim.task.container import Container
from shim.task.machine import Status, Verb
from shim.task.ports import Builder, EventSink, ExitInfo

_WIRE_STATUS = {
    Status.CREATED: task_pb2.CREATED,
    Status.RUNNING: task_pb2.RUNNING,
    Status.STOPPED: task_pb2.STOPPED,
    Status.DELETED: task_pb2.STOPPED,
}

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class TaskService:
    """All containers of one pod."""

    def __init__(
        self, builder: Builder, events: EventSink, spawn: Spawn, shut_down: Callable[[], None]
    ) -> None:
        self._builder = builder
        self._events = events
        self._spawn = spawn
        self._shut_down = shut_down
        # None reserves the id of a container that is being made.
        self._containers: dict[str, Container | None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no container is here or on its way."""
        return not self._containers

    async def create(self, request: task_pb2.CreateTaskRequest) -> task_pb2.CreateTaskResponse:
        """Make a container whose process waits for Start."""
        if request.id in self._containers:
            raise AlreadyExistsError(f"container {request.id} exists already")
        if request.checkpoint:
            raise UnimplementedError("restoring from a checkpoint is not supported")
        self._containers[request.id] = None
        try:
            built = await self._builder.build(request)
        except BaseException:
            del self._containers[request.id]
            raise
        container = Container(request, built)
        self._containers[request.id] = container
        self._events.publish(
            events_pb2.TaskCreate(
                container_id=request.id,
                bundle=request.bundle,
                rootfs=request.rootfs,
                io=events_pb2.TaskIO(
                    stdin=request.stdin,
                    stdout=request.stdout,
                    stderr=request.stderr,
                    terminal=request.terminal,
                ),
                pid=container.init.pid,
            )
        )
        self._spawn(self._follow(container))
        return task_pb2.CreateTaskResponse(pid=container.init.pid)

    async def start(self, request: task_pb2.StartRequest) -> task_pb2.StartResponse:
        """Let the container's process run."""
        container = self._find(request.id, request.exec_id)
        async with container.lock:
            container.check(Verb.START)
            await container.init.start()
            container.apply(Verb.START)
            self._events.publish(
                events_pb2.TaskStart(container_id=container.id, pid=container.init.pid)
            )
        return task_pb2.StartResponse(pid=container.init.pid)

    async def state(self, request: task_pb2.StateRequest) -> task_pb2.StateResponse:
        """Say how the container is."""
        container = self._find(request.id, request.exec_id)
        made = container.request
        response = task_pb2.StateResponse(
            id=made.id,
            bundle=made.bundle,
            pid=container.init.pid,
            status=_WIRE_STATUS[container.status],
            stdin=made.stdin,
            stdout=made.stdout,
            stderr=made.stderr,
            terminal=made.terminal,
        )
        _set_exit(response, container)
        return response

    async def wait(self, request: task_pb2.WaitRequest) -> task_pb2.WaitResponse:
        """Answer when the container's process has ended."""
        container = self._find(request.id, request.exec_id)
        await container.stopped.wait()
        response = task_pb2.WaitResponse()
        _set_exit(response, container)
        return response

    async def kill(self, request: task_pb2.KillRequest) -> Empty:
        """Signal the container's process, or all of them."""
        container = self._find(request.id, request.exec_id)
        if not 0 < request.signal < signal.NSIG:
            raise InvalidArgumentError(f"signal {request.signal} does not exist")
        container.check(Verb.KILL)
        await container.init.kill(request.signal, everything=request.all)
        return Empty()

    async def delete(self, request: task_pb2.DeleteRequest) -> task_pb2.DeleteResponse:
        """Forget a container that has ended, or never started, and give back what it holds."""
        container = self._find(request.id, request.exec_id)
        if container.status is Status.CREATED:
            with contextlib.suppress(NotFoundError):
                await container.init.kill(signal.SIGKILL, everything=False)
            await container.stopped.wait()
        async with container.lock:
            container.check(Verb.DELETE)
            await container.init.release()
            container.built.give_back()
            container.apply(Verb.DELETE)
        self._containers.pop(container.id, None)
        response = task_pb2.DeleteResponse(pid=container.init.pid)
        _set_exit(response, container)
        self._events.publish(
            events_pb2.TaskDelete(
                container_id=container.id,
                pid=response.pid,
                exit_status=response.exit_status,
                exited_at=response.exited_at,
            )
        )
        return response

    async def pids(self, request: task_pb2.PidsRequest) -> task_pb2.PidsResponse:
        """List the container's processes; init stays listed until Delete.

        containerd takes a task without any for a leak and removes it.
        """
        container = self._find(request.id)
        pids = sorted({container.init.pid, *container.init.pids()})
        return task_pb2.PidsResponse(processes=[task_pb2.ProcessInfo(pid=pid) for pid in pids])

    async def close_io(self, request: task_pb2.CloseIORequest) -> Empty:
        """Let the process see the end of its stdin."""
        container = self._find(request.id, request.exec_id)
        if request.stdin:
            container.streams.close_stdin()
        return Empty()

    async def connect(self, request: task_pb2.ConnectRequest) -> task_pb2.ConnectResponse:
        """Say which process serves; ids that are no tasks are fine."""
        container = self._containers.get(request.id)
        return task_pb2.ConnectResponse(
            shim_pid=os.getpid(),
            task_pid=container.init.pid if container else 0,
            version=shim.__version__,
        )

    async def shutdown(self, request: task_pb2.ShutdownRequest) -> Empty:
        """End the shim if no container is left: otherwise it is a hint that comes too early."""
        del request
        if self.is_empty:
            self._shut_down()
        return Empty()

    async def pause(self, request: task_pb2.PauseRequest) -> Empty:
        """Not built yet."""
        raise _missing("Pause", request.id)

    async def resume(self, request: task_pb2.ResumeRequest) -> Empty:
        """Not built yet."""
        raise _missing("Resume", request.id)

    async def checkpoint(self, request: task_pb2.CheckpointTaskRequest) -> Empty:
        """Not built yet."""
        raise _missing("Checkpoint", request.id)

    async def exec(self, request: task_pb2.ExecProcessRequest) -> Empty:
        """Not built yet."""
        raise _missing("Exec", request.id)

    async def resize_pty(self, request: task_pb2.ResizePtyRequest) -> Empty:
        """Not built yet."""
        raise _missing("ResizePty", request.id)

    async def update(self, request: task_pb2.UpdateTaskRequest) -> Empty:
        """Not built yet."""
        raise _missing("Update", request.id)

    async def stats(self, request: task_pb2.StatsRequest) -> task_pb2.StatsResponse:
        """Not built yet."""
        raise _missing("Stats", request.id)

    def _find(self, container_id: str, exec_id: str = "") -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise NotFoundError(f"container {container_id} is not here")
        if exec_id:
            raise NotFoundError(f"container {container_id} has no process {exec_id}")
        return container

    async def _follow(self, container: Container) -> None:
        """See the container's process to its end, and tell of it once the start has been told
        of."""
        ended = await container.init.exited
        async with container.lock:
            try:
                await container.init.after_exit()
                await container.streams.drained()
            finally:
                # Whatever became of the others, everybody who waits must learn of this one.
                self._exited(container, ended)
        await container.streams.finish()

    def _exited(self, container: Container, ended: ExitInfo) -> None:
        container.exit = ended
        container.apply(Verb.EXIT)
        if container.built.oom_kills():
            self._events.publish(events_pb2.TaskOOM(container_id=container.id))
        event = events_pb2.TaskExit(
            container_id=container.id,
            id=container.id,
            pid=container.init.pid,
            exit_status=ended.status,
        )
        event.exited_at.FromNanoseconds(ended.exited_at_ns)
        self._events.publish(event)
        container.stopped.set()


def _set_exit(
    response: task_pb2.StateResponse | task_pb2.WaitResponse | task_pb2.DeleteResponse,
    container: Container,
) -> None:
    if container.exit is not None:
        response.exit_status = container.exit.status
        response.exited_at.FromNanoseconds(container.exit.exited_at_ns)


def _missing(verb: str, container_id: str) -> UnimplementedError:
    return UnimplementedError(f"{verb} of container {container_id} is not supported")
