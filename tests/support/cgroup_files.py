"""A process's cgroup as the kernel's own files show it, in either version of the interface.

Sources: Documentation/admin-guide/cgroup-v1 (cpuacct, memory) and cgroup-v2.rst of the kernel.
"""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# v1 writes "no limit" as the largest number of whole pages.
V1_UNLIMITED = 1 << 62


class CgroupFiles:
    """The files of the group, or of the groups of every hierarchy, that a process is in."""

    def __init__(self, pid: int) -> None:
        """Find them by the pid on this machine."""
        self._folders: dict[str, Path] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                self._folders[name] = ROOT / controllers / path.lstrip("/")
        self.is_v2 = "memory" not in self._folders

    def number(self, controller: str, name: str) -> int:
        """The number that a file consists of; no limit is 0."""
        text = self._read(controller, name).split()[0]
        number = 0 if text == "max" else int(text)
        return 0 if number >= V1_UNLIMITED or number < 0 else number

    def cpu_nanoseconds(self) -> int:
        """Processor time used so far."""
        if self.is_v2:
            return self._table("cpu", "cpu.stat")["usage_usec"] * 1000
        return self.number("cpuacct", "cpuacct.usage")

    def working_set(self) -> int:
        """Bytes in use, less those of files that were not used of late: what a kubelet counts."""
        if self.is_v2:
            used, inactive = self.number("memory", "memory.current"), "inactive_file"
        else:
            used, inactive = self.number("memory", "memory.usage_in_bytes"), "total_inactive_file"
        return used - self._table("memory", "memory.stat")[inactive]

    def memory_limit(self) -> int:
        """Bytes; 0 without a limit."""
        return self.number("memory", "memory.max" if self.is_v2 else "memory.limit_in_bytes")

    def cpu_limit(self) -> tuple[int, int]:
        """Microseconds of processor time (0 without a limit) in each period of microseconds."""
        if self.is_v2:
            period = int(self._read("cpu", "cpu.max").split()[1])
            return self.number("cpu", "cpu.max"), period
        return self.number("cpu", "cpu.cfs_quota_us"), self.number("cpu", "cpu.cfs_period_us")

    def cpu_shares(self) -> int:
        """The share among neighbours as v1 counts it (1024 is the default)."""
        if not self.is_v2:
            return self.number("cpu", "cpu.shares")
        weight = self.number("cpu", "cpu.weight")
        return 2 + (weight - 1) * 262142 // 9999

    def _table(self, controller: str, name: str) -> dict[str, int]:
        pairs = (line.split() for line in self._read(controller, name).splitlines())
        return {key: int(value) for key, value in pairs}

    def _read(self, controller: str, name: str) -> str:
        return (self._folders["" if self.is_v2 else controller] / name).read_text()
