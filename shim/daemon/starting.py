"""Starts a node daemon for who has found none: one of many starters wins.

Rules: stdlib only, for the Python launcher and `tandem run`; silent.
"""

import fcntl
import os
import socket
import subprocess
import time
from pathlib import Path

from shim.rundir import RunDir

_DAEMON_START_S = 10.0
_POLL_S = 0.005
_HANDED_DOWN = ("PATH", "TANDEM_SOCKET", "TANDEM_CONFIG")


def start_daemon(run_dir: RunDir, tandemd: Path) -> bool:
    """Start `tandemd` unless a daemon is starting or running; wait until one accepts.

    Raises:
        OSError: the run directory cannot be made.
    """
    run_dir.create()
    daemon: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + _DAEMON_START_S
    while time.monotonic() < deadline:
        if daemon is None:
            # Again and again: who has the lock may be a daemon that is about to end.
            try:
                daemon = _spawn_if_none_runs(run_dir, tandemd)
            except OSError:
                # tandemd is missing or cannot be executed.
                return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(os.fspath(run_dir.socket)) == 0:
                return True
        if daemon is not None and daemon.poll() is not None:
            return False
        time.sleep(_POLL_S)
    return False


def _spawn_if_none_runs(run_dir: RunDir, tandemd: Path) -> subprocess.Popen[bytes] | None:
    lock_fd = os.open(run_dir.daemon_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # What the last daemon left would be dialled in vain.
        run_dir.socket.unlink(missing_ok=True)
        return _spawn_daemon(run_dir, tandemd, lock_fd)
    except BlockingIOError:
        return None
    finally:
        # The lock belongs to the open file, which the daemon has too.
        os.close(lock_fd)


def _spawn_daemon(run_dir: RunDir, tandemd: Path, lock_fd: int) -> subprocess.Popen[bytes]:
    env = {name: os.environ[name] for name in _HANDED_DOWN if name in os.environ}
    log = os.open(run_dir.daemon_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            [tandemd, "--lock-fd", str(lock_fd)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(lock_fd,),
            start_new_session=True,
        )
    finally:
        os.close(log)
