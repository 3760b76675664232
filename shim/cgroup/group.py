"""One container's control group: its directories, limits, processes and end.

Rules: the directories of the container alone are made and removed; those above it (a pod's, a
slice's) are made where missing and never removed. A limit that the kernel refuses is an error that
names file and value. No waiting but for the short retries of `remove`.
"""

import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from shim.cgroup.limits import WITHOUT_SWAP, v1_settings, v2_settings
from shim.cgroup.names import cgroupfs_path, systemd_path
from shim.errdefs import FailedPreconditionError, InternalError, InvalidArgumentError
from shim.oci.spec import Resources

# What a container always joins: limits, statistics and pausing need these. Every further hierarchy
# costs another attach on the start path, so cpuset is joined only where the spec sets it, and
# devices never: the jail's mounts are nodev and its processes cannot make device nodes.
_V1_ALWAYS = ("memory", "cpu", "cpuacct", "pids", "freezer")
_V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
_ROOT = Path("/sys/fs/cgroup")
_KILL_PASSES = 16
_REMOVE_DELAYS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


class Cgroup:
    """The directories of one container, one per hierarchy that it joins (one only on v2)."""

    def __init__(self, paths: Sequence[Path], *, unified: bool, root: Path = _ROOT) -> None:
        """`root` is the mount point of v2, or the directory of those of v1."""
        self.paths = tuple(paths)
        self._unified = unified
        self._root = root

    @classmethod
    def from_paths(cls, paths: Sequence[Path]) -> "Cgroup":
        """The group whose directories a former process created at `paths`; they may be gone."""
        # Asked of those above, too: a group that is gone (or not made yet) says nothing itself.
        above = {directory for path in paths for directory in (path, *path.parents)}
        return cls(paths, unified=any((each / "cgroup.controllers").exists() for each in above))

    def create(self, resources: Resources) -> None:
        """Make the directories and set the limits; on an error nothing is left behind.

        Raises:
            FailedPreconditionError: the group exists and holds processes, or one below it does.
            InvalidArgumentError: the kernel has no such limit, or refuses the value.
            InternalError: a directory cannot be made.
        """
        settings = v2_settings(resources) if self._unified else v1_settings(resources)
        if not self._unified and any(name.startswith("cpuset.") for name, _ in settings):
            self._join_cpuset()
        made: list[Path] = []
        try:
            made.extend(path for path in self.paths if self._make(path))
            self._write_all(settings)
        except BaseException:
            Cgroup(made, unified=self._unified).remove()
            raise

    def procs_files(self) -> tuple[Path, ...]:
        """The files into which a process of one thread writes "0" in order to join.

        On v1 that is `tasks`: joining through `cgroup.procs` takes the kernel's lock around all
        forks and exits, whose writer waits for a grace period of RCU (measured: 15 ms); a thread
        that moves itself alone needs no such lock. v2 knows only `cgroup.procs` between domains.
        """
        return tuple(path / ("cgroup.procs" if self._unified else "tasks") for path in self.paths)

    def pids(self) -> list[int]:
        """The processes in the group and below it, as this pid namespace numbers them."""
        found: set[int] = set()
        for path in self.paths:
            for directory in _tree(path):
                found.update(int(line) for line in _read(directory / "cgroup.procs").split())
        return sorted(found)

    def kill(self) -> None:
        """Send SIGKILL to every process in the group and below it; does not wait for the end."""
        if self._unified and all(_try_write(path / "cgroup.kill", "1") for path in self.paths):
            return
        # Passes, because what is killed may have forked after the list was read.
        killed: set[int] = set()
        for _ in range(_KILL_PASSES):
            new = set(self.pids()) - killed - {0}
            if not new:
                return
            for pid in new:
                _kill(pid)
            killed |= new

    def remove(self) -> None:
        """Remove the directories and what is below them; nothing happens where they are gone.

        Raises:
            InternalError: a directory is still in use after about 0.2 s.
        """
        for path in self.paths:
            for directory in reversed(list(_tree(path))):
                _remove(directory)

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for want of memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        for path in self.paths:
            for line in _read(path / name).splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def _join_cpuset(self) -> None:
        if self.paths and not any(self._is_cpuset(path) for path in self.paths):
            relative = self.paths[0].relative_to(self._root).parts[1:]
            self.paths = (*self.paths, self._root.joinpath("cpuset", *relative))

    def _is_cpuset(self, path: Path) -> bool:
        return not self._unified and path.is_relative_to(self._root / "cpuset")

    def _make(self, path: Path) -> bool:
        """Make one directory and those above it; False where it existed already, empty."""
        try:
            self._make_parents(path)
            try:
                path.mkdir(mode=0o755)
                exists = False
            except FileExistsError:
                exists = True
        except OSError as error:
            raise InternalError(f"cannot make cgroup {path}: {error.strerror}") from error
        if exists:
            if any(_read(each / "cgroup.procs").strip() for each in _tree(path)):
                raise FailedPreconditionError(
                    f"cgroup {path} holds processes already; stop them or use another cgroups path"
                )
            return False
        if self._is_cpuset(path):
            self._inherit_cpuset(path)
        return True

    def _make_parents(self, path: Path) -> None:
        if not self._unified:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            return
        above = path.parent.relative_to(self._root).parts
        for depth in range(len(above) + 1):
            directory = self._root.joinpath(*above[:depth])
            directory.mkdir(mode=0o755, exist_ok=True)
            offered = _read(directory / "cgroup.controllers").split()
            enabled = _read(directory / "cgroup.subtree_control").split()
            wanted = [n for n in _V2_CONTROLLERS if n in offered and n not in enabled]
            control = directory / "cgroup.subtree_control"
            if wanted and _holds_processes(directory):
                # cpu and pids could be had, but then no process could join what is below.
                continue
            if wanted and not _try_write(control, " ".join(f"+{name}" for name in wanted)):
                # One of them cannot be had (cpu with real-time processes); the others still can.
                for name in wanted:
                    _try_write(control, f"+{name}")

    def _inherit_cpuset(self, path: Path) -> None:
        # A v1 cpuset starts empty and takes no process before it has processors and memory nodes.
        above = path.relative_to(self._root / "cpuset").parts
        for depth in range(1, len(above) + 1):
            directory = self._root.joinpath("cpuset", *above[:depth])
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not _read(directory / name).strip():
                    _try_write(directory / name, _read(directory.parent / name).strip())

    def _write_all(self, settings: Sequence[tuple[str, str]]) -> None:
        for name, value in settings:
            file = self._file(name)
            if file is None and (name, value) in WITHOUT_SWAP:
                continue
            if file is None:
                raise InvalidArgumentError(
                    f"cannot set {name} to {value}: {self._why_missing(name)}"
                )
            try:
                _write(file, value)
            except OSError as error:
                raise InvalidArgumentError(
                    f"the kernel refuses {value} in {file}: {error.strerror}"
                ) from error

    def _why_missing(self, name: str) -> str:
        controller = name.partition(".")[0]
        for above in {parent for path in self.paths for parent in path.parents}:
            offered = _read(above / "cgroup.controllers").split()
            if self._unified and controller in offered and _holds_processes(above):
                return (
                    f"the kernel offers {controller} to nothing below {above} while that"
                    " itself holds processes; move them into a group of their own"
                )
        return "this node's cgroups have no such file"

    def _file(self, name: str) -> Path | None:
        files = (path / name for path in self.paths)
        return next((file for file in files if file.exists()), None)


