"""The place where a benchmark runs: folder, mounts, control groups and node daemon of its own.

Rules: `/run` is private, since the Go shim keeps its sockets below it wherever its containerd
lives; every process that is started here is a descendant (subreaper), is ended by its pid, and
leaves nothing behind.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from shim.kernel.constants import CLONE_NEWNS, MS_PRIVATE, MS_REC
from shim.kernel.libc import LINUX
from tests.support import leaks
from tests.support.node import remove_cgroups
from tests.support.tandem_home import TandemHome

OURS = Path(sys.executable).parent
"""Where `make setup` puts the executables."""
SHIM = "containerd-shim-tandem-v1"

_END_S = 10.0


def isolate() -> None:
    """Give this process, and all that it starts, mounts and a /run of its own."""
    LINUX.unshare(CLONE_NEWNS)
    LINUX.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    LINUX.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    leaks.become_subreaper()


class Node:
    """A folder with a Tandem of its own; `isolate` must have been called."""

    def __init__(self, programs: Path = OURS) -> None:
        """Describe it; `programs` is the directory of its Tandem's executables."""
        self.programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
        # Also a namespace of containerd, which takes no underscore at the end.
        self.name = self.directory.name.replace("_", "x")
        self.home = TandemHome(self.directory / "tandem")
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes[::-1]:
            self.end(process)
        self.home.stop_daemon()
        self._end_descendants()
        for point in reversed(leaks.mounts()):
            if point.startswith(f"{self.directory}/"):
                LINUX.umount(point, 2)
        remove_cgroups(self.name)
        shutil.rmtree(self.directory)

    @property
    def environment(self) -> dict[str, str]:
        """What containerd's environment is here."""
        path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        return {**os.environ, **self.home.environment, "PATH": f"{self.programs}:{path}"}

    def spawn(self, argv: list[str | Path], log: str) -> "subprocess.Popen[bytes]":
        """Start a process that is ended with the node; its stderr goes to a file of that name."""
        with (self.directory / log).open("wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=self.environment,
            )
        self._processes.append(process)
        return process

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """End a process that `spawn` started, and wait for that."""
        with process:
            process.terminate()
            process.wait(_END_S)
        self._processes.remove(process)

    def daemon_tree(self) -> set[int]:
        """The pids of the node daemon and of everything that it has forked."""
        daemon = self.home.daemon_pid
        if daemon is None:
            raise RuntimeError("no node daemon runs")
        return {daemon, *(process.pid for process in leaks.descendants(daemon))}

    def _end_descendants(self) -> None:
        """End what outlived its own end, an error's victims mostly, and reap all."""
        for process in leaks.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        leaks.wait_until(reap, _END_S)


def reap() -> bool:
    """Collect the orphans that ended; true when this process has no child left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True
