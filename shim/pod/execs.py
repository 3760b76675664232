"""What a process is that containerd has executed in a container, by the container's kind.

In a Linux container it is the OCI runtime's affair. In a Wasm container it is a further Wasm file
of the image, or a function of one, in the same jail; or a Linux program, if the image holds it, as
a companion. Rules: a request that makes no process is refused by `check`, at Exec; what takes a
look into the rootfs is refused at the process's start, before anything is forked.
"""

import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shim.api import task_pb2
from shim.cgroup.names import beside
from shim.errdefs import InvalidArgumentError
from shim.instance.init import WasmInit
from shim.linux.companion import CompanionExec, companion_id
from shim.linux.exec import LinuxExec
from shim.linux.runtime import OciRuntime
from shim.oci.companion import companion_config
from shim.oci.spec import parse_process
from shim.pod.companion_pids import CompanionPids
from shim.pod.container_request import ContainerRequest
from shim.pod.images import WasmImage, known_by_image
from shim.pod.node import Node
from shim.pod.program import NotThere, find_wasm, is_there
from shim.pod.wasm import WasmInstances
from shim.process.child_streams import ChildStreams
from shim.process.streams import open_streams
from shim.process.terminal import Terminal
from shim.rootfs import forbid_devices
from shim.task.ports import Executed, Handle

# The spec's names of namespaces, and the kernel's.
_JOINED = {"network": "net", "ipc": "ipc", "uts": "uts"}


Maker = Callable[[task_pb2.ExecProcessRequest, ChildStreams, Terminal | None], Awaitable[Handle]]


@dataclass(frozen=True, slots=True)
class Execs:
    """Executes in one container; `make` knows its kind."""

    node: Node
    container: ContainerRequest
    make: Maker

    def check(self, request: task_pb2.ExecProcessRequest) -> None:
        """Refuse what is no process.

        Raises:
            InvalidArgumentError: why it is none.
        """
        process = parse_process(request.spec.value)
        if not process.args or not process.args[0]:
            raise InvalidArgumentError("process.args is empty or begins with nothing to run")

    async def build(self, request: task_pb2.ExecProcessRequest) -> Executed:
        """A process that is ready for its start.

        Raises:
            ShimError: why not; nothing of it is left then.
        """
        streams, terminal = await open_streams(
            self.container.paths_of(request),
            self.container.id,
            self.node.namespace,
            self.node.reaper,
        )
        try:
            return Executed(await self.make(request, streams, terminal), streams)
        except BaseException:
            streams.close()
            raise


def linux_execs(node: Node, container: ContainerRequest, runtime: OciRuntime) -> Execs:
    """What is executed in a Linux container."""

    async def make(
        request: task_pb2.ExecProcessRequest, streams: ChildStreams, terminal: Terminal | None
    ) -> Handle:
        process = json.dumps(_process_of(request)).encode()
        return LinuxExec(runtime, container.id, process, streams, terminal)

    return Execs(node, container, make)


def wasm_execs(
    node: Node,
    container: ContainerRequest,
    init: WasmInit,
    instances: WasmInstances,
    image: WasmImage | None = None,
) -> Execs:
    """What is executed in a Wasm container, whose module may be its `image`: an instance in its
    jail, or a companion."""
    pids: CompanionPids | None = None

    async def make(
        request: task_pb2.ExecProcessRequest, streams: ChildStreams, terminal: Terminal | None
    ) -> Handle:
        nonlocal pids
        process = parse_process(request.spec.value)
        if process.args[0].startswith("#") and image is None:
            # A function of the container's own module.
            own = container.spec.process.args[0].partition("#")[0]
            process = replace(process, args=(own + process.args[0], *process.args[1:]))
        spec = replace(container.spec, process=process)
        wasm = find_wasm(spec, container.rootfs, container.rootfs_identity)
        if isinstance(wasm, NotThere):
            executed = image.executing(process) if image is not None else None
            if executed is not None:
                spec = replace(spec, process=executed.process(process))
                return await instances.execute(
                    container, spec, init.pid, executed, streams, terminal
                )
            if wasm.problem:
                raise InvalidArgumentError(wasm.problem)
            wasm = None
        if wasm is None:
            if pids is None:
                pids = CompanionPids(lambda: instances.hold_pids(container, init.pid))
            return await _companion(node, container, init, pids, request, streams, terminal)
        wasm = known_by_image(wasm, node, container.id)
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, wasm.fd)
            return await instances.execute(container, spec, init.pid, wasm, streams, terminal)

    return Execs(node, container, make)


async def _companion(
    node: Node,
    container: ContainerRequest,
    init: WasmInit,
    pids: CompanionPids,
    request: task_pb2.ExecProcessRequest,
    streams: ChildStreams,
    terminal: Terminal | None,
) -> Handle:
    process = parse_process(request.spec.value)
    spec = replace(container.spec, process=process)
    if not is_there(spec, container.rootfs):
        raise InvalidArgumentError(
            f"{process.args[0][:200]} is not in the image of container {container.id}, which runs"
            " Wasm; execute a Wasm file of the image, or debug the pod with a container that has"
            " a shell"
        )
    # As in the jail; the filter of the OCI runtime's group will not apply to the program.
    forbid_devices(container.rootfs)
    name = companion_id(container.id)
    runtime = OciRuntime(container.options, container.bundle / name, node.env, node.reaper)
    namespaces = {kind: Path(f"/proc/{init.pid}/ns/{file}") for kind, file in _JOINED.items()}
    holder = await pids.enter()
    try:
        config = companion_config(
            json.loads((container.bundle / "config.json").read_bytes()),
            _process_of(request),
            container.rootfs,
            {**namespaces, "pid": Path(f"/proc/{holder.pid}/ns/pid")},
            beside(container.spec.cgroups_path or f"/{container.id}", name.rpartition(".")[2]),
        )
    except BaseException:
        await pids.leave(holder)
        raise
    return CompanionExec(
        runtime,
        name,
        json.dumps(config),
        container.cgroup,
        streams,
        terminal,
        lambda: pids.leave(holder),
    )


def _process_of(request: task_pb2.ExecProcessRequest) -> dict[str, Any]:
    process: dict[str, Any] = json.loads(request.spec.value)
    process["terminal"] = request.terminal
    return process
