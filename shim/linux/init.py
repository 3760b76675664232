"""The init process of a Linux container: created by the OCI runtime, adopted and signalled here."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import structlog

from shim.cgroup import Cgroup
from shim.errdefs import InternalError, NotFoundError, ShimError
from shim.linux.runtime import OciRuntime
from shim.process.reaper import Exit

_log = structlog.get_logger()


class LinuxInit:
    """One container of the OCI runtime's."""

    def __init__(
        self,
        runtime: OciRuntime,
        container_id: str,
        cgroup: Cgroup,
        *,
        shares_pid_namespace: bool,
    ) -> None:
        self._runtime = runtime
        self._id = container_id
        self._cgroup = cgroup
        self._shares_pid_namespace = shares_pid_namespace
        self.pid = 0
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def create(self, pid_file: Path, stdio: Sequence[int]) -> None:
        """Have the container created, and find its process.

        Raises:
            InternalError: the runtime failed; its reason is in the text.
        """
        begun = await self._runtime.create(self._id, pid_file, stdio)
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

    async def after_exit(self) -> None:
        """Without a pid namespace of its own, the other processes outlive init: end them."""
        if self._shares_pid_namespace:
            with contextlib.suppress(ShimError):
                await self._runtime.kill_all(self._id, signal.SIGKILL)

    async def release(self) -> None:
        """Have the runtime forget the container."""
        await self._runtime.delete(self._id)
        with contextlib.suppress(OSError, ShimError):
            # The runtime has removed it; where a process lingered, it could not.
            self._cgroup.remove()
