"""The directories of a control group: making them, with those above, and removing them.

Rules: those above a container's own are made where missing and never removed. No waiting but for
the short retries of `remove_directory`.
"""

import errno
import time
from pathlib import Path

from shim.cgroup.files import read, tree, try_write
from shim.cgroup.settings import holds_processes
from shim.errdefs import FailedPreconditionError, InternalError

_V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
_REMOVE_DELAYS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


def make_directory(path: Path, root: Path, *, unified: bool) -> bool:
    """Make one directory and those above it; False where it existed already, empty.

    `root` is the mount point of v2, or the directory of those of v1.

    Raises:
        FailedPreconditionError: it exists and holds processes, or a group below it does.
        InternalError: it cannot be made.
    """
    try:
        if unified:
            _make_v2_parents(path.parent, root)
        else:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o755)
            exists = False
        except FileExistsError:
            exists = True
    except OSError as error:
        raise InternalError(f"cannot make cgroup {path}: {error.strerror}") from error
    if exists:
        if any(read(each / "cgroup.procs").strip() for each in tree(path)):
            raise FailedPreconditionError(
                f"cgroup {path} holds processes already; stop them or use another cgroups path"
            )
        return False
    if not unified and path.is_relative_to(root / "cpuset"):
        _inherit_cpuset(path, root / "cpuset")
    return True


def remove_directory(path: Path) -> None:
    """Remove one directory, unless it is gone.

    Raises:
        InternalError: it is still in use after about 0.2 s.
    """
    for delay_s in (*_REMOVE_DELAYS_S, None):
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or delay_s is None:
                raise InternalError(
                    f"cannot remove cgroup {path}: {error.strerror}; "
                    f"processes in it: {read(path / 'cgroup.procs').split() or 'none'}"
                ) from error
            time.sleep(delay_s)
        else:
            return


def _make_v2_parents(path: Path, root: Path) -> None:
    above = path.relative_to(root).parts
    for depth in range(len(above) + 1):
        directory = root.joinpath(*above[:depth])
        directory.mkdir(mode=0o755, exist_ok=True)
        offered = read(directory / "cgroup.controllers").split()
        enabled = read(directory / "cgroup.subtree_control").split()
        wanted = [name for name in _V2_CONTROLLERS if name in offered and name not in enabled]
        control = directory / "cgroup.subtree_control"
        if wanted and holds_processes(directory):
            # cpu and pids could be had, but then no process could join what is below.
            continue
        if wanted and not try_write(control, " ".join(f"+{name}" for name in wanted)):
            # One of them cannot be had (cpu with real-time processes); the others still can.
            for name in wanted:
                try_write(control, f"+{name}")


def _inherit_cpuset(path: Path, hierarchy: Path) -> None:
    # A v1 cpuset starts empty and takes no process before it has processors and memory nodes.
    above = path.relative_to(hierarchy).parts
    for depth in range(1, len(above) + 1):
        directory = hierarchy.joinpath(*above[:depth])
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not read(directory / name).strip():
                try_write(directory / name, read(directory.parent / name).strip())
