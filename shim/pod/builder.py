"""Create, end to end: from a request to a process that waits for Start.

Rules: what the request and the spec alone tell is refused before the first mount, and the rest,
which takes a look into the rootfs, before the first fork; the record for `delete` is written before
the first thing that would need cleaning; what fails half-way is undone here, in reverse.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from shim.aot.cache import Artefact, Cache
from shim.aot.loader import CompileLimits
from shim.api import task_pb2
from shim.cgroup import Cgroup, locate
from shim.config import Config
from shim.engine.run import Program
from shim.errdefs import (
    InvalidArgumentError,
    ShimError,
    StaleArtefactError,
    UnimplementedError,
)
from shim.instance.child import InstanceSpec
from shim.instance.init import WasmInit
from shim.jail import JailPlan, build_plan
from shim.linux.init import LinuxInit
from shim.linux.runtime import OciRuntime, RuntimeOptions
from shim.oci.spec import Spec, parse_spec
from shim.pod.loading import load_artefact
from shim.pod.options import runtime_options
from shim.pod.program import WasmFile, find_wasm
from shim.process.later import close_later
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.record import Record, pid_file, remove_record, write_record
from shim.rootfs import RootfsMount, mount_rootfs, unmount_rootfs
from shim.task.ports import Built, Init

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Node:
    """What all containers of a pod have in common."""

    engine: Any
    compatibility_key: str
    config: Config
    env: Mapping[str, str]
    oci_runtime_root: Path
    reaper: Reaper


def _unmount(rootfs: Path) -> None:
    """Unmount now, and have the kernel give the file system up after the answer has left.

    The end of an overlay writes back the whole file system below it: milliseconds on a busy disk
    (docs/performance.md). A descriptor puts that off; nobody sees the mount any more.
    """
    with contextlib.suppress(OSError):
        close_later(os.open(rootfs, os.O_PATH | os.O_CLOEXEC))
    unmount_rootfs(rootfs)


@dataclass(frozen=True, slots=True)
class _Container:
    request: task_pb2.CreateTaskRequest
    bundle: Path
    rootfs: Path
    spec: Spec
    options: RuntimeOptions
    cgroup: Cgroup

    @property
    def rootfs_identity(self) -> str:
        """What the rootfs is made of, without the writable layer, which differs per container."""
        parts = [os.fspath(self.rootfs)] if not self.request.rootfs else []
        for mount in self.request.rootfs:
            layers = [o for o in mount.options if o.startswith("lowerdir=")]
            parts += [mount.type, *(layers or [mount.source])]
        return "\0".join(parts)


class ContainerBuilder:
    """Makes the containers of one pod."""

    def __init__(self, node: Node) -> None:
        self._node = node
        config = node.config
        self._cache = Cache(
            Path(config.cache.directory), config.cache.max_bytes, node.compatibility_key
        )
        self._limits = CompileLimits(config.compile.memory_bytes, config.compile.timeout_s)

    async def build(self, request: task_pb2.CreateTaskRequest) -> Built:
        """Make one.

        Raises:
            ShimError: why not; nothing of it is left then.
        """
        container = self._read(request)
        bundle, rootfs = container.bundle, container.rootfs
        with contextlib.ExitStack() as undo:
            stdio = Stdio.open(request.stdin, request.stdout, request.stderr)
            undo.callback(stdio.close)
            write_record(
                bundle,
                Record(
                    rootfs=os.fspath(rootfs),
                    cgroup_paths=tuple(os.fspath(path) for path in container.cgroup.paths),
                    oci_runtime=container.options.binary,
                    oci_runtime_root=os.fspath(container.options.root),
                ),
            )
            undo.callback(remove_record, bundle)
            mount_rootfs(
                [RootfsMount(m.type, m.source, m.target, tuple(m.options)) for m in request.rootfs],
                rootfs,
            )
            undo.callback(_unmount, rootfs)
            wasm = find_wasm(container.spec, rootfs, container.rootfs_identity)
            if wasm is None:
                init: Init = await self._build_linux(container, stdio)
            else:
                with contextlib.ExitStack() as opened:
                    opened.callback(os.close, wasm.fd)
                    init = await self._build_wasm(container, wasm, stdio)
            stdio.close_child_fds()
            return Built(init, stdio, undo.pop_all().close, container.cgroup.oom_kills)

    def _read(self, request: task_pb2.CreateTaskRequest) -> _Container:
        bundle = Path(request.bundle)
        if not bundle.is_absolute():
            raise InvalidArgumentError(f"bundle {request.bundle[:200]!r} is not an absolute path")
        if request.terminal:
            raise UnimplementedError(f"container {request.id}: terminals are not supported")
        try:
            spec = parse_spec((bundle / "config.json").read_bytes())
        except (OSError, ValueError) as error:
            # ValueError: a NUL in the path.
            reason, name = getattr(error, "strerror", None) or error, request.bundle[:200]
            raise InvalidArgumentError(f"bundle {name}: config.json: {reason}") from error
        options = runtime_options(request.options, self._node.config, self._node.oci_runtime_root)
        return _Container(
            request=request,
            bundle=bundle,
            rootfs=bundle / (spec.root_path if not request.rootfs else "rootfs"),
            spec=spec,
            options=options,
            cgroup=locate(spec.cgroups_path or f"/{request.id}", systemd=options.systemd_cgroup),
        )

    async def _build_linux(self, container: _Container, stdio: Stdio) -> LinuxInit:
        node = self._node
        runtime = OciRuntime(container.options, container.bundle, node.env, node.reaper)
        init = LinuxInit(
            runtime,
            container.request.id,
            container.cgroup,
            shares_pid_namespace=not any(
                n.type == "pid" and not n.path for n in container.spec.namespaces
            ),
        )
        await init.create(pid_file(container.bundle), stdio.child_fds)
        return init

    async def _build_wasm(self, container: _Container, wasm: WasmFile, stdio: Stdio) -> WasmInit:
        plan = build_plan(container.spec, container.rootfs)
        artefact = await self._artefact(wasm)
        try:
            init = await self._instance(container, wasm, artefact, plan, stdio)
        except StaleArtefactError as error:
            _log.warning("artefact dropped", path=str(artefact.path), error=str(error))
            self._cache.drop(artefact)
            init = await self._instance(container, wasm, await self._artefact(wasm), plan, stdio)
        pid_file(container.bundle).write_text(str(init.pid))
        return init

    async def _artefact(self, wasm: WasmFile) -> Artefact:
        try:
            return await load_artefact(
                wasm.fd, wasm.identity, self._cache, self._limits, self._node.reaper
            )
        except ShimError as error:
            raise type(error)(f"entry point {wasm.path[:200]}: {error}") from error

    async def _instance(
        self,
        container: _Container,
        wasm: WasmFile,
        artefact: Artefact,
        plan: JailPlan,
        stdio: Stdio,
    ) -> WasmInit:
        process, cgroup = container.spec.process, container.cgroup
        program = Program(
            artefact=artefact.path,
            kind=artefact.kind,
            function=wasm.function,
            args=process.args,
            env=process.env,
            cwd=process.cwd,
        )
        cgroup.create(container.spec.resources)
        try:
            return await WasmInit.create(
                InstanceSpec(self._node.engine, program, plan, cgroup.procs_files()),
                stdio.child_fds,
                cgroup,
                self._node.reaper,
            )
        except BaseException:
            cgroup.remove()
            raise
