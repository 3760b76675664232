"""A process executed in a Linux container by the OCI runtime, adopted and signalled here."""

import asyncio
import itertools
import os

from shim.errdefs import InternalError, NotFoundError
from shim.linux.console import with_stdio
from shim.linux.runtime import OciRuntime
from shim.process.child_streams import ChildStreams
from shim.process.reaper import Exit
from shim.process.terminal import Terminal

_numbers = itertools.count()


class LinuxExec:
    """One process, which exists from `start` on."""

    def __init__(
        self,
        runtime: OciRuntime,
        container_id: str,
        process: bytes,
        streams: ChildStreams,
        terminal: Terminal | None,
    ) -> None:
        """`process` is the spec's Process as JSON."""
        self._runtime = runtime
        self._id = container_id
        self._process = process
        self._streams = streams
        self._terminal = terminal
        self.pid = 0
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Have it executed.

        Raises:
            InternalError: the runtime failed; its reason is in the text.
        """
        bundle, number = self._runtime.bundle, next(_numbers)
        process_file, pid_file = bundle / f"exec-{number}.json", bundle / f"exec-{number}.pid"
        process_file.write_bytes(self._process)
        try:
            begun = await with_stdio(
                bundle,
                self._streams,
                self._terminal,
                lambda stdio, console: self._runtime.execute(
                    self._id, process_file, pid_file, stdio, console
                ),
            )
            self.pid = int(pid_file.read_text())
        except (OSError, ValueError) as error:
            raise InternalError(f"container {self._id}: no pid of what it executes") from error
        finally:
            for file in (process_file, pid_file):
                file.unlink(missing_ok=True)
        self.exited = self._runtime.reaper.adopt(self.pid, begun)

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the process; `everything` is the container's business.

        Raises:
            NotFoundError: it has ended.
        """
        del everything
        if not self._runtime.reaper.is_unreaped(self.pid):
            raise NotFoundError(f"process {self.pid} of container {self._id} has ended already")
        os.kill(self.pid, signal)

    async def release(self) -> None:
        """Nothing is held outside the bundle."""
