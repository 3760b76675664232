"""From the texts of a v2 group's files to `io.containerd.cgroups.v2.Metrics`.

Rules: pure, and never raises: a number that cannot be read is left out, a part whose files are not
there is not set. CPU time is in microseconds; no limit is the largest number of 64 bits. Source:
the kernel's admin-guide/cgroup-v2.rst and accounting/psi.rst.
"""

from collections.abc import Mapping

from shim.api import cgroups_v2_pb2 as pb
from shim.cgroup.parsing import fill, huge_page_sizes, number_in, read_number, read_pairs

_MEMORY_FILES = {
    "usage": "memory.current",
    "usage_limit": "memory.max",
    "max_usage": "memory.peak",
    "swap_usage": "memory.swap.current",
    "swap_limit": "memory.swap.max",
    "swap_max_usage": "memory.swap.peak",
}
FILES = frozenset(
    {
        "pids.current",
        "pids.max",
        "cpu.stat",
        "cpu.pressure",
        "memory.stat",
        "memory.events",
        "memory.pressure",
        "io.stat",
        "io.pressure",
        *_MEMORY_FILES.values(),
    }
)
"""The names of all files that are read, apart from `hugetlb.SIZE.*`."""


def metrics(texts: Mapping[str, str]) -> pb.Metrics:
    """The message of a group with these files."""
    message = pb.Metrics()
    if "pids.current" in texts:
        message.pids.current = number_in(texts, "pids.current")
        message.pids.limit = number_in(texts, "pids.max")
    if "cpu.stat" in texts:
        message.cpu.SetInParent()
        fill(message.cpu, read_pairs(texts["cpu.stat"]))
        _pressure(message.cpu, texts.get("cpu.pressure", ""))
    if "memory.current" in texts:
        own = {field: number_in(texts, file) for field, file in _MEMORY_FILES.items()}
        fill(message.memory, read_pairs(texts.get("memory.stat", "")) | own)
        _pressure(message.memory, texts.get("memory.pressure", ""))
    if "memory.events" in texts:
        message.memory_events.SetInParent()
        fill(message.memory_events, read_pairs(texts["memory.events"]))
    if "io.stat" in texts:
        message.io.usage.extend(_io_entries(texts["io.stat"]))
        message.io.SetInParent()
        _pressure(message.io, texts.get("io.pressure", ""))
    for size in huge_page_sizes(texts):
        message.hugetlb.add(
            current=number_in(texts, f"hugetlb.{size}.current"),
            max=number_in(texts, f"hugetlb.{size}.max"),
            pagesize=size,
            failcnt=read_pairs(texts.get(f"hugetlb.{size}.events", "")).get("max", 0),
        )
    return message


def _io_entries(text: str) -> list[pb.IOEntry]:
    """Each line is "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6"."""
    entries: list[pb.IOEntry] = []
    for line in text.splitlines():
        device, *words = line.split() or [""]
        first, _, second = device.partition(":")
        major, minor = read_number(first), read_number(second)
        if major is None or minor is None or not words:
            continue
        entry = pb.IOEntry()
        counters = read_pairs("\n".join(words).replace("=", " "))
        fill(entry, counters | {"major": major, "minor": minor})
        entries.append(entry)
    return entries


def _pressure(message: pb.CPUStat | pb.MemoryStat | pb.IOStat, text: str) -> None:
    """Each line is "some avg10=0.00 avg60=0.12 avg300=0.50 total=1234", or "full ..." alike.

    Where the kernel counts no pressure, the file cannot be read, and the field is not set.
    """
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind not in {"some", "full"}:
            continue
        data = getattr(message.psi, kind)
        data.SetInParent()
        for word in words:
            name, _, value = word.partition("=")
            if name == "total":
                data.total = read_number(value) or 0
            elif name in {"avg10", "avg60", "avg300"}:
                setattr(data, name, _percent(value))


def _percent(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0
