"""What the task service needs of the world, as Protocols; `shim.pod` passes the real ones in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class Init(Protocol):
    """The first process of a container: a Wasm instance, or what an OCI runtime has created."""

    @property
    def pid(self) -> int:
        """As the shim's pid namespace numbers it."""
        ...

    @property
    def exited(self) -> Awaitable[ExitInfo]:
        """Done when the process has ended."""
        ...

    async def start(self) -> None:
        """Let the created process run user code."""
        ...

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the process, or everything in the container."""
        ...

    def pids(self) -> Sequence[int]:
        """Every process of the container."""
        ...

    async def after_exit(self) -> None:
        """Init has ended: end what else runs in the container."""
        ...

    async def release(self) -> None:
        """Give back what the container holds outside its bundle; all of its processes are gone."""
        ...


class Streams(Protocol):
    """The stdio of one process."""

    def close_stdin(self) -> None:
        """Let the process see the end of its stdin."""
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


@dataclass(frozen=True, slots=True)
class Built:
    """A created container; `give_back` undoes its mounts when its processes are gone.

    `oom_kills` counts what the kernel killed in it for want of memory; until `Init.release`.
    """

    init: Init
    streams: Streams
    give_back: Callable[[], None]
    oom_kills: Callable[[], int] = lambda: 0


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
