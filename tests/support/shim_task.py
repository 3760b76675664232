"""One container's task, and the processes executed in it, as containerd's clients call them."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shim.api import runc_options_pb2, task_pb2
from tests.support.bundle import Bundle, Input, Output, read_to_ends
from tests.support.grpc_client import GrpcClient
from tests.support.ttrpc_client import ClosedError, TtrpcClient

M = TypeVar("M", bound=Message)
TASK_V2 = "containerd.task.v2.Task"
TASK_V3 = "containerd.task.v3.Task"
SPEC_TYPES = "types.containerd.io/opencontainers/runtime-spec/1"
"""What containerd 1.6 calls the JSON documents of the OCI runtime specification."""


def dial_task(address: str) -> TtrpcClient:
    """Connect to what `start` told: a socket of gRPC's is a bare path."""
    return TtrpcClient(address) if address.startswith("unix://") else GrpcClient(address)


def json_message(kind: str, document: object) -> AnyMessage:
    """Return an Any as containerd's typeurl makes it of a document of the OCI specification."""
    return AnyMessage(type_url=f"{SPEC_TYPES}/{kind}", value=json.dumps(document).encode())


class Process:
    """The init of a container, or with an `exec_id` one that was executed in it."""

    def __init__(self, client: TtrpcClient, container_id: str, exec_id: str) -> None:
        self.client = client
        self.id = container_id
        self.exec_id = exec_id
        self.service = TASK_V3 if isinstance(client, GrpcClient) else TASK_V2

    def begin(self, method: str, request: Message) -> int:
        return self.client.begin(self.service, method, request)

    def call(self, method: str, request: Message, into: type[M]) -> M:
        return self.client.call(self.service, method, request, into)

    def begin_start(self) -> int:
        return self.begin("Start", task_pb2.StartRequest(id=self.id, exec_id=self.exec_id))

    def finish_start(self, stream_id: int) -> task_pb2.StartResponse:
        return self.client.finish(stream_id, task_pb2.StartResponse)

    def start(self) -> task_pb2.StartResponse:
        return self.finish_start(self.begin_start())

    def state(self) -> task_pb2.StateResponse:
        request = task_pb2.StateRequest(id=self.id, exec_id=self.exec_id)
        return self.call("State", request, task_pb2.StateResponse)

    def kill(self, signal: int, *, everyone: bool = False) -> None:
        request = task_pb2.KillRequest(
            id=self.id, exec_id=self.exec_id, signal=signal, all=everyone
        )
        self.call("Kill", request, Empty)

    def begin_wait(self) -> int:
        return self.begin("Wait", task_pb2.WaitRequest(id=self.id, exec_id=self.exec_id))

    def finish_wait(self, stream_id: int, timeout_s: float = 10.0) -> task_pb2.WaitResponse:
        return self.client.finish(stream_id, task_pb2.WaitResponse, timeout_s)

    def wait(self, timeout_s: float = 10.0) -> task_pb2.WaitResponse:
        return self.finish_wait(self.begin_wait(), timeout_s)

    def delete(self) -> task_pb2.DeleteResponse:
        request = task_pb2.DeleteRequest(id=self.id, exec_id=self.exec_id)
        return self.call("Delete", request, task_pb2.DeleteResponse)

    def close_io(self) -> None:
        request = task_pb2.CloseIORequest(id=self.id, exec_id=self.exec_id, stdin=True)
        self.call("CloseIO", request, Empty)

    def resize(self, width: int, height: int) -> None:
        request = task_pb2.ResizePtyRequest(
            id=self.id, exec_id=self.exec_id, width=width, height=height
        )
        self.call("ResizePty", request, Empty)