def locate(cgroups_path: str, *, systemd: bool, root: Path = _ROOT) -> Cgroup:
    """The group that an OCI `cgroupsPath` names, on whatever this node mounts at `root`.

    An empty path means: stay in the shim's own groups; such a group takes no limits.

    Raises:
        InvalidArgumentError: the path is not one that the driver in use can have.
    """
    unified = (root / "cgroup.controllers").exists()
    if not cgroups_path:
        return Cgroup((), unified=unified)
    relative = systemd_path(cgroups_path) if systemd else cgroupfs_path(cgroups_path)
    if unified:
        return Cgroup((root / relative,), unified=True, root=root)
    mounts = _v1_hierarchies(root)
    return Cgroup([mount / relative for mount in mounts], unified=False, root=root.resolve())


@lru_cache
def _v1_hierarchies(root: Path) -> tuple[Path, ...]:
    """Where they are mounted, which does not change while a node is up."""
    names = (root / name for name in _V1_ALWAYS)
    # cpu and cpuacct are often two names of one hierarchy.
    return tuple(dict.fromkeys(name.resolve() for name in names if name.is_dir()))


def _tree(path: Path) -> Iterator[Path]:
    """`path` and the groups below it, parents first; nothing where it is gone."""
    for directory, _, _ in os.walk(path):
        yield Path(directory)


def _holds_processes(path: Path) -> bool:
    """Whether a group of v2 other than the root, which alone may share, has processes itself."""
    return (path / "cgroup.type").exists() and bool(_read(path / "cgroup.procs").strip())


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _write(file: Path, text: str) -> None:
    # Not Path.write_text: a kernel file must not be created, and takes its value in one write.
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _try_write(file: Path, text: str) -> bool:
    try:
        _write(file, text)
    except OSError:
        return False
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove(directory: Path) -> None:
    for delay_s in (*_REMOVE_DELAYS_S, None):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or delay_s is None:
                raise InternalError(
                    f"cannot remove cgroup {directory}: {error.strerror}; "
                    f"processes in it: {_read(directory / 'cgroup.procs').split() or 'none'}"
                ) from error
            time.sleep(delay_s)
        else:
            return
