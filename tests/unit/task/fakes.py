"""A world for the task service in which a test says when processes end."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from shim.api import task_pb2
from shim.errdefs import ShimError
from shim.task.ports import Built, ExitInfo
from shim.task.service import TaskService

EXITED_AT_NS = 1_700_000_000_123_456_789


@dataclass(frozen=True)
class Ended:
    status: int
    exited_at_ns: int = EXITED_AT_NS


class FakeInit:
    """`fails` maps a method's name to what it raises; `start` waits for `may_start`."""

    def __init__(self, pid: int, calls: list[str]) -> None:
        self.pid = pid
        self.exited: asyncio.Future[ExitInfo] = asyncio.get_running_loop().create_future()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.fails: dict[str, Exception] = {}
        self.others: Sequence[int] = ()
        self.ends_when_killed = True
        self._calls = calls

    def end(self, status: int) -> None:
        self.exited.set_result(Ended(status))

    def _called(self, name: str, *details: object) -> None:
        self._calls.append(" ".join(map(str, (name, *details))))
        if name in self.fails:
            raise self.fails[name]

    async def start(self) -> None:
        await self.may_start.wait()
        self._called("start")

    async def kill(self, signal: int, *, everything: bool) -> None:
        self._called("kill", signal, *(["all"] if everything else []))
        if signal == 9 and self.ends_when_killed and not self.exited.done():
            self.end(137)

    def pids(self) -> Sequence[int]:
        return self.others

    async def after_exit(self) -> None:
        self._called("after_exit")

    async def release(self) -> None:
        self._called("release")


class FakeStreams:
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def close_stdin(self) -> None:
        self._calls.append("close_stdin")

    async def drained(self) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> None:
        self._calls.append("finish")

    def close(self) -> None:
        self._calls.append("close")


@dataclass
class World:
    """A service, everything it was given, and everything that was called."""

    calls: list[str] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)
    inits: dict[str, FakeInit] = field(default_factory=dict)
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
        return Built(init, FakeStreams(self.calls), lambda: self.calls.append("give_back"))

    def publish(self, event: Message) -> None:
        self.events.append(event)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def topics(self) -> list[str]:
        return [event.DESCRIPTOR.name.removeprefix("Task").lower() for event in self.events]

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
