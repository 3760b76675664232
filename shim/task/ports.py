"""What the task service needs of the world, as Protocols; `shim.pod` passes the real ones in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from shim.api import task_pb2


class ExitInfo(Protocol):
    """How a process ended."""

    @property
    def status(self) -> int:
        """Exit code, or 128 + the signal."""
        ...

    @property
    def exited_at_ns(self) -> int:
        """Wall time in ns since the epoch."""
        ...


class Handle(Protocol):
    """One process of a container, init or executed; what it is made of knows its kind."""

    @property
    def pid(self) -> int:
        """As the shim's pid namespace numbers it; 0 where it has none before it starts."""
        ...

    @property
    def exited(self) -> Awaitable[ExitInfo]:
        """Done when the process has ended."""
        ...

    async def start(self) -> None:
        """Let the process run user code."""
        ...

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the process, or everything in the container."""
        ...

    async def release(self) -> None:
        """Give back what the process holds outside its bundle; it has ended."""
        ...


class Init(Handle, Protocol):
    """The first process of a container, and with it the container: a Wasm instance, or what an OCI
    runtime has created."""

    @property
    def is_alone(self) -> bool:
        """Whether the container has no other process, as long as none is executed in it."""
        ...

    def pids(self) -> Sequence[int]:
        """Every process of the container."""
        ...

    async def after_exit(self) -> None:
        """Init has ended: end what else runs in the container."""
        ...

    async def pause(self) -> None:
        """Freeze every process of the container."""
        ...

    async def resume(self) -> None:
        """Let them go on."""
        ...

    async def update(self, resources: bytes) -> None:
        """Change the container's limits; `resources` is the OCI spec's LinuxResources as JSON."""
        ...

    async def checkpoint(self, path: str, options: Any) -> None:
        """Write the container's state below `path`."""
        ...


class Streams(Protocol):
    """The stdio of one process."""

    def close_stdin(self) -> None:
        """Let the process see the end of its stdin."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Change the size of its terminal, in characters; nothing happens where it has none."""
        ...

    async def drained(self) -> None:
        """The process ended: wait, for a while, until its outputs are read by whoever reads."""
        ...

    async def finish(self) -> None:
        """The process ended: let go of each output once nothing of it can be lost."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Group(Protocol):
    """The control group of a container."""

    def stats(self) -> Message:
        """Its figures, as the message that containerd reads on this node."""
        ...

    def oom_kills(self) -> int:
        """How many processes in it the kernel has killed for want of memory."""
        ...

    def watch_oom(self, on_kill: Callable[[], None]) -> Callable[[], None]:
        """Call `on_kill` whenever that number has grown; returns what ends the watch."""
        ...


@dataclass(frozen=True, slots=True)
class Executed:
    """A process to be executed in a container, ready for `Handle.start`."""

    handle: Handle
    streams: Streams


class Execs(Protocol):
    """Makes the processes that are executed in one container."""

    def check(self, request: task_pb2.ExecProcessRequest) -> None:
        """Raise where a request makes no process."""
        ...

    async def build(self, request: task_pb2.ExecProcessRequest) -> Executed:
        """Make one ready for its start, or raise and leave nothing behind."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A created container; `give_back` undoes its mounts when its processes are gone."""

    init: Init
    streams: Streams
    group: Group
    execs: Execs
    give_back: Callable[[], None]


class Builder(Protocol):
    """Makes a created container of a Create request, or raises and leaves nothing behind."""

    async def build(self, request: task_pb2.CreateTaskRequest) -> Built:
        """Make it; its process waits for `Init.start`."""
        ...


class EventSink(Protocol):
    """Where events go, in order."""

    def publish(self, event: Message) -> None:
        """Queue one event."""
        ...
