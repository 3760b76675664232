"""The init process of a Linux container that CRIU makes anew: it has no pid before Start.

Rules: until then nothing of it exists, so a kill ends it here (containerd
pkg/process/init_state.go, createdCheckpointState).
"""

import time
from pathlib import Path

from shim.cgroup import Cgroup
from shim.errdefs import InternalError, NotFoundError
from shim.linux.checkpoint import restore_flags
from shim.linux.console import with_stdio
from shim.linux.init import LinuxInit
from shim.linux.runtime import OciRuntime
from shim.process.child_streams import ChildStreams
from shim.process.reaper import Exit
from shim.process.terminal import Terminal


class RestoredInit(LinuxInit):
    """One container of the OCI runtime's, from the checkpoint at a path."""

    def __init__(
        self,
        runtime: OciRuntime,
        container_id: str,
        cgroup: Cgroup,
        checkpoint: str,
    ) -> None:
        super().__init__(runtime, container_id, cgroup)
        self._flags = restore_flags(checkpoint, runtime.search_path)

    async def create(
        self, pid_file: Path, streams: ChildStreams, terminal: Terminal | None
    ) -> None:
        """Keep what `start` will need."""
        self._pid_file, self._streams, self._terminal = pid_file, streams, terminal

    async def start(self) -> None:
        """Have CRIU make the container, running.

        Raises:
            InternalError: it failed; its reason, or where it is to be found, is in the text.
        """
        begun = await with_stdio(
            self._runtime.bundle,
            self._streams,
            self._terminal,
            lambda stdio, console: self._runtime.restore(
                self._id, self._pid_file, stdio, self._console_flags(console)
            ),
        )
        try:
            self.pid = int(self._pid_file.read_text())
        except (OSError, ValueError) as error:
            raise InternalError(f"container {self._id}: its pid file is unusable") from error
        adopted = self._runtime.reaper.adopt(self.pid, begun)
        # Whoever follows the container has been given this future already.
        adopted.add_done_callback(lambda ended: self._end(ended.result()))

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the process; before `start`, any signal ends it.

        Raises:
            NotFoundError: it has ended.
        """
        if self.pid:
            await super().kill(signal, everything=everything)
        elif self.exited.done():
            raise NotFoundError(f"container {self._id} has ended already")
        else:
            self._end(Exit(128 + signal, time.time_ns()))

    def _console_flags(self, console: str) -> list[str]:
        return [*self._flags, "--console-socket", console] if console else self._flags

    def _end(self, ended: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(ended)
