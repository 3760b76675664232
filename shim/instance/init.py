"""The init process of a Wasm container, and with it the container: an instance, and its group.

Rules: what the OCI runtime does for a Linux container, the control group does here; whatever was
executed in the container is in that group, too.
"""

import contextlib
import os
from collections.abc import Sequence

from google.protobuf.any_pb2 import Any

from shim.cgroup.freezer import freeze, thaw
from shim.cgroup.update import update
from shim.errdefs import UnimplementedError
from shim.instance.hooks import Hooks
from shim.instance.process import WasmProcess
from shim.oci.spec import parse_resources


class WasmInit(WasmProcess):
    """One container's instance."""

    is_alone = True
    hooks: Hooks | None = None

    async def start(self) -> None:
        """Let the guest run.

        Raises:
            InternalError: the instance has died while it waited.
        """
        await super().start()
        if self.hooks is not None:
            await self.hooks.started(self.pid)

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the instance, or all that is in the container.

        Raises:
            NotFoundError: it has ended.
        """
        await super().kill(signal, everything=False)
        if everything:
            for pid in self._cgroup.pids():
                if pid != self.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal)

    def pids(self) -> Sequence[int]:
        """Every process of the container."""
        return self._cgroup.pids()

    async def pause(self) -> None:
        """Freeze every process of the container.

        Raises:
            InternalError: the kernel does not freeze them.
        """
        await freeze(self._cgroup)

    async def resume(self) -> None:
        """Let them go on."""
        await thaw(self._cgroup)

    async def update(self, resources: bytes) -> None:
        """Change the container's limits to `resources`, the spec's LinuxResources as JSON.

        Raises:
            InvalidArgumentError: the text is no such thing, or the kernel refuses a value.
        """
        update(self._cgroup, parse_resources(resources))

    async def checkpoint(self, path: str, options: Any) -> None:
        """Refuse it.

        Raises:
            UnimplementedError: always; wasmtime cannot write an instance's state.
        """
        del path, options
        raise UnimplementedError(
            "a Wasm container cannot be checkpointed: wasmtime has no snapshots"
        )

    async def after_exit(self) -> None:
        """End what was executed in the container, and what that has started."""
        if self._cgroup.pids():
            self._cgroup.kill()

    async def release(self) -> None:
        """Let go of its mounts, remove the group, and run what runs after the end."""
        await super().release()
        self._cgroup.remove()
        # Once, also where Delete has to be repeated.
        hooks, self.hooks = self.hooks, None
        if hooks is not None:
            await hooks.stopped()
