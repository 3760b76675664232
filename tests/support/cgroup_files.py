"""A container's cgroup files by what they mean, on cgroup v1 and v2."""

from pathlib import Path

from tests.support.leaks import cgroups

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers").exists()
UNLIMITED = -1


class CgroupFiles:
    """The files of the cgroup that has a container's id in its path."""

    def __init__(self, container_id: str) -> None:
        self._directories = [Path(path) for path in sorted(cgroups(container_id))]
        assert self._directories, f"no cgroup of {container_id}"

    def text(self, name: str) -> str:
        for directory in self._directories:
            if (directory / name).exists():
                return (directory / name).read_text()
        raise FileNotFoundError(f"{name} in {self._directories}")

    def number(self, v1: str, v2: str) -> int:
        text = self.text(v2 if UNIFIED else v1).split()[0]
        return UNLIMITED if text == "max" else int(text)

    def cpu_ns(self) -> int:
        """Return the processor time that was used so far, in nanoseconds."""
        if UNIFIED:
            lines = self.text("cpu.stat").splitlines()
            usage = next(line for line in lines if line.startswith("usage_usec"))
            return int(usage.split()[1]) * 1000
        return int(self.text("cpuacct.usage"))

    def cpu_quota_us(self) -> int:
        return self.number("cpu.cfs_quota_us", "cpu.max")

    def cpu_period_us(self) -> int:
        if UNIFIED:
            return int(self.text("cpu.max").split()[1])
        return int(self.text("cpu.cfs_period_us"))

    def cpu_shares(self) -> int:
        """Return the shares; on v2 the weight, which is another scale."""
        return self.number("cpu.shares", "cpu.weight")

    def memory_limit(self) -> int:
        return self.number("memory.limit_in_bytes", "memory.max")

    def memory_usage(self) -> int:
        return self.number("memory.usage_in_bytes", "memory.current")

    def working_set(self) -> int:
        """Return what a kubelet counts: usage, less files that were not used of late."""
        name = "inactive_file" if UNIFIED else "total_inactive_file"
        lines = self.text("memory.stat").splitlines()
        inactive = next(line for line in lines if line.split()[0] == name)
        return self.memory_usage() - int(inactive.split()[1])

    def pids_limit(self) -> int:
        return self.number("pids.max", "pids.max")

    def pids_current(self) -> int:
        return self.number("pids.current", "pids.current")
