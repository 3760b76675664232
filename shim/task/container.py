"""One container: its init process, and the processes executed in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shim.api import task_pb2
from shim.errdefs import AlreadyExistsError, FailedPreconditionError, NotFoundError
from shim.task.machine import EXECUTED, INIT, Verb
from shim.task.ports import Built, Init
from shim.task.process import Process


@dataclass(slots=True)
class Container:
    """What the service knows of one container.

    `has_ended` is true from the moment init is reaped, which is before its state says so: its
    executed processes end in between. `oom_kills` is how many of them have been told of.
    """

    process: Process[task_pb2.CreateTaskRequest]
    built: Built
    bundle: str
    executed: dict[str, Process[task_pb2.ExecProcessRequest]] = field(default_factory=dict)
    has_ended: bool = False
    oom_kills: int = 0
    end_oom_watch: Callable[[], None] | None = None

    @classmethod
    def of(cls, request: task_pb2.CreateTaskRequest, built: Built) -> "Container":
        """The container that was built for a request."""
        name = f"container {request.id}"
        process = Process(request.id, name, request, INIT, built.init, built.streams)
        return cls(process, built, request.bundle)

    @property
    def id(self) -> str:
        """Containerd's id of the container."""
        return self.process.id

    @property
    def init(self) -> Init:
        """The container's first process."""
        return self.built.init

    def find(self, exec_id: str) -> Process[Any]:
        """Init, where no exec id is given, or the executed process.

        Raises:
            NotFoundError: there is no such process.
        """
        if not exec_id:
            return self.process
        try:
            return self.executed[exec_id]
        except KeyError:
            raise NotFoundError(f"container {self.id} has no process {exec_id}") from None

    def add(self, request: task_pb2.ExecProcessRequest) -> None:
        """Take down a process that will be executed.

        Raises:
            FailedPreconditionError: nothing can be executed in the state that the container is in.
            AlreadyExistsError: it has a process of that id.
        """
        self.check_exec()
        exec_id = request.exec_id
        if exec_id in self.executed:
            raise AlreadyExistsError(f"container {self.id} has a process {exec_id} already")
        name = f"process {exec_id} of container {self.id}"
        self.executed[exec_id] = Process(exec_id, name, request, EXECUTED)

    def check_exec(self) -> None:
        """Raise where nothing can be executed.

        Raises:
            FailedPreconditionError: why not.
        """
        self.process.check(Verb.EXEC)
        if self.has_ended:
            raise FailedPreconditionError(f"{self.process.name} has just ended")
