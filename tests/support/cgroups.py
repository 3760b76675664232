"""Groups of this machine, v1 or v2, and processes in them that do something known."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from shim.cgroup import Cgroup

_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
IS_V2 = _CONTROLLERS.exists()
HAS_CPUSET = not IS_V2 or "cpuset" in _CONTROLLERS.read_text().split()
"""Not everywhere: a kernel for one processor offers none on v2."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def value(group: Cgroup, name: str) -> str:
    """What the group's file of that name says."""
    return next((path / name).read_text().strip() for path in group.paths if (path / name).exists())


def run_in(group: Cgroup, action: Callable[[], object]) -> int:
    """The pid of a child that has joined the group, and now does this and then ends."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for file in group.procs_files():
                file.write_text("0")
            os.write(write_fd, b"x")
            action()
        finally:
            os._exit(1)
    os.close(write_fd)
    joined = os.read(read_fd, 1)
    os.close(read_fd)
    assert joined, f"no process can join {group.paths}"
    return pid


def join(group: Cgroup) -> int:
    """A child that joins the group and waits for its end."""
    return run_in(group, signal.pause)


def hold(size: int) -> None:
    """Use that many bytes of memory for good."""
    memory = touch(size)
    signal.pause()
    del memory


def spin() -> None:
    """Use a processor for good."""
    while True:
        pass


def touch(size: int) -> bytearray:
    """Memory of that many bytes, every page of it used."""
    memory = bytearray(size)
    memory[::4096] = b"x" * len(memory[::4096])
    return memory


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
