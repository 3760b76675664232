"""The control groups of runs: each is named after its runner, so that a dead one's can be told.

Rules: a runner removes its own group; what one leaves that was killed, the next one removes, or
the client that waited for it. Only empty groups are removed and nothing is killed here: a guest
dies with its runner (prctl(2), PR_SET_PDEATHSIG).
"""

import contextlib
import os
from pathlib import Path

from shim.cgroup import locate

_PARENT = "/tandem/run"


def group_name() -> str:
    """The `cgroupsPath` for a guest of this process."""
    pid = os.getpid()
    return f"{_PARENT}/{pid}-{_started(pid)}"


def sweep() -> None:
    """Remove the groups of runners that are gone."""
    for path in locate(f"{_PARENT}/x", systemd=False).paths:
        with contextlib.suppress(OSError):
            for group in path.parent.iterdir():
                if group.is_dir() and not _is_alive(group.name):
                    _remove(group)


def _remove(path: Path) -> None:
    # EBUSY: its guest is on its way out, or somebody of another pid namespace has it.
    with contextlib.suppress(OSError):
        path.rmdir()


def _is_alive(name: str) -> bool:
    pid, _, started = name.partition("-")
    return pid.isdecimal() and _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process began, in ticks since boot (proc_pid_stat(5), 22): with its pid, the name
    that no other process has; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return ""
