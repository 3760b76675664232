"""Statistics of a real group: as its files say, and as known work must make them."""

import os
import time
from collections.abc import Iterator

import pytest

from shim.api import cgroups_v1_pb2, cgroups_v2_pb2
from shim.cgroup import Cgroup, locate
from shim.cgroup.stats import read_stats
from shim.errdefs import NotFoundError
from shim.oci.spec import Resources
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support.cgroups import IS_V2, cpu_seconds, hold, join, run_in, spin, value
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

MIB = 1 << 20
NANOSECONDS = 1_000_000_000


@pytest.fixture
def group() -> Iterator[Cgroup]:
    limits = Resources(
        memory_limit_bytes=128 * MIB, pids_limit=9, cpu_quota_us=50_000, cpu_period_us=100_000
    )
    group = new_cgroup("measured", limits)
    yield group
    remove_cgroup(group)


def cpu_ns(group: Cgroup) -> tuple[int, int]:
    """What the message says of processor time: in total, and as the sum of user and kernel."""
    metrics = read_stats(group)
    if isinstance(metrics, cgroups_v2_pb2.Metrics):
        cpu = metrics.cpu
        return cpu.usage_usec * 1000, (cpu.user_usec + cpu.system_usec) * 1000
    assert isinstance(metrics, cgroups_v1_pb2.Metrics)
    usage = metrics.cpu.usage
    assert sum(usage.per_cpu) == pytest.approx(usage.total, rel=0.2)
    return usage.total, usage.user + usage.kernel


def memory_usage(group: Cgroup) -> int:
    metrics = read_stats(group)
    if isinstance(metrics, cgroups_v2_pb2.Metrics):
        return metrics.memory.usage
    assert isinstance(metrics, cgroups_v1_pb2.Metrics)
    return metrics.memory.usage.usage


def test_the_message_is_the_one_of_this_machine_s_version(group: Cgroup) -> None:
    name = f"io.containerd.cgroups.v{2 if IS_V2 else 1}.Metrics"
    assert read_stats(group).DESCRIPTOR.full_name == name


def test_processor_time_is_that_of_the_process(group: Cgroup) -> None:
    pid = run_in(group, spin)
    wait_for("a second of processor time", lambda: cpu_seconds(pid) > 1.0, timeout=60)
    group.kill()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    used_s = cpu_seconds(pid)
    total, parts = cpu_ns(group)
    os.waitpid(pid, 0)
    # The fork and what Python did before joining is the process's, and not the group's.
    assert total == pytest.approx(used_s * NANOSECONDS, rel=0.1)
    assert parts == pytest.approx(total, rel=0.1)


def test_a_limited_processor_is_seen_to_be_throttled(group: Cgroup) -> None:
    run_in(group, spin)

    def throttled() -> tuple[int, int, int] | None:
        metrics = read_stats(group)
        if isinstance(metrics, cgroups_v2_pb2.Metrics):
            cpu = metrics.cpu
            found = cpu.nr_periods, cpu.nr_throttled, cpu.throttled_usec * 1000
        else:
            assert isinstance(metrics, cgroups_v1_pb2.Metrics)
            v1 = metrics.cpu.throttling
            found = v1.periods, v1.throttled_periods, v1.throttled_time
        return found if found[1] > 5 else None

    began = time.monotonic()
    periods, times, waited_ns = wait_for("throttling", throttled, timeout=60)
    assert periods >= times
    # Of each period of 100 ms, it waits at most 50 or so: the unit is nanoseconds.
    assert 0.01 * NANOSECONDS * times < waited_ns < (time.monotonic() - began + 1) * NANOSECONDS
    group.kill()
    os.wait()


def test_memory_is_what_the_process_touched(group: Cgroup) -> None:
    run_in(group, lambda: hold(32 * MIB))
    wait_for("memory in use", lambda: memory_usage(group) > 32 * MIB)
    metrics = read_stats(group)
    if isinstance(metrics, cgroups_v2_pb2.Metrics):
        memory = metrics.memory
        limit, anonymous, faults = memory.usage_limit, memory.anon, memory.pgfault
        assert metrics.memory_events.oom_kill == 0
        assert metrics.HasField("memory_events")
    else:
        assert isinstance(metrics, cgroups_v1_pb2.Metrics)
        v1 = metrics.memory
        limit, anonymous, faults = v1.usage.limit, v1.total_rss, v1.total_pg_fault
        assert v1.usage.max >= v1.usage.usage
        assert v1.hierarchical_memory_limit == 128 * MIB
        assert metrics.HasField("memory_oom_control")
    assert limit == 128 * MIB
    # The kernel's counts lag by some pages per processor.
    assert 31 * MIB <= anonymous < 48 * MIB
    assert 32 * MIB < memory_usage(group) < 64 * MIB
    assert faults >= 1


def test_processes_are_counted(group: Cgroup) -> None:
    for _ in range(3):
        join(group)
    metrics = read_stats(group)
    assert isinstance(metrics, cgroups_v1_pb2.Metrics | cgroups_v2_pb2.Metrics)
    assert (metrics.pids.current, metrics.pids.limit) == (3, 9)
    assert str(metrics.pids.current) == value(group, "pids.current")


def test_a_group_that_is_gone_has_no_statistics(group: Cgroup) -> None:
    for missing in (locate("", systemd=False), locate("/tandem-none/c", systemd=False)):
        with pytest.raises(NotFoundError):
            read_stats(missing)
    group.paths[-1].rmdir()
    with pytest.raises(NotFoundError, match=f"{group.paths[-1]} is gone"):
        read_stats(group)
