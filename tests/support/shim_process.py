"""containerd's side of a shim: runs the binary, dials its socket, calls Task, cleans up.

Everything is done as containerd 1.6 does it (runtime/v2: binary.go, shim.go, manager.go), so that
any shim v2 binary can be put under it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import task_pb2, types_pb2
from tests.support import leaks
from tests.support.bundle import NAMESPACES, Bundle, Input, Output, build_spec, overlay
from tests.support.events_server import EventsServer
from tests.support.shim_task import Task
from tests.support.ttrpc_client import ClosedError, RpcError

SANDBOX_ID = "io.kubernetes.cri.sandbox-id"
NAMESPACE = "conformance"
COMMAND_TIMEOUT_S = 20.0
CONTAINERD_1_7 = (
    "containerd github.com/containerd/containerd v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182"
)


@dataclass(frozen=True)
class ShimBinary:
    """A shim's binary and what its containerd's environment holds for it."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    transport: str = "ttrpc"

    @property
    def is_tandem(self) -> bool:
        return "tandem" in self.path.name


@dataclass(frozen=True)
class Answer:
    """How a run of the binary ended."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def address(self) -> str:
        """The address that `start` printed, by itself or in the JSON of the newer lines."""
        text = self.text.strip()
        return str(json.loads(text)["address"]) if text.startswith("{") else text


class ShimManager:
    """Plays containerd for one test: a state directory, an events socket, and the shims' life."""

    def __init__(self, shim: ShimBinary, directory: Path, rootfs: Path) -> None:
        self.shim = shim
        self.directory = directory
        self.rootfs = rootfs
        self.address = directory / "c.sock"
        self.events = EventsServer(directory / "e.sock")
        self.events.start()
        self.tasks: list[Task] = []
        self._bundles: list[Bundle] = []
        self._ids = iter(range(1_000_000))
        self._publish_binary = Path("/usr/bin/containerd")
        if shim.transport == "grpc":
            # The only line of containerd that a shim can serve over gRPC.
            self._publish_binary = directory / "containerd"
            self._publish_binary.write_text(f"#!/bin/sh\necho '{CONTAINERD_1_7}'\n")
            self._publish_binary.chmod(0o755)

    def new_id(self) -> str:
        return f"{leaks.TOKEN}-{self.directory.name}-{next(self._ids)}"

    def bundle(
        self,
        args: Sequence[str],
        *,
        env: Sequence[str] = (),
        group: str = "",
        stdin: bool = False,
        terminal: bool = False,
        namespaces: Sequence[str] = NAMESPACES,
    ) -> Bundle:
        """Write the bundle of a new container; `group` is the id of its pod sandbox."""
        container_id = self.new_id()
        annotations = {SANDBOX_ID: group} if group else {}
        spec = build_spec(
            container_id, args, env=env, annotations=annotations, namespaces=namespaces
        )
        spec["process"]["terminal"] = terminal
        path = self.directory / NAMESPACE / container_id
        io = self.directory / "io" / container_id
        io.mkdir(parents=True)
        bundle = Bundle(
            path=path,
            container_id=container_id,
            spec=spec,
            rootfs=[overlay(self.rootfs, self.directory / "snapshots" / container_id)],
            stdin=Input(io / "stdin") if stdin else None,
            stdout=Output(io / "stdout"),
            stderr=None if terminal else Output(io / "stderr"),
        )
        bundle.write()
        self._bundles.append(bundle)
        return bundle

    def environment(self) -> dict[str, str]:
        ours = {"GOMAXPROCS": "2", "TTRPC_ADDRESS": str(self.events.path)}
        if self.shim.transport == "grpc":
            ours |= {"MAX_SHIM_VERSION": "2", "GRPC_ADDRESS": str(self.address)}
        return {**os.environ, **self.shim.environment, **ours}

    def arguments(self, container_id: str) -> list[str]:
        return [
            *(str(self.shim.path), "-namespace", NAMESPACE, "-address", str(self.address)),
            *("-publish-binary", str(self._publish_binary), "-id", container_id),
        ]

    def spawn_start(
        self,
        bundle: Bundle,
        environment: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Run `start` with one pipe for stdout and stderr."""
        return subprocess.Popen(
            [*self.arguments(bundle.container_id), "start"],
            cwd=bundle.path,
            env=self.environment() | dict(environment or {}),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def run_start(
        self,
        bundle: Bundle,
        environment: Mapping[str, str] | None = None,
        options: AnyMessage | None = None,
    ) -> Answer:
        """Run `start` until the pipe's end: a shim that keeps it open makes containerd hang."""
        with tempfile.TemporaryFile() as given:
            given.write(options.SerializeToString() if options else b"")
            given.seek(0)
            return self._run_start(bundle, environment, given)

    def _run_start(
        self, bundle: Bundle, environment: Mapping[str, str] | None, stdin: IO[bytes]
    ) -> Answer:
        with self.spawn_start(bundle, environment, stdin) as process:
            try:
                output, _ = process.communicate(timeout=COMMAND_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Answer(process.returncode, output, b"")

    def start_shim(self, bundle: Bundle, options: AnyMessage | None = None) -> str:
        """Run `start` and return the address that it printed."""
        answer = self.run_start(bundle, options=options)
        assert answer.status == 0, answer.text
        return answer.address

    def run_delete(self, bundle: Bundle) -> Answer:
        done = subprocess.run(
            [*self.arguments(bundle.container_id), "-bundle", str(bundle.path), "delete"],
            cwd=bundle.path,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            process_group=0,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def delete_leftovers(self, bundle: Bundle) -> task_pb2.DeleteResponse:
        """Run `delete` as containerd does after every loss of a connection."""
        answer = self.run_delete(bundle)
        assert answer.status == 0, answer
        return task_pb2.DeleteResponse.FromString(answer.stdout)

    def connect(self, bundle: Bundle, address: str) -> Task:
        task = Task(bundle, address)
        self.tasks.append(task)
        return task

    def start_task(self, bundle: Bundle) -> Task:
        """Run `start` and dial what it printed: a task ready for Create."""
        return self.connect(bundle, self.start_shim(bundle))

    def created(self, bundle: Bundle) -> Task:
        task = self.start_task(bundle)
        task.create()
        return task

    def running(self, bundle: Bundle) -> Task:
        task = self.created(bundle)
        task.start()
        return task

    def kill_shim(self, task: Task) -> None:
        """Kill the task's shim, and wait until it is gone."""
        pid = task.connect().shim_pid
        os.kill(pid, signal.SIGKILL)
        assert leaks.wait_until(lambda: not alive(pid))

    def finish(self, task: Task) -> None:
        """Take a task to its end as containerd and its client do, from whatever state it is in."""
        with contextlib.suppress(ClosedError, FileNotFoundError, TimeoutError, RpcError):
            self._end(task)
            task.shutdown()
        task.client.close()

    def _end(self, task: Task) -> None:
        with contextlib.suppress(RpcError):
            task.kill(9, everyone=True)
        with contextlib.suppress(RpcError):
            task.wait()
        with contextlib.suppress(RpcError):
            task.delete()

    def end(self, task: Task) -> None:
        """Take a task to its end, run `delete`, which must work, and remove its directories."""
        self.finish(task)
        self.tasks.remove(task)
        self.drop(task.bundle)

    def drop(self, bundle: Bundle) -> None:
        """Run `delete`, which must work, and remove the bundle as containerd then does."""
        self.delete_leftovers(bundle)
        bundle.close()
        self._bundles.remove(bundle)
        assert mounted_below(bundle.path) == []
        for name in (NAMESPACE, "io", "snapshots"):
            shutil.rmtree(self.directory / name / bundle.container_id)

    def close(self) -> None:
        """End every shim that this test started, then run `delete` for each bundle."""
        while self.tasks:
            self.finish(self.tasks.pop())
        while self._bundles:
            bundle = self._bundles.pop()
            self.run_delete(bundle)
            bundle.close()
        self.events.wait_until_alone()
        self.events.stop()


def mounted_below(directory: Path) -> list[str]:
    return [point for point in leaks.mounts() if point.startswith(f"{directory}/")]


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return text.rpartition(")")[2].split()[0] not in "ZX"
    return False


def bind_mount(source: Path, *options: str) -> types_pb2.Mount:
    return types_pb2.Mount(type="bind", source=str(source), options=["rbind", *options])
