"""From the texts of a v1 group's files to `io.containerd.cgroups.v1.Metrics`.

Rules: pure, and never raises: a number that cannot be read is left out, a part whose files are not
there is not set. CPU time is in nanoseconds; no limit is 0 for processes, and what the kernel says
(a number near 2^63) for memory. Source: the kernel's admin-guide/cgroup-v1/{memory,cpuacct,
blkio-controller,hugetlb,pids}.rst.
"""

from collections.abc import Mapping

from shim.api import cgroups_v1_pb2 as pb
from shim.cgroup.parsing import fill, huge_page_sizes, number_in, read_number, read_pairs

# The kernel's names where the message has others, each with and without "total_" before it.
_MEMORY_NAMES = {
    "pgpgin": "pg_pg_in",
    "pgpgout": "pg_pg_out",
    "pgfault": "pg_fault",
    "pgmajfault": "pg_maj_fault",
    "hierarchical_memsw_limit": "hierarchical_swap_limit",
}
_MEMORY_ENTRIES = ("memory", "memory.memsw", "memory.kmem", "memory.kmem.tcp")
_ENTRY_FILES = ("usage_in_bytes", "max_usage_in_bytes", "failcnt", "limit_in_bytes")
# Field of the message: its files, best first. Those without "throttle" or "bfq" are of the CFQ
# scheduler, which Linux had until 5.0; a scheduler that a disk does not use counts nothing.
_BLKIO = {
    "io_service_bytes_recursive": (
        "blkio.io_service_bytes_recursive",
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes_recursive",
    ),
    "io_serviced_recursive": (
        "blkio.io_serviced_recursive",
        "blkio.bfq.io_serviced_recursive",
        "blkio.throttle.io_serviced_recursive",
    ),
    "io_queued_recursive": ("blkio.io_queued_recursive",),
    "io_service_time_recursive": ("blkio.io_service_time_recursive",),
    "io_wait_time_recursive": ("blkio.io_wait_time_recursive",),
    "io_merged_recursive": ("blkio.io_merged_recursive",),
    "io_time_recursive": ("blkio.time_recursive",),
    "sectors_recursive": ("blkio.sectors_recursive",),
}
FILES = frozenset(
    {
        "pids.current",
        "pids.max",
        "cpuacct.usage",
        "cpuacct.stat",
        "cpuacct.usage_percpu",
        "cpu.stat",
        "memory.stat",
        "memory.oom_control",
        *(f"{entry}.{file}" for entry in _MEMORY_ENTRIES for file in _ENTRY_FILES),
        *(name for names in _BLKIO.values() for name in names),
    }
)
"""The names of all files that are read, apart from `hugetlb.SIZE.*`."""


def metrics(texts: Mapping[str, str], partitions: str, ticks_per_s: int) -> pb.Metrics:
    """The message of a group with these files.

    Args:
        texts: the files of all hierarchies by their names.
        partitions: the text of /proc/partitions, which names the block devices.
        ticks_per_s: the unit of `cpuacct.stat`.
    """
    message = pb.Metrics()
    if "pids.current" in texts:
        message.pids.current = number_in(texts, "pids.current")
        message.pids.limit = number_in(texts, "pids.max", unlimited=0)
    _cpu(message, texts, ticks_per_s)
    if "memory.usage_in_bytes" in texts:
        _memory(message.memory, texts)
    if "memory.oom_control" in texts:
        # Touched, so that it is there where all is zero.
        message.memory_oom_control.SetInParent()
        fill(message.memory_oom_control, read_pairs(texts["memory.oom_control"]))
    if any(name in texts for names in _BLKIO.values() for name in names):
        _blkio(message.blkio, texts, _device_names(partitions))
    for size in huge_page_sizes(texts):
        message.hugetlb.add(
            usage=number_in(texts, f"hugetlb.{size}.usage_in_bytes"),
            max=number_in(texts, f"hugetlb.{size}.max_usage_in_bytes"),
            failcnt=number_in(texts, f"hugetlb.{size}.failcnt"),
            pagesize=size,
        )
    return message


def _cpu(message: pb.Metrics, texts: Mapping[str, str], ticks_per_s: int) -> None:
    if "cpuacct.usage" in texts:
        usage = message.cpu.usage
        usage.total = number_in(texts, "cpuacct.usage")
        ticks = read_pairs(texts.get("cpuacct.stat", ""))
        usage.user = _nanoseconds(ticks.get("user", 0), ticks_per_s)
        usage.kernel = _nanoseconds(ticks.get("system", 0), ticks_per_s)
        words = texts.get("cpuacct.usage_percpu", "").split()
        usage.per_cpu.extend(read_number(word) or 0 for word in words)
    if "cpu.stat" in texts:
        times = read_pairs(texts["cpu.stat"])
        throttling = message.cpu.throttling
        throttling.periods = times.get("nr_periods", 0)
        throttling.throttled_periods = times.get("nr_throttled", 0)
        throttling.throttled_time = times.get("throttled_time", 0)


def _nanoseconds(ticks: int, ticks_per_s: int) -> int:
    # Bounded as the field is.
    return min(ticks * 1_000_000_000 // ticks_per_s, (1 << 64) - 1)


def _memory(memory: pb.MemoryStat, texts: Mapping[str, str]) -> None:
    values: dict[str, int] = {}
    for key, value in read_pairs(texts.get("memory.stat", "")).items():
        bare = key.removeprefix("total_")
        values[key.removesuffix(bare) + _MEMORY_NAMES.get(bare, bare)] = value
    fill(memory, values)
    entries = (memory.usage, memory.swap, memory.kernel, memory.kernel_tcp)
    for entry, prefix in zip(entries, _MEMORY_ENTRIES, strict=True):
        if f"{prefix}.usage_in_bytes" in texts:
            entry.usage = number_in(texts, f"{prefix}.usage_in_bytes")
            entry.max = number_in(texts, f"{prefix}.max_usage_in_bytes")
            entry.failcnt = number_in(texts, f"{prefix}.failcnt")
            entry.limit = number_in(texts, f"{prefix}.limit_in_bytes")


def _blkio(blkio: pb.BlkIOStat, texts: Mapping[str, str], devices: Mapping[str, str]) -> None:
    blkio.SetInParent()
    for field, names in _BLKIO.items():
        found = (_blkio_entries(texts.get(name, ""), devices) for name in names)
        getattr(blkio, field).extend(next((entries for entries in found if entries), ()))


def _blkio_entries(text: str, devices: Mapping[str, str]) -> list[pb.BlkIOEntry]:
    """Each line is "8:0 Read 4096" or "8:0 4096"; the sum at the end, "Total 4096", is left out."""
    entries: list[pb.BlkIOEntry] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) not in {2, 3}:
            continue
        first, _, second = words[0].partition(":")
        major, minor, value = (read_number(word) for word in (first, second, words[-1]))
        if major is None or minor is None or value is None:
            continue
        operation = words[1] if len(words) == 3 else ""
        device = devices.get(words[0], "")
        entries.append(
            pb.BlkIOEntry(op=operation, device=device, major=major, minor=minor, value=value)
        )
    return entries


def _device_names(partitions: str) -> dict[str, str]:
    """The path of each device by "MAJOR:MINOR"."""
    lines = (line.split() for line in partitions.splitlines())
    return {f"{line[0]}:{line[1]}": f"/dev/{line[3]}" for line in lines if len(line) == 4}
