"""What is left when something dies by SIGKILL, and what `delete` makes of it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shim.api import task_pb2
from tests.conformance.workloads import Workload
from tests.support import leaks
from tests.support.leaks import cgroups, wait_until
from tests.support.shim_process import ShimManager, alive, mounted_below
from tests.support.shim_task import Task
from tests.support.tandem_home import TandemHome
from tests.support.ttrpc_client import ClosedError, RpcError

Stage = Callable[[ShimManager, Workload], Task]


def started(manager: ShimManager, workload: Workload) -> Task:
    return manager.start_task(manager.bundle(workload.sleep()))


def created(manager: ShimManager, workload: Workload) -> Task:
    return manager.created(manager.bundle(workload.sleep()))


def running(manager: ShimManager, workload: Workload) -> Task:
    return manager.running(manager.bundle(workload.sleep()))


def stopped(manager: ShimManager, workload: Workload) -> Task:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    return task


@pytest.fixture(params=[created, running, stopped])
def stage(request: pytest.FixtureRequest) -> Stage:
    chosen: Stage = request.param
    return chosen


def kill_shim(task: Task) -> None:
    pid = task.connect().shim_pid
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(pid))


def assert_nothing_of(manager: ShimManager, task: Task, pid: int) -> None:
    assert wait_until(lambda: pid == 0 or not alive(pid)), "the container's process lives"
    assert mounted_below(manager.directory) == []
    assert cgroups(task.id) == set()


def test_delete_after_the_shims_death_leaves_nothing(
    manager: ShimManager, workload: Workload, stage: Stage
) -> None:
    task = stage(manager, workload)
    pid = task.connect().task_pid
    kill_shim(task)
    answer = manager.delete_leftovers(task.bundle)
    assert_nothing_of(manager, task, pid)
    assert answer.exit_status == 137
    assert answer.pid in {0, pid}
    assert abs(answer.exited_at.ToNanoseconds() / 1e9 - time.time()) < 10
    manager.delete_leftovers(task.bundle)
    if manager.shim.is_tandem:
        assert not Path(task.address.removeprefix("unix://")).exists()


def test_delete_after_a_death_before_create(manager: ShimManager, workload: Workload) -> None:
    task = started(manager, workload)
    kill_shim(task)
    manager.delete_leftovers(task.bundle)
    assert_nothing_of(manager, task, 0)


def test_delete_ends_instances_at_once(manager: ShimManager) -> None:
    """An instance ends with its pod shim, before anybody runs `delete`."""
    task = manager.running(manager.bundle(["/sleep.wasm"]))
    pid = task.connect().task_pid
    kill_shim(task)
    assert wait_until(lambda: not alive(pid), timeout_s=10)


def test_delete_after_a_clean_end_is_quick_and_silent(
    manager: ShimManager, workload: Workload
) -> None:
    task = stopped(manager, workload)
    task.delete()
    task.shutdown()
    began = time.monotonic()
    answer = manager.run_delete(task.bundle)
    took_s = time.monotonic() - began
    assert answer.status == 0
    assert answer.stderr == b"" or not manager.shim.is_tandem
    assert task_pb2.DeleteResponse.FromString(answer.stdout).exit_status == 137
    assert took_s < 5


def test_delete_leaves_the_pods_other_containers_alone(
    manager: ShimManager, workload: Workload
) -> None:
    group = manager.new_id()
    stays = manager.running(manager.bundle(workload.sleep(), group=group))
    goes = manager.running(manager.bundle(workload.exit(0), group=group))
    goes.wait()
    goes.delete()
    manager.delete_leftovers(goes.bundle)
    assert stays.state().status == task_pb2.RUNNING
    stays.kill(9)
    assert stays.wait().exit_status == 137


def test_delete_cleans_every_container_of_a_dead_pod(
    manager: ShimManager, workload: Workload
) -> None:
    group = manager.new_id()
    tasks = [manager.running(manager.bundle(workload.sleep(), group=group)) for _ in range(3)]
    pids = [task.connect().task_pid for task in tasks]
    kill_shim(tasks[0])
    for task in tasks:
        manager.delete_leftovers(task.bundle)
    for task, pid in zip(tasks, pids, strict=True):
        assert_nothing_of(manager, task, pid)


def test_shims_death_closes_the_connection(manager: ShimManager, workload: Workload) -> None:
    task = running(manager, workload)
    waiting = task.begin_wait()
    kill_shim(task)
    with pytest.raises(ClosedError):
        task.finish_wait(waiting)


def test_killed_container_is_reported_in_every_state(
    manager: ShimManager, workload: Workload
) -> None:
    for task in (created(manager, workload), running(manager, workload)):
        os.kill(task.connect().task_pid, signal.SIGKILL)
        assert task.wait().exit_status == 137
        manager.events.wait_for(task.id, "/tasks/exit")
        task.delete()


@pytest.fixture
def own_home(manager: ShimManager) -> Iterator[TandemHome]:
    """A daemon of this test's own, which it may end."""
    own = TandemHome(manager.directory / "t", transport=manager.shim.transport)
    manager.shim = replace(manager.shim, environment=own.environment)
    leaks.allow_reserve(own.socket)
    yield own
    manager.close()
    own.stop_daemon()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_daemons_end_is_not_noticed_by_pods(
    manager: ShimManager, own_home: TandemHome, workload: Workload, stage: Stage, number: int
) -> None:
    task = stage(manager, workload)
    before = task.state()
    own_home.stop_daemon(number)
    assert task.state() == before
    other = running(manager, workload)
    if before.status == task_pb2.CREATED:
        task.start()
    if before.status != task_pb2.STOPPED:
        task.kill(9)
    assert task.wait().exit_status in {0, 137}
    task.delete()
    assert other.state().status == task_pb2.RUNNING


def test_start_and_create_survive_a_killed_instance(
    manager: ShimManager, workload: Workload
) -> None:
    task = created(manager, workload)
    os.kill(task.connect().task_pid, signal.SIGKILL)
    task.wait()
    with pytest.raises(RpcError):
        task.start()
    task.delete()
    task.create()
    task.start()
    assert task.state().status == task_pb2.RUNNING
