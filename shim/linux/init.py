"""The init process of a Linux container: created by the OCI runtime, adopted and signalled here."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.any_pb2 import Any

from shim.cgroup import Cgroup
from shim.errdefs import InternalError, NotFoundError, ShimError
from shim.linux.checkpoint import checkpoint_flags
from shim.linux.console import with_stdio
from shim.linux.runtime import OciRuntime
from shim.oci.spec import parse_resources
from shim.process.child_streams import ChildStreams
from shim.process.reaper import Exit
from shim.process.terminal import Terminal


class LinuxInit:
    """One container of the OCI runtime's; `shares_pid_namespace`: it has none of its own."""

    is_alone = False

    def __init__(
        self,
        runtime: OciRuntime,
        container_id: str,
        cgroup: Cgroup,
    ) -> None:
        self._runtime = runtime
        self._id = container_id
        self._cgroup = cgroup
        self.shares_pid_namespace = False
        self.pid = 0
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def create(
        self, pid_file: Path, streams: ChildStreams, terminal: Terminal | None
    ) -> None:
        """Have the container created, and find its process.

        Raises:
            InternalError: the runtime failed; its reason is in the text.
        """
        begun = await with_stdio(
            self._runtime.bundle,
            streams,
            terminal,
            lambda stdio, console: self._runtime.create(self._id, pid_file, stdio, console),
        )
        try:
            self.pid = int(pid_file.read_text())
        except (OSError, ValueError) as error:
            await self._runtime.delete(self._id)
            raise InternalError(f"container {self._id}: its pid file is unusable") from error
        self.exited = self._runtime.reaper.adopt(self.pid, begun)

    async def start(self) -> None:
        """Let the created process run user code."""
        await self._runtime.start(self._id)

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the process, or everything in the container.

        Raises:
            NotFoundError: it has ended.
        """
        if everything:
            await self._runtime.kill_all(self._id, signal)
            return
        if not self._runtime.reaper.is_unreaped(self.pid):
            raise NotFoundError(f"container {self._id} has ended already")
        os.kill(self.pid, signal)

    def pids(self) -> Sequence[int]:
        """Every process of the container."""
        return self._cgroup.pids()

    async def pause(self) -> None:
        """Freeze every process of the container."""
        await self._runtime.pause(self._id)

    async def resume(self) -> None:
        """Let them go on."""
        await self._runtime.resume(self._id)

    async def update(self, resources: bytes) -> None:
        """Change the container's limits to `resources`, the spec's LinuxResources as JSON.

        Raises:
            InvalidArgumentError: the text is no such thing.
            InternalError: the runtime refuses them; its reason is in the text.
        """
        parse_resources(resources)
        file = self._runtime.bundle / "resources.json"
        file.write_bytes(resources)
        try:
            await self._runtime.update(self._id, file)
        finally:
            file.unlink(missing_ok=True)

    async def checkpoint(self, path: str, options: Any) -> None:
        """Have CRIU write the container's state below `path`.

        Raises:
            UnimplementedError: this node has no CRIU.
            InternalError: it failed; its reason, or where it is to be found, is in the text.
        """
        flags = checkpoint_flags(path, options, self._runtime.search_path)
        await self._runtime.checkpoint(self._id, flags)

    async def after_exit(self) -> None:
        """Without a pid namespace of its own, the other processes outlive init: end them."""
        if self.shares_pid_namespace:
            with contextlib.suppress(ShimError):
                await self._runtime.kill_all(self._id, signal.SIGKILL)

    async def release(self) -> None:
        """Have the runtime forget the container."""
        await self._runtime.delete(self._id)
