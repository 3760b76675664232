"""Every verb of an executed process, in every state that it can have."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shim.api import events_pb2, runc_options_pb2, task_pb2
from shim.errdefs import (
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ShimError,
)
from tests.unit.task.fakes import EXITED_AT_NS, World, in_world, settle

START = task_pb2.StartRequest(id="c", exec_id="e")
STATE = task_pb2.StateRequest(id="c", exec_id="e")
WAIT = task_pb2.WaitRequest(id="c", exec_id="e")
DELETE = task_pb2.DeleteRequest(id="c", exec_id="e")
CLOSE = task_pb2.CloseIORequest(id="c", exec_id="e", stdin=True)
RESIZE = task_pb2.ResizePtyRequest(id="c", exec_id="e", width=80, height=25)


def kill(signal: int, *, everything: bool = False) -> task_pb2.KillRequest:
    return task_pb2.KillRequest(id="c", exec_id="e", signal=signal, all=everything)


async def created(world: World) -> None:
    await world.running()
    await world.added()


async def running(world: World) -> None:
    await world.running()
    await world.executing()


async def stopped(world: World) -> None:
    await running(world)
    world.execs["c"].handles["e"].end(3)
    await world.service.wait(WAIT)
    await settle()


async def failed(world: World) -> None:
    await created(world)
    world.execs["c"].build_error = InvalidArgumentError("no such program")
    with pytest.raises(InvalidArgumentError, match="no such program"):
        await world.service.start(START)


State = Callable[[World], Awaitable[None]]
Call = Callable[[World], Awaitable[object]]
CALLS: dict[str, Call] = {
    "start": lambda w: w.service.start(START),
    "kill": lambda w: w.service.kill(kill(15)),
    "kill with no such signal": lambda w: w.service.kill(kill(65)),
    "delete": lambda w: w.service.delete(DELETE),
    "exec": lambda w: w.added(),
    "resize_pty": lambda w: w.service.resize_pty(RESIZE),
}
REFUSED: list[tuple[State, str, type[ShimError], str]] = [
    (created, "kill", FailedPreconditionError, "is not started: start it first"),
    (created, "kill with no such signal", InvalidArgumentError, "signal 65 does not exist"),
    (created, "exec", AlreadyExistsError, "has a process e already"),
    (running, "start", FailedPreconditionError, "is running already"),
    (running, "delete", FailedPreconditionError, "is running: kill it first"),
    (running, "exec", AlreadyExistsError, "has a process e already"),
    (stopped, "start", FailedPreconditionError, "cannot start again"),
    (stopped, "kill", NotFoundError, "has ended already"),
    (stopped, "exec", AlreadyExistsError, "has a process e already"),
    (stopped, "resize_pty", FailedPreconditionError, "its terminal is gone"),
    (failed, "start", FailedPreconditionError, "cannot start again"),
    (failed, "kill", NotFoundError, "has ended already"),
    (failed, "exec", AlreadyExistsError, "has a process e already"),
]


@pytest.mark.parametrize(
    ("state", "verb", "kind", "text"), REFUSED, ids=[f"{s.__name__}-{v}" for s, v, *_ in REFUSED]
)
def test_exec_refuses_what_its_state_does_not_allow(
    state: State, verb: str, kind: type[ShimError], text: str
) -> None:
    async def scenario(world: World) -> None:
        await state(world)
        calls, events = list(world.calls), list(world.events)
        with pytest.raises(kind, match=text):
            await CALLS[verb](world)
        assert (world.calls, world.events) == (calls, events)

    in_world(scenario)


def test_exec_life_announces_each_step_once_and_in_order() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.added()
        assert world.topics() == ["create", "start", "execadded e"]
        assert "e.build" not in world.calls
        response = await world.service.start(START)
        handle = world.execs["c"].handles["e"]
        assert response.pid == handle.pid
        handle.end(7)
        waited = await world.service.wait(WAIT)
        await settle()
        deleted = await world.service.delete(DELETE)

        assert world.topics() == ["create", "start", "execadded e", "execstarted e", "exit e"]
        started, ended = world.events[3:]
        assert isinstance(started, events_pb2.TaskExecStarted)
        assert isinstance(ended, events_pb2.TaskExit)
        assert (started.container_id, started.exec_id, started.pid) == ("c", "e", handle.pid)
        assert (ended.container_id, ended.id, ended.pid) == ("c", "e", handle.pid)
        assert ended.exit_status == waited.exit_status == deleted.exit_status == 7
        assert ended.exited_at == waited.exited_at == deleted.exited_at
        assert ended.exited_at.ToNanoseconds() == EXITED_AT_NS
        assert deleted.pid == handle.pid
        assert world.calls.count("e.release") == 1
        assert world.calls[-1] == "e.close"
        with pytest.raises(NotFoundError, match="no process e"):
            await world.service.delete(DELETE)
        await world.added()

    in_world(scenario)


def test_exec_state_follows_the_life() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        request = task_pb2.ExecProcessRequest(
            id="c", exec_id="e", stdin="i", stdout="o", stderr="r", terminal=True
        )
        await world.service.exec(request)
        state = await world.service.state(STATE)
        assert (state.status, state.pid, state.exec_id) == (task_pb2.CREATED, 0, "e")
        assert (state.stdin, state.stdout, state.stderr) == ("i", "o", "r")
        assert state.terminal
        pid = (await world.service.start(START)).pid
        state = await world.service.state(STATE)
        assert (state.status, state.pid) == (task_pb2.RUNNING, pid)
        assert not state.HasField("exited_at")
        world.execs["c"].handles["e"].end(4)
        await world.service.wait(WAIT)
        state = await world.service.state(STATE)
        assert (state.status, state.exit_status) == (task_pb2.STOPPED, 4)
        init = await world.service.state(task_pb2.StateRequest(id="c"))
        assert init.status == task_pb2.RUNNING

    in_world(scenario)


def test_exec_of_a_created_container_runs() -> None:
    async def scenario(world: World) -> None:
        await world.created()
        await world.executing()
        assert world.topics() == ["create", "execadded e", "execstarted e"]

    in_world(scenario)


def test_exec_that_is_not_valid_is_refused_at_once() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        with pytest.raises(InvalidArgumentError, match="the exec id is empty"):
            await world.added("")
        world.execs["c"].check_error = InvalidArgumentError("process.args is empty")
        with pytest.raises(InvalidArgumentError, match=r"process\.args"):
            await world.added()
        world.execs["c"].check_error = None
        await world.added()
        assert world.topics().count("execadded e") == 1

    in_world(scenario)


@pytest.mark.parametrize("where", ["build_error", "start_error"])
def test_exec_that_fails_to_start_has_ended_and_nobody_is_told(where: str) -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.added()
        waiting = asyncio.create_task(world.service.wait(WAIT))
        await settle()
        setattr(world.execs["c"], where, InternalError("it failed"))
        with pytest.raises(InternalError, match="it failed"):
            await world.service.start(START)

        assert (await waiting).exit_status == 126
        state = await world.service.state(STATE)
        assert (state.status, state.exit_status) == (task_pb2.STOPPED, 126)
        assert world.topics() == ["create", "start", "execadded e"]
        if where == "start_error":
            assert world.calls[-3:] == ["e.start", "e.close", "e.release"]
        assert (await world.service.delete(DELETE)).exit_status == 126

    in_world(scenario)


def test_exec_that_ends_at_once_is_announced_before_its_exit() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.added()
        execs = world.execs["c"]
        execs.may_build.clear()
        starting = asyncio.create_task(world.service.start(START))
        await settle()
        execs.may_build.set()
        await asyncio.sleep(0)
        execs.handles["e"].end(0)
        await starting
        await world.service.wait(WAIT)
        assert world.topics()[-2:] == ["execstarted e", "exit e"]

    in_world(scenario)


def test_exec_is_started_once_and_not_killed_or_deleted_meanwhile() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.added()
        execs = world.execs["c"]
        execs.may_build.clear()
        starts = [asyncio.create_task(world.service.start(START)) for _ in range(2)]
        await settle()
        with pytest.raises(FailedPreconditionError, match="start it first"):
            await world.service.kill(kill(9))
        deleting = asyncio.create_task(world.service.delete(DELETE))
        await settle()
        execs.may_build.set()
        results = await asyncio.gather(*starts, deleting, return_exceptions=True)
        assert [type(result) for result in results] == [
            task_pb2.StartResponse,
            FailedPreconditionError,
            FailedPreconditionError,
        ]
        assert world.calls.count("e.build") == 1

    in_world(scenario)


def test_exec_that_was_deleted_while_it_should_start_does_not() -> None:
    async def scenario(world: World) -> None:
        await created(world)
        results = await asyncio.gather(
            world.service.delete(DELETE), world.service.start(START), return_exceptions=True
        )
        assert isinstance(results[1], NotFoundError)
        assert "e.build" not in world.calls

    in_world(scenario)


def test_exec_kill_reaches_it_alone() -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await world.service.kill(kill(15))
        await world.service.kill(kill(9, everything=True))
        assert [call for call in world.calls if "kill" in call] == ["e.kill 15", "e.kill 9 all"]
        assert (await world.service.wait(WAIT)).exit_status == 137
        init = await world.service.state(task_pb2.StateRequest(id="c"))
        assert init.status == task_pb2.RUNNING

    in_world(scenario)


def test_exec_stdin_that_is_closed_before_the_start_is_closed_then() -> None:
    async def scenario(world: World) -> None:
        await created(world)
        await world.service.close_io(CLOSE)
        assert "e.close_stdin" not in world.calls
        await world.service.start(START)
        assert world.calls[-3:] == ["e.build", "e.close_stdin", "e.start"]

    in_world(scenario)


def test_exec_stdin_and_terminal_are_its_own() -> None:
    async def scenario(world: World) -> None:
        await running(world)
        await world.service.close_io(CLOSE)
        await world.service.resize_pty(RESIZE)
        assert world.calls[-2:] == ["e.close_stdin", "e.resize 80 25"]
        await world.service.resize_pty(task_pb2.ResizePtyRequest(id="c", width=1, height=2))
        assert world.calls[-1] == "resize 1 2"

    in_world(scenario)


def test_exec_ids_belong_to_their_container() -> None:
    async def scenario(world: World) -> None:
        await world.running("c")
        await world.running("d")
        await world.executing("e", "c")
        with pytest.raises(NotFoundError, match="container d has no process e"):
            await world.service.state(task_pb2.StateRequest(id="d", exec_id="e"))
        await world.executing("e", "d")
        world.execs["d"].handles["e"].end(1)
        await world.service.wait(task_pb2.WaitRequest(id="d", exec_id="e"))
        assert (await world.service.state(STATE)).status == task_pb2.RUNNING

    in_world(scenario)


def test_pids_name_the_executed_processes() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        handle = await world.executing()
        await world.added("not-started")
        init.others = (init.pid, handle.pid, 900)
        listed = (await world.service.pids(task_pb2.PidsRequest(id="c"))).processes
        assert [process.pid for process in listed] == [init.pid, handle.pid, 900]
        details = {process.pid: process.info for process in listed if process.HasField("info")}
        assert list(details) == [handle.pid]
        assert details[handle.pid].type_url == "containerd.runc.v1.ProcessDetails"
        told = runc_options_pb2.ProcessDetails.FromString(details[handle.pid].value)
        assert told.exec_id == "e"

    in_world(scenario)


def test_wait_ends_when_what_was_never_started_is_deleted() -> None:
    async def scenario(world: World) -> None:
        await created(world)
        waiting = asyncio.create_task(world.service.wait(WAIT))
        await settle()
        await world.service.delete(DELETE)
        with pytest.raises(NotFoundError, match=r"process e .* before it was started"):
            await waiting

    in_world(scenario)
