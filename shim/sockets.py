"""The pod shims' sockets: one path per containerd, namespace and group; bind it, or find who has
it.

Rules: every look at a socket path that may end in unlink or bind happens under one lock file of
the run directory, so that two `start` calls for one pod end in one shim, and a dead shim's socket
is replaced once.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from shim.rundir import RunDir, gateway_socket

# More connections may wait than a pod has containers: each opens its own.
_BACKLOG = 128
_PEER = struct.Struct("3i")
# Of the flags in proc_pid_stat(5): the process is past the point of no return.
_PF_EXITING = 0x4
_KILL_TIMEOUT_S = 2.0


@contextlib.contextmanager
def locked(run_dir: RunDir) -> Iterator[None]:
    """Hold the lock of all task sockets; microseconds, unless a pod shim has to be killed."""
    fd = os.open(run_dir.task_sockets / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_alive(path: Path) -> bool:
    """Whether somebody listens there who is not about to end.

    A process that is killed closes its descriptors one by one, and a child that it has just forked
    may hold the listening one for a moment longer: both still accept.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        listener_pid, _ = peer(probe)
    # 0: it lives in another pid namespace.
    return listener_pid == 0 or not _is_ending(listener_pid)


def peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and user of a connection's other end (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    return int(pid), int(uid)


def _is_ending(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or bool(int(fields[6]) & _PF_EXITING)


def bind_or_find(run_dir: RunDir, path: Path) -> socket.socket | None:
    """A listening socket at `path`, or None where a live shim has it already."""
    with locked(run_dir):
        return bind_unless_alive(path)


def bind_unless_alive(path: Path) -> socket.socket | None:
    """As `bind_or_find`, for who holds the lock."""
    end_without_gateway(path)
    if path.exists():
        if is_alive(path):
            return None
        path.unlink(missing_ok=True)
    return listen(path)


def listen(path: Path) -> socket.socket:
    """A socket that only root can connect to, listening."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(old)
    listener.listen(_BACKLOG)
    return listener


def remove_dead(run_dir: RunDir, path: Path) -> None:
    """Unlink the sockets of a shim that is gone; leave a live one alone."""
    with locked(run_dir):
        end_without_gateway(path)
        if path.exists() and not is_alive(path):
            path.unlink(missing_ok=True)


def has_lost_gateway(path: Path) -> bool:
    """Whether the pod with this task socket had a gateway, which is gone without a farewell.

    containerd knows the gateway alone, so that it takes such a pod's shim for dead.
    """
    gateway = gateway_socket(path)
    return gateway.exists() and not is_alive(gateway)


def end_without_gateway(path: Path) -> None:
    """Kill a pod shim that has lost its gateway, and unlink both sockets; for who holds the
    lock."""
    if not has_lost_gateway(path):
        return
    _kill_listener(path)
    for each in (path, gateway_socket(path)):
        each.unlink(missing_ok=True)


def _kill_listener(path: Path) -> None:
    """Kill who listens there, and wait until it is gone."""
    pid = _listener_pid(path)
    if pid is None:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Asked again: the pid might have been another process's when the descriptor was made.
        if _listener_pid(path) == pid:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], _KILL_TIMEOUT_S)
    finally:
        os.close(pidfd)


def _listener_pid(path: Path) -> int | None:
    """None where nobody listens, or somebody in another pid namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return None
        return peer(probe)[0] or None
