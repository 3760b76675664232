"""One container: its init process, its streams, and the state they are in.

Rules: verbs that change the state hold `lock`, so that the exit of a process that ends at once is
not handled before its start has been announced; `stopped` is set after the state says so (Wait and
State never disagree).
"""

import asyncio
from dataclasses import dataclass, field

from shim.api import task_pb2
from shim.task.machine import Status, Verb, next_status
from shim.task.ports import Built, ExitInfo, Init, Streams


@dataclass(slots=True)
class Container:
    """What the service knows of one container."""

    request: task_pb2.CreateTaskRequest
    built: Built
    status: Status = Status.CREATED
    exit: ExitInfo | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def init(self) -> Init:
        """The container's first process."""
        return self.built.init

    @property
    def streams(self) -> Streams:
        """Its stdio."""
        return self.built.streams

    @property
    def id(self) -> str:
        """Containerd's id of the container."""
        return self.request.id

    def apply(self, verb: Verb) -> None:
        """Move to the state that `verb` leads to.

        Raises:
            ShimError: see `next_status`.
        """
        self.status = next_status(self.status, verb, name=f"container {self.id}")

    def check(self, verb: Verb) -> None:
        """Raise what `apply` would raise."""
        next_status(self.status, verb, name=f"container {self.id}")
