"""Events while containerd is away."""

import time

import pytest

from tests.conformance.workloads import Workload
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager

LIFE = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]


def test_events_survive_containerds_absence_in_order(
    manager: ShimManager, workload: Workload
) -> None:
    group = manager.new_id()
    keeps_the_shim = manager.running(manager.bundle(workload.sleep(), group=group))
    manager.events.wait_for(keeps_the_shim.id, "/tasks/start")
    manager.events.stop()
    tasks = []
    for _ in range(3):
        task = manager.running(manager.bundle(workload.exit(0), group=group))
        task.wait()
        task.delete()
        tasks.append(task)
    time.sleep(0.3)
    manager.events.start()
    for task in tasks:
        manager.events.wait_for(task.id, "/tasks/delete", timeout_s=15)
        assert manager.events.topics(task.id) == LIFE


def test_absent_containerd_delays_no_call(manager: ShimManager, workload: Workload) -> None:
    manager.events.stop()
    began = time.monotonic()
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    task.delete()
    assert time.monotonic() - began < 5
    # A shim that is told to end waits a while to get its last events out.
    manager.events.start()
    manager.events.wait_for(task.id, "/tasks/delete", timeout_s=15)


def test_exit_is_told_once(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    for _ in range(3):
        task.begin_wait()
    task.kill(9, everyone=True)
    task.wait()
    task.delete()
    manager.events.wait_for(task.id, "/tasks/delete")
    with pytest.raises(AssertionError):
        manager.events.wait_for(task.id, "/tasks/oom", timeout_s=0.2)
    assert manager.events.topics(task.id).count("/tasks/exit") == 1


def test_events_are_told_before_the_shim_ends(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    task.delete()
    task.shutdown()
    assert wait_until(lambda: "/tasks/delete" in manager.events.topics(task.id))
