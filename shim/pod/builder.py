"""Create, end to end: from a request to a process that waits for Start.

Rules: what the request and the spec alone tell is refused before the first mount, and the rest,
which takes a look into the rootfs, before the first fork; the record for `delete` is written before
the first thing that would need cleaning; what fails half-way is undone here, in reverse.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from shim.api import task_pb2
from shim.errdefs import InvalidArgumentError, ShimError, UnavailableError, UnimplementedError
from shim.linux.init import LinuxInit
from shim.linux.restore import RestoredInit
from shim.linux.runtime import OciRuntime
from shim.pod.cgi import CgiPrograms
from shim.pod.cgi_modules import ModulesFile, find_modules_file, what_runs
from shim.pod.container_request import ContainerRequest, read_request
from shim.pod.execs import Execs, linux_execs, wasm_execs
from shim.pod.group import ContainerGroup
from shim.pod.images import Images, WasmImage, chooses_module, known_by_image
from shim.pod.node import Node
from shim.pod.pid_namespace import is_an_instances, make_private
from shim.pod.program import NotThere, WasmFile, find_wasm, has_modules_file
from shim.pod.wasm import WasmInstances
from shim.process.child_streams import ChildStreams
from shim.process.later import close_later
from shim.process.streams import open_streams
from shim.process.terminal import Terminal
from shim.record import Record, pid_file, remove_record, write_record
from shim.rootfs import RootfsMount, mount_rootfs, unmount_rootfs
from shim.task.ports import Built, Init


def _unmount(rootfs: Path) -> None:
    """Unmount now, and have the kernel give the file system up after the answer has left.

    The end of an overlay writes back the whole file system below it: milliseconds on a busy disk
    (docs/performance.md). A descriptor puts that off; nobody sees the mount any more.
    """
    with contextlib.suppress(OSError):
        close_later(os.open(rootfs, os.O_PATH | os.O_CLOEXEC))
    unmount_rootfs(rootfs)


@contextlib.contextmanager
def _explained(program: NotThere | None) -> Iterator[None]:
    """Add what is known of a missing program to the OCI runtime's words."""
    try:
        yield
    except ShimError as error:
        if program is None:
            raise
        raise type(error)(f"{error}; {program.problem}") from error


class ContainerBuilder:
    """Makes the containers of one pod."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._instances = WasmInstances(node)
        self._images = Images(node, self._instances)

    async def build(self, request: task_pb2.CreateTaskRequest) -> Built:
        """Make one.

        Raises:
            ShimError: why not; nothing of it is left then.
        """
        node = self._node
        container = read_request(request, node.config, node.oci_runtime_root)
        bundle, rootfs = container.bundle, container.rootfs
        with contextlib.ExitStack() as undo:
            streams, terminal = await open_streams(
                container.paths_of(request), container.id, node.namespace, node.reaper
            )
            undo.callback(streams.close)
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
            program = await self._find(container)
            if program is None or isinstance(program, NotThere):
                with _explained(program):
                    init, execs = await self._build_linux(container, streams, terminal)
            else:
                with contextlib.ExitStack() as opened:
                    if isinstance(program, WasmImage):
                        undo.enter_context(program.files(container))
                        container = program.container(container)
                    elif isinstance(program, WasmFile):
                        opened.callback(os.close, program.fd)
                    known = partial(known_by_image, node=node, container_id=container.id)
                    runs = what_runs(container, program, known, opened)
                    image = program if isinstance(program, WasmImage) else None
                    init, execs = await self._build_wasm(container, runs, image, streams, terminal)
            group = ContainerGroup(container.cgroup)
            return Built(init, streams, group, execs, undo.pop_all().close)

    async def _find(
        self, container: ContainerRequest
    ) -> WasmFile | WasmImage | ModulesFile | NotThere | None:
        """What the container runs; without a Wasm program it is the OCI runtime's affair, which may
        fail for a reason that is known here.

        Raises:
            ShimError: nobody can run it.
        """
        spec = container.spec
        if chooses_module(spec):
            image = await self._images.find(container)
            if image is not None:
                return image
        if has_modules_file(spec):
            table = find_modules_file(spec, container.rootfs)
            if table is not None:
                return table
        found = find_wasm(spec, container.rootfs, container.rootfs_identity)
        if isinstance(found, WasmFile):
            return known_by_image(found, self._node, container.id)
        if found is None:
            return None
        try:
            image = None if chooses_module(spec) else await self._images.find(container)
        except UnavailableError as error:
            problem = f"its image may be a Wasm artifact, but {error}"
            if not found.problem:
                return NotThere(problem)
            raise InvalidArgumentError(f"{found.problem}; {problem}") from error
        if image is None and found.problem:
            raise InvalidArgumentError(found.problem)
        return image

    async def _build_linux(
        self, container: ContainerRequest, streams: ChildStreams, terminal: Terminal | None
    ) -> tuple[Init, Execs]:
        node, checkpoint = self._node, container.request.checkpoint
        runtime = OciRuntime(container.options, container.bundle, node.env, node.reaper)
        init = LinuxInit(runtime, container.id, container.cgroup)
        if checkpoint:
            init = RestoredInit(runtime, container.id, container.cgroup, checkpoint)
        if is_an_instances(container.spec):
            make_private(container.bundle / "config.json")
        else:
            init.shares_pid_namespace = not any(
                n.type == "pid" and not n.path for n in container.spec.namespaces
            )
        await init.create(pid_file(container.bundle), streams, terminal)
        return init, linux_execs(node, container, runtime)

    async def _build_wasm(
        self,
        container: ContainerRequest,
        wasm: WasmFile | WasmImage | CgiPrograms,
        image: WasmImage | None,
        streams: ChildStreams,
        terminal: Terminal | None,
    ) -> tuple[Init, Execs]:
        if container.request.checkpoint:
            raise UnimplementedError("a Wasm container cannot be restored from a checkpoint")
        init = await self._instances.create(container, wasm, streams, terminal)
        return init, wasm_execs(self._node, container, init, self._instances, image)
