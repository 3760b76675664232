"""A Linux program executed in a Wasm container: a container of the OCI runtime's beside it.

Rules: it has a bundle below the Wasm container's, and a name that begins with the Wasm container's
and `COMPANION`, by which `delete` finds it after a shim's death; before the program runs, it is
moved into the Wasm container's control group, whose limits, statistics, freezing and end it shares.
"""

import itertools
import os
import shutil
from collections.abc import Awaitable, Callable

from shim.cgroup import Cgroup
from shim.linux.init import LinuxInit
from shim.linux.runtime import OciRuntime
from shim.process.child_streams import ChildStreams
from shim.process.terminal import Terminal
from shim.record import COMPANION

_numbers = itertools.count()


def companion_id(container_id: str) -> str:
    """A name for one more companion of a Wasm container."""
    return f"{container_id}{COMPANION}{next(_numbers)}"


class CompanionExec(LinuxInit):
    """One program, which exists from `start` on; its runtime's bundle is made there."""

    def __init__(
        self,
        runtime: OciRuntime,
        companion: str,
        config: str,
        cgroup: Cgroup,
        streams: ChildStreams,
        terminal: Terminal | None,
        after: Callable[[], Awaitable[None]],
    ) -> None:
        """`config` is its config.json; `cgroup` is the Wasm container's; `after` is called when
        nothing is left of it."""
        super().__init__(runtime, companion, cgroup)
        self._config = config
        self._streams = streams
        self._terminal = terminal
        self._after = after

    async def start(self) -> None:
        """Have the container created, move it, let it run.

        Raises:
            ShimError: why not; `release` removes what there is of it.
        """
        bundle = self._runtime.bundle
        bundle.mkdir(mode=0o711)
        (bundle / "config.json").write_text(self._config)
        await self.create(bundle / "init.pid", self._streams, self._terminal)
        self._cgroup.adopt(self.pid)
        await super().start()

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the program; `everything` is the container's business.

        Raises:
            NotFoundError: it has ended.
        """
        del everything
        await super().kill(signal, everything=False)

    async def release(self) -> None:
        """Have the runtime forget it, and remove its bundle."""
        try:
            await super().release()
            shutil.rmtree(os.fspath(self._runtime.bundle), ignore_errors=True)
        finally:
            await self._after()
