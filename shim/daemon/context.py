"""Puts a child of the daemon where containerd's own child, the launcher, stands.

containerd may live in other namespaces, another cgroup and under other limits than the daemon
(k3s, kind, tests). What the daemon's child then does for it must happen there. Rules: one thread;
what is equal already is not touched, since this is on the start path; what cannot be taken over
and only makes the child less favoured (limits, cgroup, oom score) is passed over.
"""

import contextlib
import os
import resource

from shim.cgroup import membership
from shim.errdefs import InternalError
from shim.kernel.libc import LINUX, Kernel

# The mount namespace comes last: afterwards /proc may be another one.
_NAMESPACES = ("net", "ipc", "uts", "mnt")

_RLIMITS = tuple(
    getattr(resource, name) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")
)
_READ_BYTES = 16 << 10


def adopt(launcher_pid: int, cwd: str, kernel: Kernel = LINUX) -> None:
    """Take over namespaces, cgroup, limits, umask and working directory of the launcher.

    The launcher waits for the answer all the while, so its pid stays its own.

    Raises:
        InternalError: a namespace cannot be joined, or the working directory is gone.
    """
    proc = f"/proc/{launcher_pid}"
    _adopt_limits(launcher_pid, proc)
    _adopt_cgroup(proc)
    _adopt_namespaces(proc, kernel)
    try:
        os.chdir(cwd)
    except OSError as error:
        raise InternalError(f"working directory {cwd[:200]}: {error.strerror}") from error


def _adopt_namespaces(proc: str, kernel: Kernel) -> None:
    for name in _NAMESPACES:
        theirs = f"{proc}/ns/{name}"
        try:
            own = os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115 (the start path)
            if os.readlink(theirs) != own:  # noqa: PTH115
                kernel.setns(theirs, 0)
        except OSError as error:
            raise InternalError(f"{name} namespace of the launcher: {error.strerror}") from error


def _adopt_limits(launcher_pid: int, proc: str) -> None:
    if _read(f"{proc}/limits") != _read("/proc/self/limits"):
        for limit in _RLIMITS:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(limit, resource.prlimit(launcher_pid, limit))
    _, found, rest = _read(f"{proc}/status").partition("\nUmask:")
    if found:
        os.umask(int(rest.split("\n", 1)[0], 8))
    oom_score_adj = _read(f"{proc}/oom_score_adj")
    if oom_score_adj != _read("/proc/self/oom_score_adj"):
        _write("/proc/self/oom_score_adj", oom_score_adj)


def _adopt_cgroup(proc: str) -> None:
    theirs = _read(f"{proc}/cgroup")
    for path in membership.procs_files(theirs, _read("/proc/self/cgroup")):
        _write(path, "0")


# Not pathlib: these are on every start's path, and several times as fast.
def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, _READ_BYTES).decode(errors="replace")
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
