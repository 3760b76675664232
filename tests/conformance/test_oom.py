"""Out of memory: who is killed, and the events that tell of it."""

import pytest

from shim.api import task_pb2
from tests.conformance.workloads import Workload
from tests.support.bundle import Bundle
from tests.support.shim_process import ShimManager

LIMIT = 24 << 20
# With cgroup v2 the reference looks at the group when it hears of it; on a busy machine the group
# is gone by then, and the kill is never told.
REFERENCE_TRIES = 5


def limited(manager: ShimManager, args: list[str]) -> Bundle:
    bundle = manager.bundle(args)
    bundle.spec["linux"]["resources"]["memory"] = {"limit": LIMIT, "swap": LIMIT}
    bundle.write_spec()
    return bundle


def test_oom_of_the_init_is_told_before_its_exit(manager: ShimManager, workload: Workload) -> None:
    topics: list[str] = []
    for _ in range(1 if manager.shim.is_tandem else REFERENCE_TRIES):
        task = manager.running(limited(manager, workload.eat()))
        assert task.wait(timeout_s=30).exit_status == 137
        manager.events.wait_for(task.id, "/tasks/exit")
        topics = manager.events.topics(task.id)
        if "/tasks/oom" in topics:
            break
    assert "/tasks/oom" in topics
    assert topics.index("/tasks/oom") < topics.index("/tasks/exit")


def test_oom_of_an_exec_is_told_while_the_task_runs(
    manager: ShimManager, workload: Workload
) -> None:
    task = manager.running(limited(manager, workload.sleep()))
    process = task.exec(workload.eat())
    process.start()
    assert process.wait(timeout_s=30).exit_status == 137
    manager.events.wait_for(task.id, "/tasks/oom")
    assert task.state().status == task_pb2.RUNNING


def test_oom_of_a_child_is_told_while_the_init_lives(manager: ShimManager) -> None:
    script = "tail /dev/zero; echo survived; exec sleep 1000"
    bundle = limited(manager, ["/bin/sh", "-c", script])
    task = manager.running(bundle)
    manager.events.wait_for(task.id, "/tasks/oom", timeout_s=30)
    bundle.output.read_until(b"survived")
    assert task.state().status == task_pb2.RUNNING


def test_no_oom_is_told_of_a_task_that_was_killed(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(limited(manager, workload.sleep()))
    task.kill(9)
    task.wait()
    manager.events.wait_for(task.id, "/tasks/exit")
    with pytest.raises(AssertionError):
        manager.events.wait_for(task.id, "/tasks/oom", timeout_s=0.3)
