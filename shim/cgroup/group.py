"""One container's control group: its directories, limits, processes and end.

Rules: the directories of the container alone are made and removed. A limit that the kernel refuses
is an error that names file and value. What takes time, or belongs to one verb of the task API, has
a module of its own: `freezer`, `update`, `stats`, `oom`.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from shim.cgroup.directories import make_directory, remove_directory
from shim.cgroup.files import read, tree, try_write, write
from shim.cgroup.limits import v1_settings, v2_settings
from shim.cgroup.names import cgroupfs_path, systemd_path
from shim.cgroup.parsing import read_pairs
from shim.cgroup.settings import find_file, write_setting
from shim.errdefs import InternalError, NotFoundError
from shim.oci.spec import Resources

# What a container always joins: limits, statistics and pausing need these. Every further hierarchy
# costs another attach on the start path, so cpuset is joined only where the spec sets it, and
# devices never: the jail's mounts are nodev and its processes cannot make device nodes.
_V1_ALWAYS = ("memory", "cpu", "cpuacct", "pids", "freezer")
_ROOT = Path("/sys/fs/cgroup")
# Each looks for what was forked after the last one had read the list.
_PASSES = 16


class Cgroup:
    """The directories of one container, one per hierarchy that it joins (one only on v2)."""

    def __init__(self, paths: Sequence[Path], *, unified: bool, root: Path = _ROOT) -> None:
        """`root` is the mount point of v2, or the directory of those of v1."""
        self.paths = tuple(paths)
        self.unified = unified
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
        settings = v2_settings(resources) if self.unified else v1_settings(resources)
        if resources.cpuset_cpus or resources.cpuset_mems:
            self.paths = self._with_cpuset()
        made: list[Path] = []
        try:
            made.extend(path for path in self.paths if self._make(path))
            for setting in settings:
                write_setting(self.paths, setting)
        except BaseException:
            Cgroup(made, unified=self.unified).remove()
            raise

    def procs_files(self) -> tuple[Path, ...]:
        """The files into which a process of one thread writes "0" in order to join.

        On v1 that is `tasks`: joining through `cgroup.procs` takes the kernel's lock around all
        forks and exits, whose writer waits for a grace period of RCU (measured: 15 ms); a thread
        that moves itself alone needs no such lock. v2 knows only `cgroup.procs` between domains.
        """
        return tuple(path / ("cgroup.procs" if self.unified else "tasks") for path in self.paths)

    def adopt(self, pid: int) -> None:
        """Move a process with all its threads into the group, one hierarchy after the other.

        That takes the lock of which `procs_files` tells (measured: 3 to 30 ms).

        Raises:
            NotFoundError: the process has ended.
            InternalError: the group is gone, or the kernel refuses.
        """
        for path in self.paths:
            try:
                write(path / "cgroup.procs", str(pid))
            except ProcessLookupError as error:
                raise NotFoundError(f"process {pid} has ended: it joins no cgroup") from error
            except OSError as error:
                raise InternalError(
                    f"cannot move process {pid} into cgroup {path}: {error.strerror}"
                ) from error

    def join_cpuset(self) -> None:
        """On v1: let the processes join the hierarchy of cpusets, where `create` had no reason to.

        Raises:
            InternalError: the directory cannot be made, or a process cannot be moved.
        """
        before, self.paths = self.paths, self._with_cpuset()
        cpuset = Cgroup(self.paths[len(before) :], unified=self.unified, root=self._root)
        # An OCI runtime joins every hierarchy, so that its containers are there already.
        for path in cpuset.paths:
            if not path.is_dir():
                self._make(path)
        for _ in range(_PASSES):
            # 0 is a process of another pid namespace, and would move this one.
            missing = set(self.pids()) - {0, *cpuset.pids()} if cpuset.paths else set()
            if not missing:
                return
            for pid in missing:
                with contextlib.suppress(NotFoundError):
                    cpuset.adopt(pid)

    def pids(self) -> list[int]:
        """The processes in the group and below it, as this pid namespace numbers them."""
        found: set[int] = set()
        for path in self.paths:
            for directory in tree(path):
                found.update(int(line) for line in read(directory / "cgroup.procs").split())
        return sorted(found)

    def kill(self) -> None:
        """Send SIGKILL to every process in the group and below it; does not wait for the end.

        On v1 a frozen process takes the signal only once it is thawed, so that this thaws.
        """
        if self.unified and all(try_write(path / "cgroup.kill", "1") for path in self.paths):
            return
        killed: set[int] = set()
        for _ in range(_PASSES):
            new = set(self.pids()) - killed - {0}
            if not new:
                return
            for pid in new:
                _kill(pid)
            self._thaw_v1()
            killed |= new

    def remove(self) -> None:
        """Remove the directories and what is below them; nothing happens where they are gone.

        Raises:
            InternalError: a directory is still in use after about 0.2 s.
        """
        for path in self.paths:
            for directory in reversed(list(tree(path))):
                remove_directory(directory)

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for want of memory."""
        name = "memory.events" if self.unified else "memory.oom_control"
        for path in self.paths:
            if (kills := read_pairs(read(path / name)).get("oom_kill")) is not None:
                return kills
        return 0

    def file(self, name: str) -> Path | None:
        """The group's file of that name; None where none of its directories has it."""
        return find_file(self.paths, name)

    def beside(self, hierarchy: str) -> Path | None:
        """On v1: the directory of the same name in a hierarchy that only an OCI runtime joins."""
        ours = next((path for path in self.paths if path.is_relative_to(self._root)), None)
        if self.unified or ours is None:
            return None
        other = self._root.joinpath(hierarchy, *ours.relative_to(self._root).parts[1:])
        return other if other.is_dir() else None

    def _with_cpuset(self) -> tuple[Path, ...]:
        cpuset = self._root / "cpuset"
        if self.unified or not self.paths or any(p.is_relative_to(cpuset) for p in self.paths):
            return self.paths
        return (*self.paths, cpuset.joinpath(*self.paths[0].relative_to(self._root).parts[1:]))

    def _make(self, path: Path) -> bool:
        return make_directory(path, self._root, unified=self.unified)

    def _thaw_v1(self) -> None:
        for path in self.paths:
            if (path / "freezer.state").exists():
                for directory in tree(path):
                    try_write(directory / "freezer.state", "THAWED")


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


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
