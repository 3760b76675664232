"""`python -m shim.daemon`, also installed as `tandemd`: start the node daemon in the foreground.

Options come from the environment alone (TANDEM_SOCKET), since containerd's environment is what
launchers and daemon share. A launcher that starts the daemon hands over the lock that it took
(`--lock-fd`).
"""

import argparse
import contextlib
import fcntl
import os
import sys
from pathlib import Path

import shim.daemon.unneeded  # noqa: F401 (before what imports it)
from shim.config import DEFAULT_PATH, PATH_VARIABLE, load_config
from shim.daemon.zygote import Zygote, report
from shim.errdefs import ShimError
from shim.pod.main import Host
from shim.rundir import RunDir


def main() -> int:
    """Run until SIGTERM; 0 where another daemon has this run directory already."""
    parser = argparse.ArgumentParser(prog="tandemd", description=__doc__)
    parser.add_argument("--lock-fd", type=int, default=-1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        run_dir = RunDir.from_env(os.environ)
        run_dir.create()
        lock_fd = arguments.lock_fd if arguments.lock_fd >= 0 else _lock(run_dir)
        if lock_fd < 0:
            report(f"another daemon serves {run_dir.socket} already")
            return 0
        os.set_inheritable(lock_fd, False)  # noqa: FBT003 (os's)
        os.chdir("/")
        # To have it parsed, above all. Whoever needs it is told what is wrong with it.
        config = None
        with contextlib.suppress(ShimError):
            config = load_config(Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH))
        Zygote(run_dir, lock_fd, Host.prepare(), config).serve()
    except (ShimError, OSError) as error:
        report(str(error))
        return 1
    return 0


def _lock(run_dir: RunDir) -> int:
    fd = os.open(run_dir.daemon_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd


if __name__ == "__main__":
    sys.exit(main())
