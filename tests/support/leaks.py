"""What a test must leave as it found it: processes, mounts, cgroups, sockets, files, descriptors.

Other sessions use the same machine, so that whatever is not certainly ours does not count:
processes are ours when they descend from this one (which is their subreaper), mounts and cgroups
when their path holds this session's `TOKEN` or lies below one of its directories.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.support.descriptors import open_files
from tests.support.waiting import PATIENCE

TOKEN = f"tdm{os.getpid():x}"
"""In the name of every container id and directory of this session."""

# A shim whose containerd is gone tries for 5 s to deliver its last events. Who leaves nothing waits
# for nothing.
GRACE_S = 8.0 * PATIENCE
PR_SET_CHILD_SUBREAPER = 36
_watched: list[Path] = []
_reserves: list[Path] = []
_keepers: list[int] = []
SO_ACCEPTCON = "00010000"


def become_subreaper() -> None:
    """Let orphans of what tests start become children of this process, so that they are seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def watch(directory: Path) -> None:
    """Count the files, sockets and mounts below a directory from now on."""
    _watched.append(directory)


def allow_reserve(socket: Path) -> None:
    """Let the daemon that listens there be replaced, and keep idle children for later.

    The daemon is the one that the pid file beside the socket names; idle are those of its children
    that hold the listening socket too: they wait for a caller.
    """
    _reserves.append(socket)


def allow_respawn(pid: int) -> None:
    """Let the children of this process come and go: it keeps one running."""
    _keepers.append(pid)


@dataclass(frozen=True)
class Process:
    """A process by the two numbers that no other process ever has together."""

    pid: int
    started: int
    parent: int = field(default=0, compare=False)

    def describe(self) -> str:
        with contextlib.suppress(OSError):
            cmdline = Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ")
            state, parent, _ = _stat(self.pid)
            return f"{self.pid} ({state}, parent {parent}): {cmdline.decode(errors='replace')}"
        return f"{self.pid} (gone)"


def _stat(pid: int | str) -> tuple[str, int, int]:
    """Return state, parent and start time in ticks."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    rest = text.rpartition(")")[2].split()
    return rest[0], int(rest[1]), int(rest[19])


def descendants(root: int) -> set[Process]:
    """Return every process below `root`, zombies included."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                _, parent, started = _stat(name)
                children.setdefault(parent, []).append(Process(int(name), started, parent))
    found: set[Process] = set()
    todo = [root]
    while todo:
        for child in children.get(todo.pop(), []):
            found.add(child)
            todo.append(child.pid)
    return found


def mounts() -> list[str]:
    """Return this mount namespace's mount points, in order; stacked ones appear again."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4].replace("\\040", " ") for line in lines]


def cgroups(token: str) -> set[str]:
    """Return the cgroup directories, of every hierarchy, whose path holds `token`."""
    return {
        str(Path(directory) / name)
        for directory, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if token in directory + name
    }


def hierarchies() -> set[str]:
    """Return the cgroup hierarchies of the machine: whoever mounts another one leaves it there."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return {line.split(":")[1] for line in lines}


def is_ours(path: str) -> bool:
    return TOKEN in path or any(path.startswith(str(directory)) for directory in _watched)


def _files(directories: Iterable[Path]) -> Iterator[str]:
    for directory in directories:
        for parent, names, files in os.walk(directory):
            yield from (f"{parent}/{name}" for name in files)
            # A directory per namespace may stay; one per container may not.
            yield from (f"{parent}/{name}" for name in names if TOKEN in name)