class Exec(Process):
    """A process beside the init, with the client's ends of its FIFOs."""

    def __init__(self, task: "Task", exec_id: str, *, stdin: bool, terminal: bool) -> None:
        super().__init__(task.client, task.id, exec_id)
        self._bundle = task.bundle
        io = task.bundle.io / exec_id
        io.mkdir()
        self.terminal = terminal
        self.stdin = Input(io / "stdin") if stdin else None
        self.stdout = Output(io / "stdout")
        self.stderr = None if terminal else Output(io / "stderr")
        task.bundle.ends += [end for end in (self.stdin, self.stdout, self.stderr) if end]

    @property
    def input(self) -> Input:
        assert self.stdin is not None
        return self.stdin

    def register(self, process: Mapping[str, Any], **fields: Any) -> None:
        """Call Exec; `fields` replace members of the request."""
        given: dict[str, Any] = {
            "id": self.id,
            "exec_id": self.exec_id,
            "terminal": self.terminal,
            "stdin": str(self.stdin.path) if self.stdin else "",
            "stdout": str(self.stdout.path),
            "stderr": str(self.stderr.path) if self.stderr else "",
            "spec": json_message("Process", process),
        }
        self.call("Exec", task_pb2.ExecProcessRequest(**(given | fields)), Empty)

    def run(self, timeout_s: float = 10.0) -> tuple[int, bytes, bytes]:
        """Start, read both streams to their end, and delete; the status and what was read."""
        self.start()
        out, err = (*self.read(timeout_s), b"")[:2]
        status = self.wait(timeout_s).exit_status
        self.delete()
        return status, out, err

    def read(self, timeout_s: float = 10.0) -> list[bytes]:
        """Read stdout, and stderr where there is no terminal, to their ends."""
        outputs = [end for end in (self.stdout, self.stderr) if end]
        return read_to_ends(*outputs, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the client's ends and remove their FIFOs."""
        for end in (self.stdin, self.stdout, self.stderr):
            if end is not None:
                end.close()
                end.path.unlink()
                self._bundle.ends.remove(end)
        self.stdout.path.parent.rmdir()


class Task(Process):
    """One container's task, over the connection that containerd opened for it."""

    def __init__(self, bundle: Bundle, address: str) -> None:
        super().__init__(dial_task(address), bundle.container_id, "")
        self.bundle = bundle
        self.address = address
        self._execs = 0

    def create(self, **fields: Any) -> task_pb2.CreateTaskResponse:
        return self.call("Create", self._create_request(fields), task_pb2.CreateTaskResponse)

    def begin_create(self, **fields: Any) -> int:
        return self.begin("Create", self._create_request(fields))

    def begin_delete(self) -> int:
        return self.begin("Delete", task_pb2.DeleteRequest(id=self.id))

    def _create_request(self, fields: Mapping[str, Any]) -> task_pb2.CreateTaskRequest:
        bundle = self.bundle
        given: dict[str, Any] = {
            "id": self.id,
            "bundle": str(bundle.path),
            "rootfs": bundle.rootfs,
            "terminal": bundle.terminal,
            "stdin": str(bundle.stdin.path) if bundle.stdin else "",
            "stdout": str(bundle.stdout.path) if bundle.stdout else "",
            "stderr": str(bundle.stderr.path) if bundle.stderr else "",
        }
        return task_pb2.CreateTaskRequest(**(given | dict(fields)))

    def exec(
        self,
        args: Sequence[str],
        *,
        exec_id: str = "",
        stdin: bool = False,
        terminal: bool = False,
        **process: Any,
    ) -> Exec:
        """Register a process; `process` replaces members of the container's own `process`."""
        self._execs += 1
        made = Exec(self, exec_id or f"exec-{self._execs}", stdin=stdin, terminal=terminal)
        base = self.bundle.spec["process"] | {"args": list(args), "terminal": terminal}
        made.register(base | process)
        return made

    def run(self, args: Sequence[str], **process: Any) -> tuple[int, bytes, bytes]:
        """Execute a process to its end; its status and what it wrote."""
        return self.exec(args, **process).run()

    def processes(self) -> dict[int, str]:
        """Every pid of the container, with the exec_id that Pids names for it."""
        response = self.call("Pids", task_pb2.PidsRequest(id=self.id), task_pb2.PidsResponse)
        details = {}
        for process in response.processes:
            named = runc_options_pb2.ProcessDetails()
            if process.HasField("info"):
                assert process.info.type_url == "containerd.runc.v1.ProcessDetails"
                named.ParseFromString(process.info.value)
            details[process.pid] = named.exec_id
        return details

    def pids(self) -> list[int]:
        return list(self.processes())

    def connect(self, container_id: str | None = None) -> task_pb2.ConnectResponse:
        request = task_pb2.ConnectRequest(id=self.id if container_id is None else container_id)
        return self.call("Connect", request, task_pb2.ConnectResponse)

    def pause(self) -> None:
        self.call("Pause", task_pb2.PauseRequest(id=self.id), Empty)

    def resume(self) -> None:
        self.call("Resume", task_pb2.ResumeRequest(id=self.id), Empty)

    def update(self, resources: object) -> None:
        self.update_by(json_message("LinuxResources", resources))

    def update_by(self, resources: AnyMessage) -> None:
        self.call("Update", task_pb2.UpdateTaskRequest(id=self.id, resources=resources), Empty)

    def checkpoint(self, path: str, options: AnyMessage | None = None) -> None:
        request = task_pb2.CheckpointTaskRequest(id=self.id, path=path, options=options)
        self.call("Checkpoint", request, Empty)

    def stats(self) -> AnyMessage:
        answer = self.call("Stats", task_pb2.StatsRequest(id=self.id), task_pb2.StatsResponse)
        assert answer.HasField("stats")
        return answer.stats

    def shutdown(self) -> None:
        """Ask the shim to end; it may hang up before it answers."""
        with contextlib.suppress(ClosedError):
            self.call("Shutdown", task_pb2.ShutdownRequest(id=self.id), Empty)
