"""Exec: the life of a process beside the init: its states, its events, what each verb refuses."""

import signal
import time
from datetime import UTC

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import events_pb2, task_pb2
from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.bundle import HOST_PIDS, NAMESPACES
from tests.support.failing import fails
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager, alive
from tests.support.shim_task import SPEC_TYPES, Exec, Process, Task
from tests.support.ttrpc_client import RpcError

CREATED, RUNNING, STOPPED = task_pb2.CREATED, task_pb2.RUNNING, task_pb2.STOPPED
ADDED, STARTED, EXIT = "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"


@pytest.fixture
def task(manager: ShimManager, workload: Workload) -> Task:
    return manager.running(manager.bundle(workload.sleep()))


def running(task: Task, workload: Workload) -> Exec:
    process = task.exec(workload.sleep())
    process.start()
    return process


def ended(process: Process, signal_number: int = signal.SIGKILL) -> task_pb2.WaitResponse:
    process.kill(signal_number)
    return process.wait()


def test_exec_in_order(manager: ShimManager, task: Task, workload: Workload) -> None:
    began = time.time()
    process = task.exec(workload.exit(7), exec_id="seven")
    state = process.state()
    assert "seven" in {state.id, state.exec_id}
    assert state.status == CREATED
    assert state.bundle == str(task.bundle.path)
    pid = process.start().pid
    assert pid not in {0, task.state().pid}
    over = process.wait()
    assert over.exit_status == 7
    assert began - 1 <= over.exited_at.ToDatetime(UTC).timestamp() <= time.time() + 1
    state = process.state()
    assert (state.status, state.exit_status, state.pid) == (STOPPED, 7, pid)
    assert state.exited_at == over.exited_at
    deleted = process.delete()
    assert (deleted.pid, deleted.exit_status) == (pid, 7)
    assert deleted.exited_at == over.exited_at
    assert task.state().status == RUNNING
    manager.events.wait_for(task.id, EXIT)
    assert manager.events.topics(task.id) == ["/tasks/create", "/tasks/start", ADDED, STARTED, EXIT]


def test_events_of_an_exec_say_what_happened(
    manager: ShimManager, task: Task, workload: Workload
) -> None:
    process = task.exec(workload.exit(3), exec_id="three")
    pid = process.start().pid
    over = process.wait()
    manager.events.wait_for(task.id, EXIT)
    added, started, ended = (event.message for event in manager.events.events(task.id)[2:])
    assert added == events_pb2.TaskExecAdded(container_id=task.id, exec_id="three")
    assert started == events_pb2.TaskExecStarted(container_id=task.id, exec_id="three", pid=pid)
    assert ended == events_pb2.TaskExit(
        container_id=task.id, id="three", pid=pid, exit_status=3, exited_at=over.exited_at
    )


def test_delete_of_an_exec_is_no_event(
    manager: ShimManager, task: Task, workload: Workload
) -> None:
    process = task.exec(workload.exit(0))
    process.run()
    task.kill(signal.SIGKILL)
    task.wait()
    task.delete()
    manager.events.wait_for(task.id, "/tasks/delete")
    assert manager.events.topics(task.id).count("/tasks/delete") == 1


def test_states_name_the_streams(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep(), stdin=True)
    for _ in range(2):
        state = process.state()
        assert process.stderr is not None
        paths = [str(end.path) for end in (process.input, process.stdout, process.stderr)]
        assert [state.stdin, state.stdout, state.stderr] == paths
        assert state.terminal is False
        if state.status == CREATED:
            process.start()
    assert process.state().status == RUNNING
    assert process.state().pid in task.pids()


def test_exec_runs_no_user_code_before_start(task: Task, workload: Workload) -> None:
    process = task.exec(workload.say("out", "err"))
    with pytest.raises(TimeoutError):
        process.stdout.read_until(b"out", timeout_s=0.2)
    assert process.run()[:2] == (0, b"out")


def test_wait_for_an_exec_before_and_after(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep())
    early = [process.begin_wait() for _ in range(10)]
    process.start()
    late = [process.begin_wait() for _ in range(10)]
    assert not task.client.answered(early[0], within_s=0.2)
    process.kill(signal.SIGKILL)
    answers = [process.finish_wait(stream_id) for stream_id in early + late]
    answers += [process.wait(), process.wait()]
    assert {answer.exit_status for answer in answers} == {137}
    assert len({answer.exited_at.ToNanoseconds() for answer in answers}) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_kill_of_an_exec(task: Task, workload: Workload, number: int) -> None:
    process = running(task, workload)
    # Not before the program runs: runc's helper has handlers of its own.
    time.sleep(0.05)
    assert ended(process, number).exit_status == 128 + number
    assert task.state().status == RUNNING


def test_kill_of_an_exec_that_did_not_start(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep())
    with fails(Code.FAILED_PRECONDITION):
        process.kill(signal.SIGKILL)
    assert process.state().status == CREATED


def test_kill_of_an_exec_that_ended(task: Task, workload: Workload) -> None:
    process = task.exec(workload.exit(0))
    process.start()
    process.wait()
    with fails(Code.NOT_FOUND):
        process.kill(signal.SIGTERM)


def test_kill_of_an_exec_out_of_range_is_refused(task: Task, workload: Workload) -> None:
    process = running(task, workload)
    for number in (99, 1 << 31):
        with fails(Code.INVALID_ARGUMENT):
            process.kill(number)
    assert process.state().status == RUNNING


def test_delete_of_an_exec_in_every_state(task: Task, workload: Workload) -> None:
    created = task.exec(workload.sleep())
    created.delete()
    process = running(task, workload)
    with pytest.raises(RpcError) as caught:
        process.delete()
    assert caught.value.code != Code.NOT_FOUND
    assert alive(process.state().pid)
    ended(process)
    process.delete()
    for gone in (created, process):
        with fails(Code.NOT_FOUND):
            gone.delete()


def test_verbs_of_an_unknown_exec_are_not_found(task: Task, workload: Workload) -> None:
    unknown = Process(task.client, task.id, "unknown")
    for verb in (unknown.start, unknown.state, unknown.wait, unknown.delete):
        with fails(Code.NOT_FOUND):
            verb()
    with fails(Code.NOT_FOUND):
        unknown.kill(signal.SIGKILL)


def test_stdio_verbs_of_an_unknown_exec_are_not_found(task: Task, workload: Workload) -> None:
    unknown = Process(task.client, task.id, "unknown")
    with fails(Code.NOT_FOUND):
        unknown.close_io()
    with fails(Code.NOT_FOUND):
        unknown.resize(80, 24)


def test_duplicate_exec_id(task: Task, workload: Workload) -> None:
    process = task.exec(workload.exit(0), exec_id="twice")
    spec = task.bundle.spec["process"]
    for again in (lambda: None, process.start, process.wait):
        again()
        with fails(Code.ALREADY_EXISTS):
            process.register(spec)
    process.delete()
    process.register(spec | {"args": workload.exit(5)})
    process.start()
    assert process.wait().exit_status == 5


def test_exec_id_of_another_container_is_free(manager: ShimManager, workload: Workload) -> None:
    group = manager.new_id()
    for status in (1, 2):
        task = manager.running(manager.bundle(workload.sleep(), group=group))
        process = task.exec(workload.exit(status), exec_id="same")
        process.start()
        assert process.wait().exit_status == status


def test_exec_in_a_created_task_runs_before_its_init(
    manager: ShimManager, workload: Workload
) -> None:
    task = manager.created(manager.bundle(workload.say("init", "")))
    assert task.run(workload.exit(4))[0] == 4
    assert task.state().status == CREATED
    task.start()
    assert task.bundle.output.read_to_end() == b"init"


def test_exec_of_a_stopped_task_is_refused(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.exit(0)))
    task.wait()
    with pytest.raises(RpcError):
        task.exec(workload.exit(0))
    task.delete()
    with fails(Code.NOT_FOUND):
        task.exec(workload.exit(0), exec_id="later")


def test_exec_starting_after_the_init_ended_fails(task: Task, workload: Workload) -> None:
    process = task.exec(workload.exit(0))
    task.kill(signal.SIGKILL)
    task.wait()
    with pytest.raises(RpcError):
        process.start()
    process.wait()
    process.delete()


def test_exec_of_what_is_missing_names_it(task: Task, workload: Workload) -> None:
    process = task.exec(workload.missing())
    waiting = process.begin_wait()
    with pytest.raises(RpcError, match="missing"):
        process.start()
    process.finish_wait(waiting)
    process.wait()
    process.delete()
    assert task.state().status == RUNNING
    with fails(Code.NOT_FOUND):
        process.state()


def test_exec_that_fails_to_start_ends_its_streams(task: Task, workload: Workload) -> None:
    process = task.exec(workload.missing())
    with pytest.raises(RpcError):
        process.start()
    assert process.stdout.read_to_end() == b""


def test_exec_start_twice_fails(task: Task, workload: Workload) -> None:
    process = running(task, workload)
    with pytest.raises(RpcError):
        process.start()
    assert process.state().status == RUNNING
    ended(process)
    with pytest.raises(RpcError):
        process.start()
    assert process.state().status == STOPPED


def test_exec_without_a_usable_spec_is_refused(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep())
    process.delete()
    for spec in (b"", b"{", b"[]", b'{"args": 7}'):
        message = process_message(spec)
        with pytest.raises(RpcError):
            process.register({}, spec=message)
            process.start()
    assert task.state().status == RUNNING


def process_message(value: bytes) -> AnyMessage:
    return AnyMessage(type_url=f"{SPEC_TYPES}/Process", value=value)


def test_init_ends_its_execs(manager: ShimManager, task: Task, workload: Workload) -> None:
    processes = [running(task, workload) for _ in range(3)]
    waiting = [process.begin_wait() for process in processes]
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    for process, stream_id in zip(processes, waiting, strict=True):
        assert process.finish_wait(stream_id).exit_status == 137
        assert process.state().status == STOPPED
        assert process.stdout.read_to_end() == b""
    assert wait_until(lambda: manager.events.topics(task.id).count(EXIT) == 4)


def exits(manager: ShimManager, task: Task) -> list[str]:
    messages = [event.message for event in manager.events.events(task.id)]
    return [message.id for message in messages if isinstance(message, events_pb2.TaskExit)]


@pytest.mark.parametrize("namespaces", [NAMESPACES, HOST_PIDS], ids=["pid-namespace", "host-pids"])
def test_exits_of_execs_come_before_their_inits(
    manager: ShimManager, workload: Workload, namespaces: tuple[str, ...]
) -> None:
    task = manager.running(manager.bundle(workload.sleep(), namespaces=namespaces))
    processes = [running(task, workload) for _ in range(3)]
    task.kill(signal.SIGKILL)
    task.wait()
    assert wait_until(lambda: len(exits(manager, task)) == 4)
    told = exits(manager, task)
    assert set(told[:3]) == {process.exec_id for process in processes}
    assert told[3] == task.id


def test_delete_of_a_task_forgets_its_execs(task: Task, workload: Workload) -> None:
    process, created = running(task, workload), task.exec(workload.sleep())
    task.kill(signal.SIGKILL)
    task.wait()
    process.wait()
    task.delete()
    for gone in (process, created):
        with fails(Code.NOT_FOUND):
            gone.state()


def test_pids_name_the_execs(task: Task, workload: Workload) -> None:
    processes = [running(task, workload) for _ in range(2)]
    named = {process.state().pid: process.exec_id for process in processes}
    found = task.processes()
    assert {pid: name for pid, name in found.items() if name} == named
    assert found[task.state().pid] == ""
    ended(processes[0])
    assert wait_until(lambda: len(task.processes()) == len(found) - 1)


def test_kill_everyone_reaches_execs(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep(), namespaces=HOST_PIDS))
    process = running(task, workload)
    task.kill(signal.SIGKILL, everyone=True)
    assert task.wait().exit_status == 137
    assert process.wait().exit_status == 137
