"""An OCI runtime that is a shell script, and what its containers need of their surroundings."""

import os
import sys
from pathlib import Path
from typing import Any, cast

from shim.cgroup import Cgroup
from shim.errdefs import NotFoundError
from shim.linux.runtime import OciRuntime, RuntimeOptions
from shim.process.reaper import Reaper

_HEAD = """#!/bin/sh
echo "$*" >> "{calls}"
while [ $# -gt 0 ]; do
  case $1 in
    --log) log=$2; shift;;
    --pid-file) pid_file=$2; shift;;
    --console-socket) console=$2; shift;;
    --process) process=$2; shift;;
    --resources) resources=$2; shift;;
    --bundle) bundle=$2; shift;;
    create|start|kill|delete|exec|pause|resume|update|checkpoint|restore) verb=$1;;
  esac
  shift
done
"""


# Opens a terminal and sends its master, as runc does; what it is told to say is on it.
_SEND_TERMINAL = """
import os, socket, sys
master, slave = os.openpty()
os.write(slave, sys.argv[2].encode())
with socket.socket(socket.AF_UNIX) as to:
    to.connect(sys.argv[1])
    socket.send_fds(to, [b"/dev/ptmx"], [master] * int(sys.argv[3]))
"""
# The test process is their subreaper, as the pod shim is.
SLEEPER = 'sleep 100 <&- >&- 2>&- & echo -n $! > "$pid_file"'
LIVES = f"""case $verb in create|exec|restore) {SLEEPER};; esac"""
# Not before its parent is gone, which would reap it.
ENDS_AT_ONCE = """case $verb in create|exec|restore)
sh -c "while kill -0 $$; do :; done; exit 3" 2>&- &
echo -n $! > "$pid_file";; esac
"""


class FakeRuntime:
    """`body` sees $verb and the values of the flags by their names; arguments are kept.

    `$send_terminal SOCKET TEXT NUMBER` sends a terminal's master that many times.
    """

    def __init__(self, directory: Path, body: str = "exit 0") -> None:
        self.bundle = directory / "bundle"
        self.root = directory / "root"
        self.bundle.mkdir()
        self.root.mkdir()
        self.path = directory / "fake-runc"
        self._calls = directory / "calls"
        sender = directory / "send_terminal.py"
        sender.write_text(_SEND_TERMINAL)
        head = f"{_HEAD.format(calls=self._calls)}send_terminal='{sys.executable} {sender}'\n"
        self.path.write_text(f"{head}{body}\n")
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def verbs(self) -> list[str]:
        """What was called, in order."""
        return [call.split()[6] for call in self.calls]

    def runtime(self, reaper: Reaper, **options: Any) -> OciRuntime:
        env = {"PATH": os.environ["PATH"]}
        chosen = RuntimeOptions(str(self.path), self.root, **options)
        return OciRuntime(chosen, self.bundle, env, reaper)


class FakeCgroup:
    """A group that says yes, but for what a test takes from it."""

    def __init__(self, *, adopts: bool = True) -> None:
        self.adopted: list[int] = []
        self._adopts = adopts

    def pids(self) -> list[int]:
        return [1, 2]

    def adopt(self, pid: int) -> None:
        self.adopted.append(pid)
        if not self._adopts:
            raise NotFoundError(f"process {pid} has ended: it joins no cgroup")

    def real(self) -> Cgroup:
        return cast("Cgroup", self)
