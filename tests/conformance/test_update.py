"""Update: what a task's limits become, read from its cgroup's files."""

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import task_pb2
from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.cgroup_files import CgroupFiles
from tests.support.failing import fails
from tests.support.shim_process import ShimManager
from tests.support.shim_task import SPEC_TYPES, Task
from tests.support.ttrpc_client import RpcError

MIB = 1 << 20


@pytest.fixture
def task(manager: ShimManager, workload: Workload) -> Task:
    """A task with limits to change."""
    bundle = manager.bundle(workload.sleep())
    bundle.spec["linux"]["resources"] |= {
        "memory": {"limit": 512 * MIB},
        "cpu": {"quota": 50_000, "period": 100_000, "shares": 512},
        "pids": {"limit": 100},
    }
    bundle.write_spec()
    return manager.running(bundle)


def test_limits_of_the_spec_hold(task: Task) -> None:
    files = CgroupFiles(task.id)
    assert (files.memory_limit(), files.cpu_quota_us()) == (512 * MIB, 50_000)
    assert files.pids_limit() == 100


def test_update_of_memory(task: Task) -> None:
    task.update({"memory": {"limit": 256 * MIB}})
    files = CgroupFiles(task.id)
    assert files.memory_limit() == 256 * MIB
    assert files.cpu_quota_us() == 50_000
    task.update({"memory": {"limit": 768 * MIB}})
    assert files.memory_limit() == 768 * MIB


def test_update_of_the_processor(task: Task) -> None:
    files = CgroupFiles(task.id)
    shares = files.cpu_shares()
    task.update({"cpu": {"quota": 20_000, "period": 100_000, "shares": 2048}})
    assert files.cpu_quota_us() == 20_000
    assert files.cpu_shares() > shares
    assert files.memory_limit() == 512 * MIB


def test_update_of_pids(task: Task) -> None:
    task.update({"pids": {"limit": 33}})
    assert CgroupFiles(task.id).pids_limit() == 33


def test_update_of_all_at_once(task: Task) -> None:
    task.update(
        {
            "memory": {"limit": 300 * MIB},
            "cpu": {"quota": 30_000, "period": 100_000},
            "pids": {"limit": 44},
        }
    )
    files = CgroupFiles(task.id)
    assert (files.memory_limit(), files.cpu_quota_us()) == (300 * MIB, 30_000)
    assert files.pids_limit() == 44


def test_update_of_a_created_and_of_a_paused_task(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.sleep()))
    task.update({"memory": {"limit": 256 * MIB}})
    files = CgroupFiles(task.id)
    assert files.memory_limit() == 256 * MIB
    task.start()
    task.pause()
    task.update({"memory": {"limit": 128 * MIB}})
    assert files.memory_limit() == 128 * MIB
    assert task.state().status == task_pb2.PAUSED
    task.resume()


def test_update_of_nothing_changes_nothing(task: Task) -> None:
    task.update({})
    files = CgroupFiles(task.id)
    assert (files.memory_limit(), files.cpu_quota_us()) == (512 * MIB, 50_000)
    assert files.pids_limit() == 100


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"memory": {"limit": "much"}}', b"\xff\xfe"])
def test_update_by_garbage_fails(task: Task, value: bytes) -> None:
    with pytest.raises(RpcError):
        task.update_by(AnyMessage(type_url=f"{SPEC_TYPES}/LinuxResources", value=value))
    assert CgroupFiles(task.id).memory_limit() == 512 * MIB
    assert task.state().status == task_pb2.RUNNING


def test_update_by_garbage_is_the_callers_fault(task: Task) -> None:
    for value in (b"", b"{", b"[]", b'{"memory": {"limit": "much"}}'):
        with fails(Code.INVALID_ARGUMENT):
            task.update_by(AnyMessage(type_url=f"{SPEC_TYPES}/LinuxResources", value=value))


def test_update_beyond_the_kernel_fails(task: Task) -> None:
    with pytest.raises(RpcError):
        task.update({"cpu": {"quota": 20_000, "period": 1}})
    assert task.state().status == task_pb2.RUNNING


def test_update_of_a_stopped_task_fails(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    with pytest.raises(RpcError):
        task.update({"memory": {"limit": 256 * MIB}})
    task.delete()
    with fails(Code.NOT_FOUND):
        task.update({"memory": {"limit": 256 * MIB}})
