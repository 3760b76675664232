"""Stats: the message of the machine's cgroup version, in its units, against the cgroup's files."""

import time
from dataclasses import dataclass

import pytest

from shim.api import cgroups_v1_pb2, cgroups_v2_pb2
from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.cgroup_files import UNIFIED, CgroupFiles
from tests.support.failing import fails
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Task

MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """What CRI reads of either message, in bytes and nanoseconds."""

    cpu_ns: int
    memory: int
    memory_limit: int
    pids: int


def usage(task: Task) -> Usage:
    told = task.stats()
    if UNIFIED:
        assert told.type_url == "io.containerd.cgroups.v2.Metrics"
        v2 = cgroups_v2_pb2.Metrics.FromString(told.value)
        cpu, memory = v2.cpu.usage_usec * 1000, v2.memory
        return Usage(cpu, memory.usage, memory.usage_limit, v2.pids.current)
    assert told.type_url == "io.containerd.cgroups.v1.Metrics"
    v1 = cgroups_v1_pb2.Metrics.FromString(told.value)
    memory_v1 = v1.memory.usage
    return Usage(v1.cpu.usage.total, memory_v1.usage, memory_v1.limit, v1.pids.current)


def test_processor_time_is_that_of_the_cgroup(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.spin()))
    files = CgroupFiles(task.id)
    assert wait_until(lambda: files.cpu_ns() > 200_000_000)
    task.pause()
    told, read = usage(task).cpu_ns, files.cpu_ns()
    assert told == pytest.approx(read, rel=0.05)
    task.resume()
    assert wait_until(lambda: files.cpu_ns() > 2 * read)
    assert usage(task).cpu_ns > 1.9 * told


def test_memory_is_that_of_the_cgroup(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.sleep())
    bundle.spec["linux"]["resources"]["memory"] = {"limit": 300 * MIB}
    bundle.write_spec()
    task = manager.running(bundle)
    files = CgroupFiles(task.id)
    time.sleep(0.1)
    found = usage(task)
    assert found.memory_limit == 300 * MIB
    assert 0 < found.memory == pytest.approx(files.memory_usage(), rel=0.05, abs=64 * 1024)
    task.update({"memory": {"limit": 200 * MIB}})
    assert usage(task).memory_limit == 200 * MIB


def test_pids_are_those_of_the_cgroup(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    files = CgroupFiles(task.id)
    time.sleep(0.1)
    alone = usage(task).pids
    assert alone == files.pids_current() > 0
    process = task.exec(workload.sleep())
    process.start()
    assert wait_until(lambda: usage(task).pids == files.pids_current() > alone)


def test_stats_of_every_state(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.sleep()))
    assert usage(task).pids > 0
    task.start()
    assert usage(task).pids > 0
    task.pause()
    assert usage(task).pids > 0
    task.resume()
    task.kill(9)
    task.wait()
    task.delete()
    with fails(Code.NOT_FOUND):
        task.stats()
