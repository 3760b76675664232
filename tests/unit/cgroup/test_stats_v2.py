"""Texts as Linux 7.2 writes them, and 6.18 those of pressure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.api import cgroups_v2_pb2 as pb
from shim.cgroup.parsing import UNLIMITED
from shim.cgroup.stats_v2 import FILES, metrics

CPU_STAT = """usage_usec 130000
user_usec 90000
system_usec 40000
nice_usec 0
nr_periods 9
nr_throttled 4
throttled_usec 110000
nr_bursts 2
burst_usec 5
"""
PRESSURE = """some avg10=23.84 avg60=37.55 avg300=30.21 total=369228723
full avg10=0.50 avg60=0.00 avg300=0.00 total=7
"""
# In the order of the fields, so that each has a value of its own.
MEMORY_FIELDS = [
    field.name
    for field in pb.MemoryStat.DESCRIPTOR.fields
    if not field.name.endswith(("usage", "limit")) and field.name != "psi"
]
MEMORY_STAT = "kernel 45056\npagetables 32768\n" + "".join(
    f"{name} {number}\n" for number, name in enumerate(MEMORY_FIELDS, 1)
)
TEXTS = {
    "pids.current": "3\n",
    "pids.max": "max\n",
    "cpu.stat": CPU_STAT,
    "cpu.pressure": PRESSURE,
    "memory.stat": MEMORY_STAT,
    "memory.current": "11329536\n",
    "memory.max": "67108864\n",
    "memory.peak": "11329537\n",
    "memory.swap.current": "4096\n",
    "memory.swap.max": "max\n",
    "memory.swap.peak": "8192\n",
    "memory.events": "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\nsock_throttled 0",
    "io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:0 \n259:1 rbytes=9\n",
}


def test_processor_time_is_in_microseconds() -> None:
    cpu = metrics(TEXTS).cpu
    assert (cpu.usage_usec, cpu.user_usec, cpu.system_usec) == (130000, 90000, 40000)
    assert (cpu.nr_periods, cpu.nr_throttled, cpu.throttled_usec) == (9, 4, 110000)
    assert (cpu.nr_bursts, cpu.burst_usec) == (2, 5)


def test_pressure_is_read_where_it_is_counted() -> None:
    psi = metrics(TEXTS).cpu.psi
    assert psi.some == pb.PSIData(avg10=23.84, avg60=37.55, avg300=30.21, total=369228723)
    assert psi.full == pb.PSIData(avg10=0.5, total=7)
    assert not metrics(TEXTS | {"cpu.pressure": ""}).cpu.HasField("psi")
    pressed = metrics(TEXTS | {"memory.pressure": PRESSURE, "io.pressure": PRESSURE})
    assert (pressed.memory.psi, pressed.io.psi) == (psi, psi)
    calm = metrics({"io.stat": "", "io.pressure": "some avg10=0.00 avg60=0 avg300=0 total=0\n"})
    assert calm.io.psi.HasField("some")
    assert not calm.io.psi.HasField("full")


def test_every_field_of_memory_is_filled() -> None:
    memory = metrics(TEXTS).memory
    assert [getattr(memory, name) for name in MEMORY_FIELDS] == [*range(1, len(MEMORY_FIELDS) + 1)]
    assert (memory.usage, memory.usage_limit, memory.max_usage) == (11329536, 67108864, 11329537)
    assert (memory.swap_usage, memory.swap_limit, memory.swap_max_usage) == (4096, UNLIMITED, 8192)


def test_events_and_processes() -> None:
    message = metrics(TEXTS)
    assert message.memory_events == pb.MemoryEvents(
        low=1, high=2, max=3, oom=4, oom_kill=5, oom_group_kill=6
    )
    assert message.pids == pb.PidsStat(current=3, limit=UNLIMITED)


def test_disks_that_did_nothing_are_left_out() -> None:
    assert list(metrics(TEXTS).io.usage) == [
        pb.IOEntry(major=254, minor=0, rbytes=1, wbytes=2, rios=3, wios=4),
        pb.IOEntry(major=259, minor=1, rbytes=9),
    ]


def test_huge_pages_are_listed_by_size() -> None:
    texts = {
        "hugetlb.1GB.current": "0\n",
        "hugetlb.1GB.max": "max\n",
        "hugetlb.1GB.events": "max 3\n",
        "hugetlb.1GB.rsvd.current": "9\n",
    }
    assert list(metrics(texts).hugetlb) == [
        pb.HugeTlbStat(max=UNLIMITED, pagesize="1GB", failcnt=3)
    ]


@pytest.mark.parametrize("name", ["pids", "cpu", "memory", "io", "memory_events"])
def test_what_has_no_files_is_not_set(name: str) -> None:
    assert metrics(TEXTS).HasField(name)  # type: ignore[arg-type]
    assert not metrics({}).HasField(name)  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from(sorted({*FILES, "hugetlb.2MB.events"})), st.text()))
def test_odd_lines_are_no_error(texts: dict[str, str]) -> None:
    assert metrics(texts).IsInitialized()


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_a_damaged_line_spoils_no_other_file(name: str, data: st.DataObject) -> None:
    text = TEXTS[name]
    at = data.draw(st.integers(0, len(text)))
    damaged = metrics(TEXTS | {name: text[:at] + data.draw(st.text()) + text[at:]})
    whole = metrics(TEXTS)
    if not name.startswith("memory"):
        assert damaged.memory == whole.memory
    if not name.startswith("cpu"):
        assert damaged.cpu == whole.cpu
