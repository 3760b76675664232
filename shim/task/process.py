"""One process of a container, init or executed: the state it is in, its streams, its end.

Rules: verbs that change the state hold `lock`, so that the exit of a process that ends at once is
not handled before its start has been announced; `stopped` is set after the state says so (Wait and
State never disagree).
"""

import asyncio
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shim.api import task_pb2
from shim.task.machine import Status, Table, Verb, next_status
from shim.task.ports import ExitInfo, Handle, Streams

_WIRE_STATUS = {
    Status.CREATED: task_pb2.CREATED,
    Status.RUNNING: task_pb2.RUNNING,
    Status.PAUSED: task_pb2.PAUSED,
    Status.STOPPED: task_pb2.STOPPED,
    Status.DELETED: task_pb2.STOPPED,
}

R = TypeVar("R", task_pb2.CreateTaskRequest, task_pb2.ExecProcessRequest)
Answer = task_pb2.StateResponse | task_pb2.WaitResponse | task_pb2.DeleteResponse


@dataclass(slots=True)
class Process(Generic[R]):
    """What the service knows of one process, which a request of type R asked for.

    `id` is the container's, or the exec id; `name` is for error texts; an executed process has
    `handle` and `streams` from its start on.
    """

    id: str
    name: str
    request: R
    table: Table
    handle: Handle | None = None
    streams: Streams | None = None
    status: Status = Status.CREATED
    exit: ExitInfo | None = None
    stdin_is_closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Its pid, also after its end; 0 before it has one."""
        return self.handle.pid if self.handle else 0

    def apply(self, verb: Verb) -> None:
        """Move to the state that `verb` leads to.

        Raises:
            ShimError: see `next_status`.
        """
        self.status = next_status(self.table, self.status, verb, name=self.name)

    def check(self, verb: Verb) -> None:
        """Raise what `apply` would raise."""
        next_status(self.table, self.status, verb, name=self.name)

    def end(self, ended: ExitInfo) -> None:
        """It has ended; whoever waits for `stopped` goes on."""
        self.exit = ended
        self.apply(Verb.EXIT)
        self.stopped.set()

    def close_stdin(self) -> None:
        """Let it see the end of its stdin, now or when it has one."""
        self.stdin_is_closed = True
        if self.streams is not None:
            self.streams.close_stdin()

    def describe(self) -> task_pb2.StateResponse:
        """What State says of it, but for what is its container's."""
        request = self.request
        response = task_pb2.StateResponse(
            id=self.id,
            pid=self.pid,
            status=_WIRE_STATUS[self.status],
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            terminal=request.terminal,
        )
        self.set_exit(response)
        return response

    def set_exit(self, response: Answer) -> None:
        """Say how it ended, if it has."""
        if self.exit is not None:
            response.exit_status = self.exit.status
            response.exited_at.FromNanoseconds(self.exit.exited_at_ns)
