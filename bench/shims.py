"""The benchmark in containerd's place: bundles, calls of a shim's binary, task life cycles.

Everything is done in the order of containerd 1.6. Bundles are made ahead of what is timed, since
writing them is containerd's work, not a shim's.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from bench.guests import WASM_PATH, make_wasm_rootfs
from bench.node import OURS, SHIM, Node
from shim.api import task_pb2
from tests.support.bundle import NAMESPACES as KINDS
from tests.support.bundle import Bundle, Output, build_spec, make_rootfs, overlay
from tests.support.ttrpc_client import ClosedError, TtrpcClient

M = TypeVar("M", bound=Message)

GO_SHIM = Path("/usr/bin/containerd-shim-runc-v2")
TANDEM_SHIM = OURS / SHIM
NAMESPACE = "bench"

_TASK = "containerd.task.v2.Task"
_COMMAND_TIMEOUT_S = 30.0
# a large module is compiled, on a machine that does other things
_CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Workload:
    """What runs under which shim."""

    shim: Path
    rootfs: Path
    args: tuple[str, ...]


class Containerd:
    """Runs workloads on a node as containerd does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._numbers = count()
        self._environment = {
            **node.environment,
            "GOMAXPROCS": "2",
            "TTRPC_ADDRESS": str(node.directory / "e.sock"),
        }

    def __enter__(self) -> Self:
        path = self.node.directory / "e.sock"
        self._events = self.node.spawn([sys.executable, "-m", "bench.events", path], "events.log")
        assert self._events.stdout is not None
        if self._events.stdout.readline() != b"ready\n":
            raise RuntimeError("no events server: python -m bench.events says why")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._events.stdin is not None
        self._events.stdin.close()
        self._events.wait()
        self.node.end(self._events)

    def tandem(self, module: bytes, name: str, function: str = "") -> Workload:
        """A Wasm module under our shim."""
        rootfs = make_wasm_rootfs(self.node.directory / "rootfs" / name, module)
        return Workload(
            self.node.programs / SHIM, rootfs, (f"{WASM_PATH}{function and '#'}{function}",)
        )

    def busybox(self, *args: str) -> Workload:
        """A busybox command under the Go shim."""
        rootfs = self.node.directory / "rootfs" / "busybox"
        return Workload(GO_SHIM, rootfs if rootfs.exists() else make_rootfs(rootfs), args)

    def prepare(
        self,
        workload: Workload,
        *env: str,
        own_network: bool = True,
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> "Container":
        """Make a bundle, ready for `start`, with these variables and annotations added."""
        container_id = f"{self.node.name}-{next(self._numbers)}"
        namespaces = [name for name in KINDS if own_network or name != "network"]
        spec = build_spec(container_id, workload.args, env=env, namespaces=namespaces)
        spec["annotations"] = {**spec.get("annotations", {}), **annotations}
        # One parent for all, so that nothing is left of it.
        spec["linux"]["cgroupsPath"] = f"/{self.node.name}/{container_id}"
        stdio = self.node.directory / "io" / container_id
        stdio.mkdir(parents=True)
        scratch = self.node.directory / "snapshots" / container_id
        bundle = Bundle(
            path=self.node.directory / NAMESPACE / container_id,
            container_id=container_id,
            spec=spec,
            rootfs=[overlay(workload.rootfs, scratch)],
            stdout=Output(stdio / "stdout"),
            stderr=Output(stdio / "stderr"),
        )
        bundle.write()
        return Container(self, workload.shim, bundle, (scratch, stdio))

    def run_binary(self, shim: Path, bundle: Bundle, *action: str) -> bytes:
        """Run the shim's binary until the end of its output, as containerd does.

        Raises:
            RuntimeError: it failed; the text is what it wrote.
        """
        argv = [
            *(str(shim), "-namespace", NAMESPACE, "-address", str(self.node.directory / "c.sock")),
            *("-publish-binary", "/usr/bin/containerd", "-id", bundle.container_id, *action),
        ]
        with subprocess.Popen(
            argv,
            cwd=bundle.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        ) as process:
            output, _ = process.communicate(timeout=_COMMAND_TIMEOUT_S)
        if process.returncode != 0:
            raise RuntimeError(f"{shim.name} {action[-1]}: {output.decode(errors='replace')}")
        return output


class Container:
    """One container and its task; each method is one step of containerd's."""

    def __init__(
        self, containerd: Containerd, shim: Path, bundle: Bundle, scratch: tuple[Path, ...]
    ) -> None:
        self._containerd = containerd
        self._shim = shim
        self._scratch = scratch
        self.bundle = bundle
        self._client: TtrpcClient | None = None

    def start_shim(self) -> str:
        """Run `start`; returns the address."""
        output = self._containerd.run_binary(self._shim, self.bundle, "start")
        return output.decode().strip()

    def connect(self, address: str) -> None:
        """Dial the shim."""
        self._client = TtrpcClient(address)

    def create(self) -> int:
        """Create the task; returns its pid."""
        bundle = self.bundle
        assert bundle.stdout is not None
        assert bundle.stderr is not None
        request = task_pb2.CreateTaskRequest(
            id=bundle.container_id,
            bundle=str(bundle.path),
            rootfs=bundle.rootfs,
            stdout=str(bundle.stdout.path),
            stderr=str(bundle.stderr.path),
        )
        return self._call("Create", request, task_pb2.CreateTaskResponse).pid

    def start(self) -> None:
        """Start the task."""
        self._call("Start", task_pb2.StartRequest(id=self.id), task_pb2.StartResponse)

    def run_to_end(self) -> tuple[int, bytes]:
        """Start the task and wait for its end; its exit status, and its stdout.

        As a client does it: Wait comes first, and the output is read while the task runs.
        """
        assert self.bundle.stdout is not None
        wait = self._connection.begin(_TASK, "Wait", task_pb2.WaitRequest(id=self.id))
        self.start()
        output = self.bundle.stdout.read_to_end()
        return self._connection.finish(wait, task_pb2.WaitResponse).exit_status, output

    def kill(self) -> None:
        """Kill the task and wait for its end."""
        self._call("Kill", task_pb2.KillRequest(id=self.id, signal=9, all=True), Empty)
        self.wait()

    def wait(self) -> int:
        """Wait for the end of the task; its exit status."""
        request = task_pb2.WaitRequest(id=self.id)
        return self._call("Wait", request, task_pb2.WaitResponse).exit_status

    def shim_pid(self) -> int:
        """The pid of the process that serves the task."""
        request = task_pb2.ConnectRequest(id=self.id)
        return self._call("Connect", request, task_pb2.ConnectResponse).shim_pid

    def delete(self) -> None:
        """Delete the task."""
        self._call("Delete", task_pb2.DeleteRequest(id=self.id), task_pb2.DeleteResponse)

    def shut_down(self) -> None:
        """End the shim; it may hang up before it answers."""
        with contextlib.suppress(ClosedError):
            self._call("Shutdown", task_pb2.ShutdownRequest(id=self.id), Empty)
        self._connection.close()

    def delete_leftovers(self) -> None:
        """Run `delete`."""
        path = str(self.bundle.path)
        self._containerd.run_binary(self._shim, self.bundle, "-bundle", path, "delete")

    def finish(self) -> None:
        """From the end of the process on, everything that containerd does."""
        self.wait()
        self.delete()
        self.shut_down()
        self.delete_leftovers()
        self.close()

    def close(self) -> None:
        """Remove the bundle, as containerd does in the end."""
        self.bundle.close()
        for directory in (self.bundle.path, *self._scratch):
            shutil.rmtree(directory)

    @property
    def id(self) -> str:
        return self.bundle.container_id

    @property
    def _connection(self) -> TtrpcClient:
        assert self._client is not None
        return self._client

    def _call(self, method: str, request: Message, into: type[M]) -> M:
        sent = self._connection.begin(_TASK, method, request)
        return self._connection.finish(sent, into, _CALL_TIMEOUT_S)
