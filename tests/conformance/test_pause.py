"""Pause and Resume: what stands still, what is refused meanwhile, and how a paused task ends."""

import signal
import time

import pytest

from shim.api import task_pb2
from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.cgroup_files import CgroupFiles
from tests.support.failing import fails
from tests.support.leaks import cgroups, wait_until
from tests.support.shim_process import ShimManager, alive
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

RUNNING, STOPPED, PAUSED = task_pb2.RUNNING, task_pb2.STOPPED, task_pb2.PAUSED


@pytest.fixture
def paused(manager: ShimManager, workload: Workload) -> Task:
    task = manager.running(manager.bundle(workload.sleep()))
    task.pause()
    return task


def test_pause_and_resume_are_told(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    task.pause()
    assert task.state().status == PAUSED
    task.resume()
    assert task.state().status == RUNNING
    manager.events.wait_for(task.id, "/tasks/resumed")
    topics = manager.events.topics(task.id)
    assert topics == ["/tasks/create", "/tasks/start", "/tasks/paused", "/tasks/resumed"]


def test_paused_task_uses_no_processor(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.spin()))
    files = CgroupFiles(task.id)
    begun = files.cpu_ns()
    assert wait_until(lambda: files.cpu_ns() > begun + 50_000_000)
    task.pause()
    before = files.cpu_ns()
    time.sleep(0.3)
    assert files.cpu_ns() - before < 20_000_000
    task.resume()
    assert wait_until(lambda: files.cpu_ns() > before + 50_000_000)


def test_paused_task_answers_nothing_until_it_is_resumed(
    manager: ShimManager, workload: Workload
) -> None:
    bundle = manager.bundle(workload.cat(), stdin=True)
    task = manager.running(bundle)
    bundle.input.open()
    bundle.input.write(b"before ")
    bundle.output.read_until(b"before ")
    task.pause()
    bundle.input.write(b"meanwhile")
    with pytest.raises(TimeoutError):
        bundle.output.read_until(b"meanwhile", timeout_s=0.3)
    task.resume()
    bundle.output.read_until(b"meanwhile")


def test_pause_reaches_execs(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    process = task.exec(workload.cat(), stdin=True)
    process.start()
    process.input.open()
    task.pause()
    assert process.state().status in {RUNNING, PAUSED}
    process.input.write(b"frozen")
    with pytest.raises(TimeoutError):
        process.stdout.read_until(b"frozen", timeout_s=0.3)
    task.resume()
    process.stdout.read_until(b"frozen")
    assert process.state().status == RUNNING


def test_pause_twice_fails(paused: Task) -> None:
    with pytest.raises(RpcError):
        paused.pause()
    assert paused.state().status == PAUSED
    paused.resume()
    with pytest.raises(RpcError):
        paused.resume()
    assert paused.state().status == RUNNING


def test_pause_in_other_states_fails(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.exit(0)))
    for verb in (task.pause, task.resume):
        with pytest.raises(RpcError):
            verb()
    assert task.state().status == task_pb2.CREATED
    task.start()
    task.wait()
    for verb in (task.pause, task.resume):
        with pytest.raises(RpcError):
            verb()
    assert task.state().status == STOPPED
    task.delete()
    for verb in (task.pause, task.resume):
        with fails(Code.NOT_FOUND):
            verb()


def test_exec_of_a_paused_task_fails(paused: Task, workload: Workload) -> None:
    with pytest.raises(RpcError):
        paused.exec(workload.exit(0))
    paused.resume()
    assert paused.run(workload.exit(3))[0] == 3


def test_start_and_delete_of_a_paused_task_fail(paused: Task) -> None:
    for verb in (paused.start, paused.delete):
        with pytest.raises(RpcError):
            verb()
    assert paused.state().status == PAUSED
    assert alive(paused.state().pid)


def test_kill_of_a_paused_task_ends_it(
    manager: ShimManager, paused: Task, workload: Workload
) -> None:
    pid = paused.state().pid
    paused.kill(signal.SIGKILL)
    assert paused.wait().exit_status == 137
    assert paused.state().status == STOPPED
    paused.delete()
    assert not alive(pid)
    assert cgroups(paused.id) == set()
    manager.events.wait_for(paused.id, "/tasks/delete")
    assert manager.events.topics(paused.id)[-2:] == ["/tasks/exit", "/tasks/delete"]


def test_kill_everyone_of_a_paused_task_ends_it(paused: Task, workload: Workload) -> None:
    paused.kill(signal.SIGKILL, everyone=True)
    assert paused.wait().exit_status == 137
    paused.delete()


def test_delete_after_the_shim_of_a_paused_task_died(manager: ShimManager, paused: Task) -> None:
    pid = paused.state().pid
    manager.kill_shim(paused)
    assert manager.delete_leftovers(paused.bundle).exit_status == 137
    assert wait_until(lambda: not alive(pid))
    assert cgroups(paused.id) == set()
