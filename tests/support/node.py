"""The room that a private containerd lives in: network, mount and pid namespaces of its own.

Nothing that a node does (bridges, iptables, mounts, netns files, daemonised shims) reaches the
machine. The first process of the pid namespace holds the room open; killing it kills everything in
it, whatever has been started there and by whom. It dies with the thread that made it, so a killed
test run leaves no process behind; Ctrl-C does not reach it, so that it can be ended in order. Pids
inside are not pids of the machine: see `processes`.

Under /run, everything is the room's own. Cgroups are the machine's: `remove_cgroups` clears them.
"""

import fcntl
import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.descriptors import open_sockets

NS_GET_PARENT = 0xB702

CGROUP_ROOT = Path("/sys/fs/cgroup")

# crun does not start where cgroup v1 hierarchies stand beside a v2 one that has controllers.
# A first process that ignores SIGCHLD has the kernel collect whatever is orphaned here.
SETUP = """
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /var/lib/cni
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
echo ready
exec env --ignore-signal=CHLD sleep infinity
"""


@dataclass(frozen=True)
class Process:
    """A process of the room."""

    host_pid: int
    pid: int
    command: tuple[str, ...]


class Room:
    """Open from its construction until `close`."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            RuntimeError: the machine does not let us; the text is that of the failing command.
        """
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *unshare, "sh", "-euc", SETUP],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            reason = self._holder.stderr.read().strip()
            self._holder.wait()
            raise RuntimeError(f"no namespaces for a private containerd: {reason}")
        self._init = psutil.Process(self._holder.pid).children()[0].pid

    @property
    def network(self) -> Path:
        """Its network namespace, which has a route to the pods."""
        return Path(f"/proc/{self._init}/ns/net")

    def path(self, inside: str | Path) -> Path:
        """How the machine reaches an absolute path of the room, such as one below /run."""
        return Path(f"/proc/{self._init}/root{inside}")

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs `argv` in the room."""
        target = f"--target={self._init}"
        return ["nsenter", target, "--mount", "--net", "--pid", "--", *map(str, argv)]

    def spawn(self, argv: Sequence[str | Path], env: Mapping[str, str], log: Path) -> "Service":
        """Start a daemon in the room; its output is appended to a file."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        return Service(process)

    def processes(self) -> list[Process]:
        """Everything that runs in the room, in pid namespaces below its own too; not its init."""
        own = Path(f"/proc/{self._init}/ns/pid").stat().st_ino
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                level = _levels_below(process.pid, own)
                if level is None or process.pid == self._init:
                    continue
                pids = _namespace_pids(process.pid)
                found.append(Process(process.pid, pids[len(pids) - 1 - level], _command(process)))
        return found

    def host_pid(self, pid: int) -> int:
        """The machine's pid of a process that the room knows as `pid`.

        Raises:
            ProcessLookupError: the room has no such process.
        """
        for process in self.processes():
            if process.pid == pid:
                return process.host_pid
        raise ProcessLookupError(f"no process {pid} in the room")

    def close(self) -> None:
        """Kill everything in the room; its mounts and links go with the last process."""
        for pipe in (self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()
        with suppress(ProcessLookupError):
            init = os.pidfd_open(self._init)
            try:
                self._holder.kill()
                select.select([init], [], [], 30)
            finally:
                os.close(init)
        self._holder.wait()


class Service:
    """A daemon in a room, with `nsenter` as its parent."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def host_pid(self) -> int:
        """The machine's pid of the daemon itself."""
        return psutil.Process(self._process.pid).children()[0].pid

    def end(self, signal_number: int, timeout: float = 20.0) -> None:
        """Send a signal and wait for the end; SIGKILL after the timeout in seconds."""
        for child in psutil.Process(self._process.pid).children():
            child.send_signal(signal_number)
            try:
                child.wait(timeout)
            except psutil.TimeoutExpired:
                child.kill()
        self._process.wait()


def remove_cgroups(name: str) -> None:
    """Remove the cgroup /name with everything below it from every hierarchy; it must be empty."""
    for top in (CGROUP_ROOT / name, *CGROUP_ROOT.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(FileNotFoundError):
                Path(folder).rmdir()


def sockets_of(pid: int) -> set[str]:
    """The sockets that a process of the machine has open; none if it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return open_sockets(pid)
    return set()


def _command(process: psutil.Process) -> tuple[str, ...]:
    """Its command line; a zombie's is empty."""
    try:
        return tuple(process.cmdline())
    except psutil.ZombieProcess:
        return ()


def _namespace_pids(pid: int) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(number) for number in line.split()[1:]]
    return [pid]


def _levels_below(pid: int, namespace: int) -> int | None:
    """How many pid namespaces a process is below one, by that one's inode; None if it is not."""
    descriptor = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    levels = 0
    try:
        while os.fstat(descriptor).st_ino != namespace:
            try:
                parent = fcntl.ioctl(descriptor, NS_GET_PARENT)
            except PermissionError:
                return None
            os.close(descriptor)
            descriptor = parent
            levels += 1
        return levels
    finally:
        os.close(descriptor)
