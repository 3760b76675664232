import pytest

from shim.cgroup.limits import cpu_weight, v1_settings, v2_settings
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Resources

EVERYTHING = Resources(
    memory_limit_bytes=100,
    memory_reservation_bytes=50,
    memory_swap_bytes=150,
    cpu_shares=1024,
    cpu_quota_us=20000,
    cpu_period_us=50000,
    cpuset_cpus="0-1",
    cpuset_mems="0",
    pids_limit=10,
)


def test_v1_writes_memory_before_swap_and_period_before_quota() -> None:
    assert v1_settings(EVERYTHING) == [
        ("memory.limit_in_bytes", "100"),
        ("memory.memsw.limit_in_bytes", "150"),
        ("memory.soft_limit_in_bytes", "50"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "50000"),
        ("cpu.cfs_quota_us", "20000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "10"),
    ]


def test_v2_counts_swap_alone() -> None:
    assert v2_settings(EVERYTHING) == [
        ("memory.max", "100"),
        ("memory.swap.max", "50"),
        ("memory.low", "50"),
        ("cpu.weight", "39"),
        ("cpu.max", "20000 50000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "10"),
    ]


@pytest.mark.parametrize("settings", [v1_settings, v2_settings])
def test_no_limit_writes_nothing(settings: object) -> None:
    assert callable(settings)
    assert settings(Resources()) == []
    assert settings(Resources(cpu_shares=0, cpu_quota_us=0, cpu_period_us=0, pids_limit=0)) == []


def test_zero_is_no_limit_either() -> None:
    zero = Resources(memory_limit_bytes=0, memory_swap_bytes=0, memory_reservation_bytes=0)
    assert (v1_settings(zero), v2_settings(zero)) == ([], [])


def test_minus_one_is_no_limit() -> None:
    unlimited = Resources(
        memory_limit_bytes=-1, memory_swap_bytes=-1, cpu_quota_us=-1, pids_limit=-1
    )
    assert v2_settings(unlimited) == [
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    ]
    assert v1_settings(unlimited) == [
        ("memory.limit_in_bytes", "-1"),
        ("memory.memsw.limit_in_bytes", "-1"),
        ("cpu.cfs_quota_us", "-1"),
        ("pids.max", "max"),
    ]


def test_unified_is_for_v2_alone() -> None:
    resources = Resources(unified=(("memory.high", "1000"),))
    assert v2_settings(resources) == [("memory.high", "1000")]
    with pytest.raises(InvalidArgumentError, match=r"unified \(memory.high\) needs cgroup v2"):
        v1_settings(resources)


@pytest.mark.parametrize("name", ["../c/cgroup.procs", "/memory.max", "a\0b"])
def test_unified_takes_names_and_no_paths(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"linux.resources.unified: .* is a path"):
        v2_settings(Resources(unified=((name, "1"),)))


@pytest.mark.parametrize("memory", [None, -1, 200])
def test_swap_needs_a_memory_limit_below_it(memory: int | None) -> None:
    with pytest.raises(InvalidArgumentError, match=r"memory plus swap \(150\)"):
        v2_settings(Resources(memory_limit_bytes=memory, memory_swap_bytes=150))


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (102, 4), (1024, 39), (262144, 10000), (10**6, 10000)]
)
def test_shares_become_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight
