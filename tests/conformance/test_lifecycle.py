"""A task's life: its states, its events, Wait, Kill, Delete, Shutdown."""

import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.message import Message

from shim.api import events_pb2, task_pb2
from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.bundle import HOST_PIDS
from tests.support.failing import fails
from tests.support.leaks import cgroups, wait_until
from tests.support.shim_process import ShimManager, alive, mounted_below
from tests.support.shim_task import Task, dial_task
from tests.support.ttrpc_client import RpcError

CREATED, RUNNING, STOPPED = task_pb2.CREATED, task_pb2.RUNNING, task_pb2.STOPPED


def assert_recent(moment: datetime, since: float) -> None:
    assert since - 1 <= moment.replace(tzinfo=UTC).timestamp() <= time.time() + 1


def test_life_in_order(manager: ShimManager, workload: Workload) -> None:
    began = time.time()
    task = manager.start_task(manager.bundle(workload.exit(7)))
    pid = task.create().pid
    assert pid > 0
    assert task.start().pid == pid
    ended = task.wait()
    assert ended.exit_status == 7
    assert_recent(ended.exited_at.ToDatetime(), began)
    deleted = task.delete()
    assert (deleted.pid, deleted.exit_status) == (pid, 7)
    assert deleted.exited_at == ended.exited_at
    manager.events.wait_for(task.id, "/tasks/delete")
    topics = manager.events.topics(task.id)
    assert topics == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]


def test_events_say_what_happened(manager: ShimManager, workload: Workload) -> None:
    began = time.time()
    bundle = manager.bundle(workload.exit(7))
    task = manager.created(bundle)
    pid = task.start().pid
    ended = task.wait()
    task.delete()
    manager.events.wait_for(task.id, "/tasks/delete")
    told: dict[str, Message] = {}
    for event in manager.events.events(task.id):
        assert event.namespace == "conformance"
        assert_recent(event.timestamp, began)
        told[event.topic] = event.message
    table: dict[str, dict[str, object]] = {
        "/tasks/create": {"bundle": str(bundle.path), "pid": pid},
        "/tasks/start": {"pid": pid},
        "/tasks/exit": {"id": task.id, "pid": pid, "exit_status": 7, "exited_at": ended.exited_at},
        "/tasks/delete": {"pid": pid, "exit_status": 7, "exited_at": ended.exited_at},
    }
    for topic, expected in table.items():
        assert {name: getattr(told[topic], name) for name in expected} == expected
    create = told["/tasks/create"]
    assert isinstance(create, events_pb2.TaskCreate)
    assert list(create.rootfs) == bundle.rootfs
    assert bundle.stdout is not None
    assert create.io.stdout == str(bundle.stdout.path)


def test_instant_exits_come_after_their_start(manager: ShimManager, workload: Workload) -> None:
    group = manager.new_id()
    tasks = [manager.created(manager.bundle(workload.exit(1), group=group)) for _ in range(5)]
    for task in tasks:
        task.start()
    for task in tasks:
        assert task.wait().exit_status == 1
        manager.events.wait_for(task.id, "/tasks/exit")
        topics = manager.events.topics(task.id)
        assert topics == ["/tasks/create", "/tasks/start", "/tasks/exit"]


def test_state_of_every_state(manager: ShimManager, workload: Workload) -> None:
    began = time.time()
    bundle = manager.bundle(workload.sleep(), stdin=True)
    task = manager.created(bundle)

    def check(status: int, pid: int) -> task_pb2.StateResponse:
        state = task.state()
        assert (state.id, state.exec_id, state.bundle) == (task.id, "", str(bundle.path))
        assert (state.status, state.pid, state.terminal) == (status, pid, False)
        assert bundle.stdin is not None
        assert bundle.stdout is not None
        assert bundle.stderr is not None
        paths = [str(end.path) for end in (bundle.stdin, bundle.stdout, bundle.stderr)]
        assert [state.stdin, state.stdout, state.stderr] == paths
        return state

    pid = task.connect().task_pid
    assert Path(f"/proc/{pid}").exists()
    state = check(CREATED, pid)
    assert state.exit_status == 0
    task.start()
    check(RUNNING, pid)
    task.kill(signal.SIGKILL)
    ended = task.wait()
    state = check(STOPPED, pid)
    assert (state.exit_status, state.exited_at) == (137, ended.exited_at)
    assert_recent(state.exited_at.ToDatetime(), began)


def test_create_runs_no_user_code(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.say("out", "err"))
    task = manager.created(bundle)
    assert bundle.stdout is not None
    with pytest.raises(TimeoutError):
        bundle.stdout.read_until(b"out", timeout_s=0.3)
    task.start()
    assert bundle.stdout.read_to_end() == b"out"


def test_wait_answers_every_waiter_before_and_after(
    manager: ShimManager, workload: Workload
) -> None:
    task = manager.created(manager.bundle(workload.sleep()))
    other = dial_task(task.address)
    try:
        early = [task.begin_wait() for _ in range(30)]
        task.start()
        late = [task.begin_wait() for _ in range(30)]
        request = task_pb2.WaitRequest(id=task.id)
        elsewhere = other.begin(task.service, "Wait", request)
        assert not task.client.answered(early[0], within_s=0.2)
        assert task.state().status == RUNNING
        task.kill(signal.SIGKILL)
        answers = [task.finish_wait(stream_id) for stream_id in early + late]
        answers.append(other.finish(elsewhere, task_pb2.WaitResponse))
    finally:
        other.close()
    answers += [task.wait(), task.wait()]
    assert {answer.exit_status for answer in answers} == {137}
    assert len({answer.exited_at.ToNanoseconds() for answer in answers}) == 1


def test_state_is_stopped_when_wait_answers(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    assert task.state().status == STOPPED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_kill_ends_with_128_and_the_signal(
    manager: ShimManager, workload: Workload, number: int
) -> None:
    task = manager.running(manager.bundle(workload.sleep(), namespaces=HOST_PIDS))
    time.sleep(0.05)
    task.kill(number)
    assert task.wait().exit_status == 128 + number


def test_kill_everyone(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    task.kill(signal.SIGKILL, everyone=True)
    assert task.wait().exit_status == 137


def test_kill_everyone_reaches_children(manager: ShimManager) -> None:
    args = ["/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait"]
    task = manager.running(manager.bundle(args, namespaces=HOST_PIDS))
    assert wait_until(lambda: len(task.pids()) == 3)
    pids = task.pids()
    task.kill(signal.SIGKILL, everyone=True)
    assert task.wait().exit_status == 137
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_kill_of_a_created_task_ends_it(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.exit(0)))
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    assert task.state().status == STOPPED
    task.delete()


def test_kill_after_exit_is_not_found(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    with fails(Code.NOT_FOUND):
        task.kill(signal.SIGTERM)
    with fails(Code.NOT_FOUND):
        task.kill(signal.SIGKILL)


def test_signal_out_of_range_is_refused(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    for number in (99, 1 << 31):
        with fails(Code.INVALID_ARGUMENT):
            task.kill(number)
    assert task.state().status == RUNNING


def test_start_twice_fails(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    with pytest.raises(RpcError):
        task.start()
    assert task.state().status == RUNNING


def test_start_of_an_ended_task_fails(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    with pytest.raises(RpcError):
        task.start()
    assert task.state().status == STOPPED


def test_delete_of_a_running_task_fails(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    with pytest.raises(RpcError) as caught:
        task.delete()
    assert caught.value.code != Code.NOT_FOUND
    assert task.state().status == RUNNING
    assert alive(task.state().pid)


def test_delete_of_a_created_task(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.exit(0)))
    pid = task.connect().task_pid
    task.delete()
    assert wait_until(lambda: not alive(pid))
    with fails(Code.NOT_FOUND):
        task.state()
    manager.events.wait_for(task.id, "/tasks/delete")


def test_delete_twice_is_not_found(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    task.delete()
    with fails(Code.NOT_FOUND):
        task.delete()


def test_delete_takes_mounts_and_cgroups_away(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    assert mounted_below(manager.directory) == [str(task.bundle.path / "rootfs")]
    assert cgroups(task.id)
    task.kill(signal.SIGKILL)
    task.wait()
    task.delete()
    assert mounted_below(manager.directory) == []
    assert cgroups(task.id) == set()


def test_id_can_be_used_again_after_delete(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    task.delete()
    task.create()
    task.start()
    assert task.wait().exit_status == 0
    task.delete()


def shim_is_gone(task: Task, pid: int) -> bool:
    path = Path(task.address.removeprefix("unix://"))
    return not alive(pid) and not path.exists()


def test_shutdown_waits_for_the_last_task(manager: ShimManager, workload: Workload) -> None:
    group = manager.new_id()
    first = manager.running(manager.bundle(workload.sleep(), group=group))
    second = manager.running(manager.bundle(workload.exit(0), group=group))
    pid = first.connect().shim_pid
    second.wait()
    second.delete()
    second.shutdown()
    assert not wait_until(lambda: shim_is_gone(first, pid), timeout_s=0.3)
    assert first.state().status == RUNNING
    first.kill(signal.SIGKILL)
    first.wait()
    first.shutdown()
    assert first.state().status == STOPPED
    first.delete()
    first.shutdown()
    assert wait_until(lambda: shim_is_gone(first, pid))


def test_shutdown_before_any_create_ends_the_shim(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    pid = task.connect().shim_pid
    task.shutdown()
    assert wait_until(lambda: shim_is_gone(task, pid))
