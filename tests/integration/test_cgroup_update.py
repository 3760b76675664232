"""Limits of a group that lives: up, down, and refused without a trace."""

import os
from collections.abc import Iterator

import pytest

from shim.cgroup import Cgroup, locate
from shim.cgroup.update import update
from shim.errdefs import FailedPreconditionError, InvalidArgumentError, NotFoundError
from shim.oci.spec import Resources
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support.cgroups import HAS_CPUSET, IS_V2, hold, join, run_in, value
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

MIB = 1 << 20
LIMIT = "memory.max" if IS_V2 else "memory.limit_in_bytes"
USAGE = "memory.current" if IS_V2 else "memory.usage_in_bytes"


@pytest.fixture
def group() -> Iterator[Cgroup]:
    group = new_cgroup(
        "updated",
        Resources(
            memory_limit_bytes=64 * MIB,
            memory_swap_bytes=64 * MIB,
            cpu_quota_us=50_000,
            cpu_period_us=100_000,
            pids_limit=10,
        ),
    )
    yield group
    remove_cgroup(group)


def memory(group: Cgroup) -> tuple[str, ...]:
    """The limits of memory, and of memory plus swap (v1) or swap (v2, where it is counted)."""
    if not IS_V2:
        return value(group, LIMIT), value(group, "memory.memsw.limit_in_bytes")
    swap = group.file("memory.swap.max")
    return value(group, LIMIT), swap.read_text().strip() if swap else "0"


def cpu(group: Cgroup) -> tuple[str, str]:
    """Quota and period, in microseconds."""
    if IS_V2:
        quota, _, period = value(group, "cpu.max").partition(" ")
        return quota, period
    return value(group, "cpu.cfs_quota_us"), value(group, "cpu.cfs_period_us")


def everything(group: Cgroup) -> dict[str, str]:
    """Every limit that these tests change."""
    v1 = "memory.limit_in_bytes memory.memsw.limit_in_bytes cpu.cfs_quota_us cpu.cfs_period_us"
    names = "memory.max memory.swap.max cpu.max cpu.weight" if IS_V2 else f"{v1} cpu.shares"
    files = [group.file(name) for name in ("pids.max", *names.split())]
    return {file.name: file.read_text() for file in files if file is not None}


def test_limits_are_raised_and_lowered_and_what_is_not_named_stays(group: Cgroup) -> None:
    join(group)
    for mib, pids in ((256, 100), (32, 5)):
        size = mib * MIB
        update(
            group,
            Resources(memory_limit_bytes=size, memory_swap_bytes=size, pids_limit=pids),
        )
        assert memory(group) == (str(size), "0" if IS_V2 else str(size))
        assert value(group, "pids.max") == str(pids)
        assert cpu(group) == ("50000", "100000")
    update(group, Resources(pids_limit=-1))
    assert value(group, "pids.max") == "max"
    assert memory(group)[0] == str(32 * MIB)
    update(group, Resources())
    assert memory(group)[0] == str(32 * MIB)


def test_a_memory_limit_of_minus_one_is_none(group: Cgroup) -> None:
    update(group, Resources(memory_limit_bytes=-1))
    if IS_V2:
        assert memory(group)[0] == "max"
    else:
        assert all(int(limit) > 1 << 62 for limit in memory(group))


def test_quota_and_period_change_one_by_one(group: Cgroup) -> None:
    update(group, Resources(cpu_quota_us=20_000))
    assert cpu(group) == ("20000", "100000")
    update(group, Resources(cpu_period_us=50_000))
    assert cpu(group) == ("20000", "50000")
    update(group, Resources(cpu_quota_us=-1))
    assert cpu(group) == ("max" if IS_V2 else "-1", "50000")
    update(group, Resources(cpu_shares=2048))
    assert value(group, "cpu.weight" if IS_V2 else "cpu.shares") == ("79" if IS_V2 else "2048")


def test_a_shorter_period_below_a_limited_parent_needs_the_smaller_quota_first(
    group: Cgroup,
) -> None:
    below = locate(f"/tandem-test-{os.getpid()}/updated/below", systemd=False)
    below.create(Resources(cpu_quota_us=50_000, cpu_period_us=100_000))
    for quota, period in ((5_000, 10_000), (50_000, 100_000)):
        update(below, Resources(cpu_quota_us=quota, cpu_period_us=period))
        assert cpu(below) == (str(quota), str(period))


def test_memory_in_use_cannot_be_taken_away_and_nothing_changes(group: Cgroup) -> None:
    run_in(group, lambda: hold(24 * MIB))
    wait_for("memory in use", lambda: int(value(group, USAGE)) > 24 * MIB)
    before = everything(group)
    resources = Resources(
        memory_limit_bytes=8 * MIB,
        memory_swap_bytes=8 * MIB,
        memory_check_before_update=True,
        pids_limit=5,
        cpu_quota_us=10_000,
    )
    with pytest.raises(FailedPreconditionError, match=r"to 8388608: \d{8} bytes are in use"):
        update(group, resources)
    assert everything(group) == before


def test_what_was_set_before_a_refused_limit_is_set_back(group: Cgroup) -> None:
    before = everything(group)
    with pytest.raises(InvalidArgumentError, match=r"the kernel refuses .* in .*/updated/"):
        update(
            group,
            Resources(
                memory_limit_bytes=128 * MIB,
                memory_swap_bytes=128 * MIB,
                cpu_shares=1024 + 8,
                cpu_quota_us=20_000,
                cpu_period_us=1,
            ),
        )
    assert everything(group) == before


def test_processes_are_pinned_to_processors_later(group: Cgroup) -> None:
    if not HAS_CPUSET:
        with pytest.raises(InvalidArgumentError, match=r"cannot set cpuset.cpus to 0"):
            update(group, Resources(cpuset_cpus="0"))
        return
    pids = [join(group), join(group)]
    for _ in range(2):
        update(group, Resources(cpuset_cpus="0"))
        assert value(group, "cpuset.cpus") == "0"
        assert [os.sched_getaffinity(pid) for pid in pids] == [{0}, {0}]
    assert os.sched_getaffinity(join(group)) == {0}


def test_a_group_that_is_gone_is_not_found() -> None:
    gone = locate(f"/tandem-test-{os.getpid()}/gone", systemd=False)
    with pytest.raises(NotFoundError, match="/gone is gone"):
        update(gone, Resources(pids_limit=5))
