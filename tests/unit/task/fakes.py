"""A world for the task service in which a test says when processes end."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from shim.api import cgroups_v2_pb2, events_pb2, task_pb2
from shim.errdefs import ShimError
from shim.task.ports import Built, Executed, ExitInfo
from shim.task.service import TaskService

EXITED_AT_NS = 1_700_000_000_123_456_789


@dataclass(frozen=True)
class Ended:
    status: int
    exited_at_ns: int = EXITED_AT_NS


class FakeHandle:
    """`fails` maps a method's name to what it raises; `start` waits for `may_start`.

    `prefix` tells a call of an executed process from one of its container's init.
    """

    def __init__(self, pid: int, calls: list[str], prefix: str = "") -> None:
        self.pid = pid
        self.exited: asyncio.Future[ExitInfo] = asyncio.get_running_loop().create_future()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.fails: dict[str, Exception] = {}
        self.ends_when_killed = True
        self._calls = calls
        self._prefix = prefix

    def end(self, status: int) -> None:
        self.exited.set_result(Ended(status))

    def _called(self, name: str, *details: object) -> None:
        self._calls.append(" ".join(map(str, (self._prefix + name, *details))))
        if name in self.fails:
            raise self.fails[name]

    async def start(self) -> None:
        await self.may_start.wait()
        self._called("start")

    async def kill(self, signal: int, *, everything: bool) -> None:
        self._called("kill", signal, *(["all"] if everything else []))
        if signal == 9 and self.ends_when_killed and not self.exited.done():
            self.end(137)

    async def release(self) -> None:
        self._called("release")


class FakeInit(FakeHandle):
    """A container's; `updated` is what the last update brought."""

    is_alone = False
    others: Sequence[int] = ()
    updated = b""

    def pids(self) -> Sequence[int]:
        return self.others

    async def after_exit(self) -> None:
        self._called("after_exit")

    async def pause(self) -> None:
        self._called("pause")

    async def resume(self) -> None:
        self._called("resume")

    async def update(self, resources: bytes) -> None:
        self._called("update")
        self.updated = resources

    async def checkpoint(self, path: str, options: AnyMessage) -> None:
        self._called("checkpoint", path, options.value.decode())


class FakeStreams:
    def __init__(self, calls: list[str], prefix: str = "") -> None:
        self._calls = calls
        self._prefix = prefix

    def _called(self, name: str, *details: object) -> None:
        self._calls.append(" ".join(map(str, (self._prefix + name, *details))))

    def close_stdin(self) -> None:
        self._called("close_stdin")

    def resize(self, width: int, height: int) -> None:
        self._called("resize", width, height)

    async def drained(self) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> None:
        self._called("finish")

    def close(self) -> None:
        self._called("close")


class FakeGroup:
    """A control group in which a test lets the kernel kill, by `kill_for_memory`."""

    def __init__(self, calls: list[str]) -> None:
        self.kills = 0
        self.watchers: list[Callable[[], None]] = []
        self._calls = calls

    def stats(self) -> Message:
        return cgroups_v2_pb2.Metrics(memory=cgroups_v2_pb2.MemoryStat(usage=77))

    def oom_kills(self) -> int:
        return self.kills

    def watch_oom(self, on_kill: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(on_kill)
        self._calls.append("watch_oom")
        return self._end_watch

    def kill_for_memory(self) -> None:
        self.kills += 1
        for watcher in self.watchers:
            watcher()

    def _end_watch(self) -> None:
        self.watchers.clear()
        self._calls.append("end_oom_watch")


class FakeExecs:
    """Makes executed processes; `handles` are those made, by exec id."""

    def __init__(self, calls: list[str]) -> None:
        self.handles: dict[str, FakeHandle] = {}
        self.may_build = asyncio.Event()
        self.may_build.set()
        self.check_error: Exception | None = None
        self.build_error: Exception | None = None
        self.start_error: Exception | None = None
        self.starts_at_once = True
        self.first_pid = 500
        self._calls = calls

    def check(self, request: task_pb2.ExecProcessRequest) -> None:
        del request
        if self.check_error is not None:
            raise self.check_error

    async def build(self, request: task_pb2.ExecProcessRequest) -> Executed:
        exec_id = request.exec_id
        await self.may_build.wait()
        if self.build_error is not None:
            raise self.build_error
        prefix = f"{exec_id}."
        handle = FakeHandle(self.first_pid + len(self.handles), self._calls, prefix)
        if self.start_error is not None:
            handle.fails["start"] = self.start_error
        if not self.starts_at_once:
            handle.may_start.clear()
        self.handles[exec_id] = handle
        self._calls.append(f"{prefix}build")
        return Executed(handle, FakeStreams(self._calls, prefix))


@dataclass
class World:
    """A service, everything it was given, and everything that was called."""

    calls: list[str] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)
    inits: dict[str, FakeInit] = field(default_factory=dict)
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    execs: dict[str, FakeExecs] = field(default_factory=dict)
    build_error: Exception | None = None
    may_build: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    service: TaskService = field(init=False)

    def __post_init__(self) -> None:
        self.may_build.set()
        self.service = TaskService(self, self, self.spawn, lambda: self.calls.append("shut_down"))

    async def build(self, request: task_pb2.CreateTaskRequest) -> Built:
        await self.may_build.wait()
        if self.build_error is not None:
            raise self.build_error
        init = self.inits[request.id] = FakeInit(100 + len(self.inits), self.calls)
        group = self.groups[request.id] = FakeGroup(self.calls)
        execs = self.execs[request.id] = FakeExecs(self.calls)
        streams = FakeStreams(self.calls)
        return Built(init, streams, group, execs, lambda: self.calls.append("give_back"))

    def publish(self, event: Message) -> None:
        self.events.append(event)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def topics(self) -> list[str]:
        """The events; those of an executed process with its exec id."""
        topics = []
        for event in self.events:
            name = event.DESCRIPTOR.name.removeprefix("Task").lower()
            exec_id = getattr(event, "exec_id", "")
            if isinstance(event, events_pb2.TaskExit) and event.id != event.container_id:
                exec_id = event.id
            topics.append(f"{name} {exec_id}".strip())
        return topics

    async def created(self, container_id: str = "c") -> FakeInit:
        await self.service.create(task_pb2.CreateTaskRequest(id=container_id))
        return self.inits[container_id]

    async def running(self, container_id: str = "c") -> FakeInit:
        init = await self.created(container_id)
        await self.service.start(task_pb2.StartRequest(id=container_id))
        return init

    async def stopped(self, container_id: str = "c", status: int = 0) -> FakeInit:
        init = await self.running(container_id)
        init.end(status)
        await self.service.wait(task_pb2.WaitRequest(id=container_id))
        return init

    async def paused(self, container_id: str = "c") -> FakeInit:
        init = await self.running(container_id)
        await self.service.pause(task_pb2.PauseRequest(id=container_id))
        return init

    async def added(self, exec_id: str = "e", container_id: str = "c") -> None:
        """Have a process taken down."""
        await self.service.exec(task_pb2.ExecProcessRequest(id=container_id, exec_id=exec_id))

    async def executing(self, exec_id: str = "e", container_id: str = "c") -> FakeHandle:
        await self.added(exec_id, container_id)
        await self.service.start(task_pb2.StartRequest(id=container_id, exec_id=exec_id))
        return self.execs[container_id].handles[exec_id]


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def in_world(scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; nothing of it may hang, and no task of the service may fail."""

    async def run() -> None:
        world = World()
        await asyncio.wait_for(scenario(world), 5)
        await settle()
        for task in world.tasks:
            if not task.done():
                task.cancel()
            elif not task.cancelled() and (error := task.exception()) is not None:
                assert isinstance(error, ShimError), error
        await asyncio.gather(*world.tasks, return_exceptions=True)

    asyncio.run(run())
