"""What the service knows of one process, by itself."""

import pytest

from shim.api import task_pb2
from shim.errdefs import FailedPreconditionError, NotFoundError
from shim.task.machine import EXECUTED, INIT, Status, Verb
from shim.task.process import Process
from tests.unit.task.fakes import Ended, FakeStreams, in_world


def executed() -> Process[task_pb2.ExecProcessRequest]:
    request = task_pb2.ExecProcessRequest(stdin="i", stdout="o", stderr="r", terminal=True)
    return Process("e", "process e", request, EXECUTED)


def test_process_has_a_state_from_its_first_moment_on() -> None:
    async def scenario(_: object) -> None:
        state = executed().describe()
        assert (state.id, state.pid, state.status) == ("e", 0, task_pb2.CREATED)
        assert (state.stdin, state.stdout, state.stderr) == ("i", "o", "r")
        assert state.terminal
        assert not state.HasField("exited_at")

    in_world(scenario)


@pytest.mark.parametrize("status", Status)
def test_process_has_a_status_of_the_wire_for_each_of_ours(status: Status) -> None:
    async def scenario(_: object) -> None:
        process = executed()
        process.status = status
        wanted = (
            task_pb2.STOPPED if status is Status.DELETED else task_pb2.Status.Value(status.upper())
        )
        assert process.describe().status == wanted

    in_world(scenario)


def test_process_ends_once_and_says_how() -> None:
    async def scenario(_: object) -> None:
        process = executed()
        process.end(Ended(3, 5))
        assert process.stopped.is_set()
        state = process.describe()
        assert (state.status, state.exit_status) == (task_pb2.STOPPED, 3)
        assert state.exited_at.ToNanoseconds() == 5
        with pytest.raises(NotFoundError, match=r"^process e "):
            process.end(Ended(4))

    in_world(scenario)


def test_process_checks_without_a_change() -> None:
    async def scenario(_: object) -> None:
        process = Process("c", "container c", task_pb2.CreateTaskRequest(), INIT)
        process.check(Verb.START)
        assert process.status is Status.CREATED
        with pytest.raises(FailedPreconditionError, match=r"^container c "):
            process.check(Verb.PAUSE)

    in_world(scenario)


def test_process_closes_its_stdin_now_or_when_it_has_one() -> None:
    async def scenario(_: object) -> None:
        calls: list[str] = []
        process = executed()
        process.close_stdin()
        assert process.stdin_is_closed
        process.streams = FakeStreams(calls)
        process.close_stdin()
        assert calls == ["close_stdin"]

    in_world(scenario)
