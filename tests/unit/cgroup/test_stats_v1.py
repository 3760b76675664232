"""Texts as Linux 6.18 writes them; those of the CFQ scheduler are Linux 4.19's."""

from hypothesis import given
from hypothesis import strategies as st

from shim.api import cgroups_v1_pb2 as pb
from shim.cgroup.stats_v1 import FILES, metrics

PARTITIONS = "major minor  #blocks  name\n\n 254        0  268435456 vda\n   8        0  100 sda\n"
MEMORY_STAT = """cache 9523200
rss 9736192
rss_huge 2097152
shmem 8998912
mapped_file 7602176
dirty 102400
writeback 4096
workingset_refault_anon 0
workingset_refault_file 232
swap 0
swapcached 0
pgpgin 43208
pgpgout 38506
pgfault 54255
pgmajfault 11
inactive_anon 12
active_anon 1531904
inactive_file 69632
active_file 454656
unevictable 17203200
hierarchical_memory_limit 67108864
hierarchical_memsw_limit 134217728
total_cache 1095479296
total_rss 30568448
total_rss_huge 2097153
total_shmem 8998912
total_mapped_file 19591168
total_dirty 201154560
total_writeback 4097
total_workingset_refault_anon 0
total_workingset_refault_file 299317
total_swap 0
total_swapcached 0
total_pgpgin 3036742
total_pgpgout 2850265
total_pgfault 3178821
total_pgmajfault 1476
total_inactive_anon 20660224
total_active_anon 1605632
total_inactive_file 788078592
total_active_file 298401792
total_unevictable 17203201
"""
TEXTS = {
    "pids.current": "3\n",
    "pids.max": "77\n",
    "cpuacct.usage": "1234567890\n",
    "cpuacct.stat": "user 80\nsystem 43\n",
    "cpuacct.usage_percpu": "1000000000 234567890 \n",
    "cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 110000000\nnr_bursts 0\n",
    "memory.stat": MEMORY_STAT,
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n",
    "memory.usage_in_bytes": "19259392\n",
    "memory.max_usage_in_bytes": "20000000\n",
    "memory.failcnt": "5\n",
    "memory.limit_in_bytes": "67108864\n",
    "memory.memsw.usage_in_bytes": "19259393\n",
    "memory.memsw.max_usage_in_bytes": "20000001\n",
    "memory.memsw.failcnt": "6\n",
    "memory.memsw.limit_in_bytes": "134217728\n",
    "memory.kmem.usage_in_bytes": "700\n",
    "memory.kmem.max_usage_in_bytes": "701\n",
    "memory.kmem.failcnt": "0\n",
    "memory.kmem.limit_in_bytes": "9223372036854771712\n",
    "memory.kmem.tcp.usage_in_bytes": "800\n",
    "memory.kmem.tcp.max_usage_in_bytes": "801\n",
    "memory.kmem.tcp.failcnt": "0\n",
    "memory.kmem.tcp.limit_in_bytes": "9223372036854771712\n",
}


def test_processor_time_is_in_nanoseconds() -> None:
    cpu = metrics(TEXTS, "", ticks_per_s=100).cpu
    assert cpu.usage == pb.CPUUsage(
        total=1234567890, user=800_000_000, kernel=430_000_000, per_cpu=[1000000000, 234567890]
    )
    assert cpu.throttling == pb.Throttle(periods=9, throttled_periods=4, throttled_time=110_000_000)


def test_every_field_of_memory_is_filled() -> None:
    memory = metrics(TEXTS, "", 100).memory
    unset = [field.name for field in memory.DESCRIPTOR.fields if not getattr(memory, field.name)]
    assert unset == []
    assert (memory.pg_pg_in, memory.pg_maj_fault, memory.total_pg_fault) == (43208, 11, 3178821)
    assert (memory.unevictable, memory.total_unevictable) == (17203200, 17203201)
    assert (memory.hierarchical_memory_limit, memory.hierarchical_swap_limit) == (
        67108864,
        134217728,
    )
    assert memory.usage == pb.MemoryEntry(limit=67108864, usage=19259392, max=20000000, failcnt=5)
    assert memory.swap == pb.MemoryEntry(limit=134217728, usage=19259393, max=20000001, failcnt=6)
    assert (memory.kernel.usage, memory.kernel_tcp.usage) == (700, 800)


def test_kills_are_counted_and_none_is_said_to_be_none() -> None:
    found = metrics(TEXTS, "", 100).memory_oom_control
    assert (found.oom_kill_disable, found.under_oom, found.oom_kill) == (0, 1, 2)
    none = metrics({"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"}, "", 100)
    assert none.HasField("memory_oom_control")


def test_no_limit_of_processes_is_zero() -> None:
    assert metrics(TEXTS, "", 100).pids == pb.PidsStat(current=3, limit=77)
    assert metrics(TEXTS | {"pids.max": "max\n"}, "", 100).pids == pb.PidsStat(current=3)


def test_disks_are_named_and_the_sum_is_left_out() -> None:
    texts = {
        "blkio.bfq.io_service_bytes_recursive": "Total 0\n",
        "blkio.throttle.io_service_bytes_recursive": (
            "254:0 Read 4096\n254:0 Write 8192\n9:1 Read 1\nTotal 12289\n"
        ),
        "blkio.throttle.io_serviced_recursive": "254:0 Read 1\nTotal 1\n",
        "blkio.time_recursive": "8:0 5\n",
    }
    blkio = metrics(texts, PARTITIONS, 100).blkio
    assert list(blkio.io_service_bytes_recursive) == [
        pb.BlkIOEntry(op="Read", device="/dev/vda", major=254, minor=0, value=4096),
        pb.BlkIOEntry(op="Write", device="/dev/vda", major=254, minor=0, value=8192),
        pb.BlkIOEntry(op="Read", device="", major=9, minor=1, value=1),
    ]
    assert [entry.value for entry in blkio.io_serviced_recursive] == [1]
    assert list(blkio.io_time_recursive) == [
        pb.BlkIOEntry(device="/dev/sda", major=8, minor=0, value=5)
    ]


def test_huge_pages_are_listed_by_size() -> None:
    texts = {
        "hugetlb.2MB.usage_in_bytes": "2097152\n",
        "hugetlb.2MB.max_usage_in_bytes": "4194304\n",
        "hugetlb.2MB.failcnt": "1\n",
        "hugetlb.2MB.rsvd.usage_in_bytes": "9\n",
    }
    assert list(metrics(texts, "", 100).hugetlb) == [
        pb.HugetlbStat(usage=2097152, max=4194304, failcnt=1, pagesize="2MB")
    ]


def test_what_has_no_files_is_not_set() -> None:
    assert metrics({}, "", 100) == pb.Metrics()
    assert not metrics({}, PARTITIONS, 100).HasField("blkio")


@given(
    st.dictionaries(st.sampled_from(sorted({*FILES, "hugetlb.2MB.failcnt"})), st.text()), st.text()
)
def test_odd_lines_are_no_error(texts: dict[str, str], partitions: str) -> None:
    assert metrics(texts, partitions, 100).IsInitialized()


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_a_damaged_line_spoils_no_other_file(name: str, data: st.DataObject) -> None:
    text = TEXTS[name]
    at = data.draw(st.integers(0, len(text)))
    damaged = metrics(TEXTS | {name: text[:at] + data.draw(st.text()) + text[at:]}, "", 100)
    whole = metrics(TEXTS, "", 100)
    if not name.startswith("memory"):
        assert damaged.memory == whole.memory
    if not name.startswith("cpu"):
        assert damaged.cpu == whole.cpu