def _fds() -> set[str]:
    """Return this process's descriptors by what they are and how many there are of it."""
    found: dict[str, int] = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{fd}").split(":[")[0]
            # The listing's own descriptor, and pytest's capture files, come and go.
            if not target.startswith("/proc/") and "(deleted)" not in target:
                found[target] = found.get(target, 0) + 1
    return {f"{target} #{number + 1}" for target, count in found.items() for number in range(count)}


@dataclass(frozen=True)
class Snapshot:
    """What is there at one moment."""

    processes: frozenset[Process]
    mounts: tuple[str, ...]
    cgroups: frozenset[str]
    hierarchies: frozenset[str]
    netns: frozenset[str]
    files: frozenset[str]
    fds: frozenset[str]

    @classmethod
    def take(cls) -> "Snapshot":
        netns = Path("/run/netns")
        processes = {each for each in descendants(os.getpid()) if each.parent not in _keepers}
        if _reserves:
            processes -= _reserve(processes)
        return cls(
            processes=frozenset(processes),
            mounts=tuple(point for point in mounts() if is_ours(point)),
            cgroups=frozenset(cgroups(TOKEN)),
            hierarchies=frozenset(hierarchies()),
            netns=frozenset(name for name in _names(netns) if is_ours(name)),
            files=frozenset(_files(_watched)),
            fds=frozenset(_fds()),
        )

    def leaks_since(self, before: "Snapshot") -> list[str]:
        """Return a line for each thing that is here now and was not in `before`."""
        found: list[str] = []
        for part in fields(self):
            now, then = getattr(self, part.name), getattr(before, part.name)
            if part.name == "mounts":
                new = list(now)
                for point in then:
                    with contextlib.suppress(ValueError):
                        new.remove(point)
            else:
                new = sorted(now - then, key=str)
            for thing in new:
                text = thing.describe() if isinstance(thing, Process) else thing
                found.append(f"{part.name}: {text}")
        return found


def _names(directory: Path) -> list[str]:
    return os.listdir(directory) if directory.is_dir() else []


def _reserve(processes: Iterable[Process]) -> set[Process]:
    """Return the daemons, and their idle children, that `allow_reserve` lets come and go."""
    processes = list(processes)
    lines = [line.split() for table in _unix_sockets(processes) for line in table.splitlines()[1:]]
    sockets = {str(socket) for socket in _reserves}
    targets = {
        f"socket:[{line[6]}]"
        for line in lines
        if len(line) > 7 and line[7] in sockets and line[3] == SO_ACCEPTCON
    }
    holders = {process for process in processes if targets & _targets(process.pid)}
    pids = {process.pid for process in holders}
    named = {_named_in(socket.with_suffix(".pid")) for socket in _reserves}
    return {process for process in holders if process.parent in pids or process.pid in named}


def _named_in(pid_file: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(pid_file.read_text())
    return 0


def _unix_sockets(processes: Iterable[Process]) -> list[str]:
    """Return the table of each network namespace that a process is in."""
    tables = {}
    for process in processes:
        with contextlib.suppress(OSError):
            namespace = os.readlink(f"/proc/{process.pid}/ns/net")
            tables[namespace] = Path(f"/proc/{process.pid}/net/unix").read_text()
    return list(tables.values())


def _targets(pid: int) -> set[str]:
    with contextlib.suppress(OSError):
        return set(open_files(pid))
    return set()


def reap_orphans(before: Snapshot) -> None:
    """Wait for zombies that came to this process as their subreaper."""
    for process in descendants(os.getpid()) - before.processes:
        with contextlib.suppress(OSError):
            state, parent, _ = _stat(process.pid)
            if state == "Z" and parent == os.getpid():
                os.waitpid(process.pid, os.WNOHANG)


def leaks(before: Snapshot, grace_s: float = GRACE_S) -> list[str]:
    """Return what is left over, after giving asynchronous ends a moment."""
    deadline = time.monotonic() + grace_s
    pause_s = 0.005
    while True:
        reap_orphans(before)
        found = Snapshot.take().leaks_since(before)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.1)


def clean(before: Snapshot) -> None:
    """Remove what a failed test left, so that the next test starts from the same place."""
    for process in Snapshot.take().processes - before.processes:
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: _reaped(before), 2.0)
    libc = ctypes.CDLL(None, use_errno=True)
    now = Snapshot.take()
    for point in reversed(now.mounts):
        if point not in before.mounts:
            libc.umount2(point.encode(), 2)
    for directory in sorted(now.cgroups - before.cgroups, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def _reaped(before: Snapshot) -> bool:
    reap_orphans(before)
    return not Snapshot.take().processes - before.processes


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Poll a condition; returns its last value."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
