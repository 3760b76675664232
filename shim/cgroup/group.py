"""One container's control group."""

from collections.abc import Sequence
from pathlib import Path

from shim.oci.spec import Resources


class Cgroup:
    """The directories of one container, one per hierarchy that it joins (one only on v2)."""

    def __init__(self, paths: Sequence[Path], *, unified: bool) -> None:
        self.paths = tuple(paths)
        self._unified = unified

    @classmethod
    def from_paths(cls, paths: Sequence[Path]) -> "Cgroup":
        """The group whose directories a former process created at `paths`."""
        raise NotImplementedError

    def create(self, resources: Resources) -> None:
        """Make the directories and set the limits; on an error nothing is left behind."""
        raise NotImplementedError

    def update(self, resources: Resources) -> None:
        """Set the limits that `resources` names, and leave the others."""
        raise NotImplementedError

    def procs_files(self) -> tuple[Path, ...]:
        """The files that a process writes "0" to in order to join."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The processes in the group and below it, as this pid namespace numbers them."""
        raise NotImplementedError

    def kill(self) -> None:
        """Send SIGKILL to every process in the group and below it; does not wait."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the directories and what is below them; nothing happens where they are gone."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for want of memory."""
        raise NotImplementedError


def locate(cgroups_path: str, *, systemd: bool, root: Path = Path("/sys/fs/cgroup")) -> Cgroup:
    """The group that an OCI `cgroupsPath` names, on whatever this node mounts at `root`."""
    raise NotImplementedError
