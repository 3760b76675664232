"""Puts a child of the daemon where containerd's own child, the launcher, stands.

containerd may live in other namespaces, another cgroup and under other limits than the daemon
(k3s, kind, tests). What the daemon's child then does for it must happen there. Rules: one thread;
what is equal already is not touched, since this is on the start path; what cannot be taken over
and only makes the child less favoured (limits, cgroup, oom score) is passed over.
"""

import contextlib
import os
import resource
from pathlib import Path

from shim.errdefs import InternalError
from shim.kernel.libc import LINUX, Kernel

# The mount namespace comes last: afterwards /proc may be another one.
_NAMESPACES = ("net", "ipc", "uts", "mnt")

_RLIMITS = tuple(
    getattr(resource, name) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")
)


def adopt(launcher_pid: int, cwd: str, kernel: Kernel = LINUX) -> None:
    """Take over namespaces, cgroup, limits, umask and working directory of the launcher.

    The launcher waits for the answer all the while, so its pid stays its own.

    Raises:
        InternalError: a namespace cannot be joined, or the working directory is gone.
    """
    proc = Path(f"/proc/{launcher_pid}")
    _adopt_limits(launcher_pid, proc)
    _adopt_cgroup(proc)
    _adopt_namespaces(proc, kernel)
    try:
        os.chdir(cwd)
    except OSError as error:
        raise InternalError(f"working directory {cwd[:200]}: {error.strerror}") from error


def _adopt_namespaces(proc: Path, kernel: Kernel) -> None:
    own = Path("/proc/self/ns")
    for name in _NAMESPACES:
        theirs = proc / "ns" / name
        try:
            if theirs.stat().st_ino == (own / name).stat().st_ino:
                continue
            kernel.setns(os.fspath(theirs), 0)
        except OSError as error:
            raise InternalError(f"{name} namespace of the launcher: {error.strerror}") from error


def _adopt_limits(launcher_pid: int, proc: Path) -> None:
    for limit in _RLIMITS:
        with contextlib.suppress(OSError, ValueError):
            theirs = resource.prlimit(launcher_pid, limit)
            if theirs != resource.getrlimit(limit):
                resource.setrlimit(limit, theirs)
    with contextlib.suppress(OSError):
        status = (proc / "status").read_text()
        if "\nUmask:" in status:
            os.umask(int(status.split("\nUmask:", 1)[1].split("\n", 1)[0], 8))
    with contextlib.suppress(OSError):
        theirs_adj = (proc / "oom_score_adj").read_text()
        if theirs_adj != Path("/proc/self/oom_score_adj").read_text():
            Path("/proc/self/oom_score_adj").write_text(theirs_adj)


def _adopt_cgroup(proc: Path) -> None:
    """Join the launcher's cgroup in each hierarchy where it differs from ours (cgroups(7))."""
    with contextlib.suppress(OSError):
        theirs = (proc / "cgroup").read_text()
        own = Path("/proc/self/cgroup").read_text()
        if theirs == own:
            return
        for line in set(theirs.splitlines()) - set(own.splitlines()):
            _, controllers, path = line.split(":", 2)
            root = Path("/sys/fs/cgroup")
            if controllers:
                root /= controllers.removeprefix("name=")
            elif (root / "unified").is_dir():
                root /= "unified"
            with contextlib.suppress(OSError):
                (root / path.lstrip("/") / "cgroup.procs").write_text("0")
