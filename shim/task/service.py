"""The verbs of containerd's Task service, one method each: find, act, publish, answer.

Rules: requests and responses are the API's messages, no transport; an unknown container is
NotFoundError, except for Connect, which never fails, and Shutdown. Events of a process come in the
order create, start, exit, delete (`shim.task.lifecycle` tells of start and exit). Source:
containerd api/runtime/task/v3/shim.proto and docs/runtime-v2.md.
"""

import contextlib
import os
import signal
from collections.abc import Callable

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

import shim
from shim.api import events_pb2, runc_options_pb2, task_pb2
from shim.errdefs import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ShimError,
)
from shim.task.container import Container
from shim.task.lifecycle import Lifecycle, Spawn
from shim.task.machine import Status, Verb
from shim.task.ports import Builder, EventSink


class TaskService:
    """All containers of one pod."""

    def __init__(
        self, builder: Builder, events: EventSink, spawn: Spawn, shut_down: Callable[[], None]
    ) -> None:
        self._builder = builder
        self._events = events
        self._lifecycle = Lifecycle(events, spawn)
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
        self._containers[request.id] = None
        try:
            built = await self._builder.build(request)
        except BaseException:
            del self._containers[request.id]
            raise
        container = Container.of(request, built)
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
                checkpoint=request.checkpoint,
                pid=container.init.pid,
            )
        )
        self._lifecycle.follow(container)
        return task_pb2.CreateTaskResponse(pid=container.init.pid)

    async def start(self, request: task_pb2.StartRequest) -> task_pb2.StartResponse:
        """Let the process run."""
        container = self._find(request.id)
        process = container.find(request.exec_id)
        if request.exec_id:
            await self._lifecycle.start_executed(container, process)
        else:
            await self._lifecycle.start(container)
        return task_pb2.StartResponse(pid=process.pid)

    async def exec(self, request: task_pb2.ExecProcessRequest) -> Empty:
        """Take down a process to be executed; Start makes it."""
        container = self._find(request.id)
        if not request.exec_id:
            raise InvalidArgumentError(f"container {request.id}: the exec id is empty")
        container.built.execs.check(request)
        container.add(request)
        self._events.publish(
            events_pb2.TaskExecAdded(container_id=container.id, exec_id=request.exec_id)
        )
        return Empty()

    async def state(self, request: task_pb2.StateRequest) -> task_pb2.StateResponse:
        """Say how the process is."""
        container = self._find(request.id)
        process = container.find(request.exec_id)
        response = process.describe()
        if process.status is Status.RUNNING and container.process.status is Status.PAUSED:
            # A pause is the whole container's (containerd process/exec.go, Status).
            response.status = task_pb2.PAUSED
        response.bundle, response.exec_id = container.bundle, request.exec_id
        return response

    async def wait(self, request: task_pb2.WaitRequest) -> task_pb2.WaitResponse:
        """Answer when the process has ended."""
        process = self._find(request.id).find(request.exec_id)
        await process.stopped.wait()
        response = task_pb2.WaitResponse()
        process.set_exit(response)
        return response

    async def kill(self, request: task_pb2.KillRequest) -> Empty:
        """Signal the process, or all of the container's."""
        container = self._find(request.id)
        process = container.find(request.exec_id)
        if not 0 < request.signal < signal.NSIG:
            raise InvalidArgumentError(f"signal {request.signal} does not exist")
        process.check(Verb.KILL)
        if process.handle is None:
            raise FailedPreconditionError(f"{process.name} is being started")
        await process.handle.kill(request.signal, everything=request.all)
        if request.signal == signal.SIGKILL and process.status is Status.PAUSED:
            # The container's end, which must not wait for Resume: on cgroup v1 a frozen process
            # does not even take this one.
            with contextlib.suppress(ShimError):
                await container.init.resume()
        return Empty()

    async def delete(self, request: task_pb2.DeleteRequest) -> task_pb2.DeleteResponse:
        """Forget a process that has ended, or never started, and give back what it holds."""
        container = self._find(request.id)
        if request.exec_id:
            return await self._delete_executed(container, request.exec_id)
        process = container.process
        if process.status is Status.CREATED:
            with contextlib.suppress(NotFoundError):
                await container.init.kill(signal.SIGKILL, everything=False)
            await process.stopped.wait()
        async with process.lock:
            process.check(Verb.DELETE)
            for executed in container.executed.values():
                if executed.streams is not None:
                    executed.streams.close()
            await container.init.release()
            container.built.give_back()
            process.apply(Verb.DELETE)
        self._containers.pop(container.id, None)
        response = task_pb2.DeleteResponse(pid=process.pid)
        process.set_exit(response)
        event = events_pb2.TaskDelete(
            container_id=container.id, pid=process.pid, exit_status=response.exit_status
        )
        event.exited_at.CopyFrom(response.exited_at)
        self._events.publish(event)
        return response

    async def _delete_executed(self, container: Container, exec_id: str) -> task_pb2.DeleteResponse:
        process = container.find(exec_id)
        async with process.lock:
            process.apply(Verb.DELETE)
        container.executed.pop(exec_id, None)
        if process.streams is not None:
            process.streams.close()
        response = task_pb2.DeleteResponse(pid=process.pid)
        process.set_exit(response)
        return response

    async def pids(self, request: task_pb2.PidsRequest) -> task_pb2.PidsResponse:
        """List the container's processes; init stays listed until Delete.

        containerd takes a task without any for a leak and removes it.
        """
        container = self._find(request.id)
        executed = {p.pid: exec_id for exec_id, p in container.executed.items() if p.pid}
        response = task_pb2.PidsResponse()
        for pid in sorted({container.init.pid, *container.init.pids()}):
            entry = response.processes.add(pid=pid)
            if pid in executed:
                _pack(entry.info, runc_options_pb2.ProcessDetails(exec_id=executed[pid]))
        return response

    async def close_io(self, request: task_pb2.CloseIORequest) -> Empty:
        """Let the process see the end of its stdin."""
        process = self._find(request.id).find(request.exec_id)
        if request.stdin:
            process.close_stdin()
        return Empty()

    async def resize_pty(self, request: task_pb2.ResizePtyRequest) -> Empty:
        """Change the size of the process's terminal."""
        process = self._find(request.id).find(request.exec_id)
        if request.exec_id and process.status is Status.STOPPED:
            raise FailedPreconditionError(f"{process.name} has ended: its terminal is gone")
        if process.streams is not None:
            process.streams.resize(request.width, request.height)
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
        """Freeze every process of the container."""
        container = self._find(request.id)
        async with container.process.lock:
            container.process.check(Verb.PAUSE)
            await container.init.pause()
            container.process.apply(Verb.PAUSE)
            self._events.publish(events_pb2.TaskPaused(container_id=container.id))
        return Empty()

    async def resume(self, request: task_pb2.ResumeRequest) -> Empty:
        """Let them go on."""
        container = self._find(request.id)
        async with container.process.lock:
            container.process.check(Verb.RESUME)
            await container.init.resume()
            container.process.apply(Verb.RESUME)
            self._events.publish(events_pb2.TaskResumed(container_id=container.id))
        return Empty()

    async def checkpoint(self, request: task_pb2.CheckpointTaskRequest) -> Empty:
        """Write the container's state to a directory."""
        container = self._find(request.id)
        # No lock: a checkpoint may end its container, whose exit must be told meanwhile.
        container.process.check(Verb.CHECKPOINT)
        await container.init.checkpoint(request.path, request.options)
        self._events.publish(
            events_pb2.TaskCheckpointed(container_id=container.id, checkpoint=request.path)
        )
        return Empty()

    async def update(self, request: task_pb2.UpdateTaskRequest) -> Empty:
        """Change the container's limits."""
        container = self._find(request.id)
        async with container.process.lock:
            container.process.check(Verb.UPDATE)
            await container.init.update(request.resources.value)
        return Empty()

    async def stats(self, request: task_pb2.StatsRequest) -> task_pb2.StatsResponse:
        """Give the figures of the container's control group."""
        response = task_pb2.StatsResponse()
        _pack(response.stats, self._find(request.id).built.group.stats())
        return response

    def _find(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise NotFoundError(f"container {container_id} is not here")
        return container


def _pack(into: Any, message: Message) -> None:
    """As containerd wants it: the bare name, which `Any.Pack` would prefix."""
    into.type_url = message.DESCRIPTOR.full_name
    into.value = message.SerializeToString()
