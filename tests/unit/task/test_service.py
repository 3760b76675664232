"""Every verb of the task service, in every state, with processes that a test ends."""

import asyncio
import os

import pytest

from shim.api import events_pb2, task_pb2
from shim.errdefs import (
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
)
from tests.unit.task.fakes import EXITED_AT_NS, World, in_world, settle

DELETE = task_pb2.DeleteRequest(id="c")
START = task_pb2.StartRequest(id="c")
STATE = task_pb2.StateRequest(id="c")
WAIT = task_pb2.WaitRequest(id="c")


def kill(signal: int, *, everything: bool = False) -> task_pb2.KillRequest:
    return task_pb2.KillRequest(id="c", signal=signal, all=everything)


def test_create_answers_and_announces() -> None:
    async def scenario(world: World) -> None:
        request = task_pb2.CreateTaskRequest(id="c", bundle="/b", stdin="i", stdout="o", stderr="e")
        response = await world.service.create(request)

        (event,) = world.events
        assert isinstance(event, events_pb2.TaskCreate)
        assert (event.container_id, event.bundle, event.pid) == ("c", "/b", response.pid)
        assert (event.io.stdin, event.io.stdout, event.io.stderr) == ("i", "o", "e")
        assert response.pid == world.inits["c"].pid

    in_world(scenario)


def test_create_twice_is_refused_also_while_the_first_is_being_made() -> None:
    async def scenario(world: World) -> None:
        world.may_build.clear()
        first = asyncio.create_task(world.created())
        await settle()
        with pytest.raises(AlreadyExistsError, match="container c"):
            await world.created()
        with pytest.raises(NotFoundError):
            await world.service.state(STATE)
        assert not world.service.is_empty
        world.may_build.set()
        await first
        with pytest.raises(AlreadyExistsError):
            await world.created()
        assert world.topics() == ["create"]

    in_world(scenario)


def test_create_that_fails_frees_the_id() -> None:
    async def scenario(world: World) -> None:
        world.build_error = InvalidArgumentError("bad image")
        with pytest.raises(InvalidArgumentError, match="bad image"):
            await world.created()
        assert world.service.is_empty
        assert world.events == []
        world.build_error = None
        await world.created()

    in_world(scenario)


def test_create_that_is_cancelled_frees_the_id() -> None:
    async def scenario(world: World) -> None:
        world.may_build.clear()
        task = asyncio.create_task(world.created())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.service.is_empty

    in_world(scenario)


def test_create_from_a_checkpoint_tells_of_it() -> None:
    async def scenario(world: World) -> None:
        await world.service.create(task_pb2.CreateTaskRequest(id="c", checkpoint="/x"))
        (event,) = world.events
        assert isinstance(event, events_pb2.TaskCreate)
        assert event.checkpoint == "/x"

    in_world(scenario)


def test_life_announces_each_step_once_and_in_order() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        init.end(7)
        waited = await world.service.wait(WAIT)
        deleted = await world.service.delete(DELETE)

        assert world.topics() == ["create", "start", "exit", "delete"]
        assert waited.exit_status == deleted.exit_status == 7
        assert waited.exited_at.ToNanoseconds() == deleted.exited_at.ToNanoseconds() == EXITED_AT_NS
        assert deleted.pid == init.pid
        exit_event, delete_event = world.events[2:]
        assert isinstance(exit_event, events_pb2.TaskExit)
        assert isinstance(delete_event, events_pb2.TaskDelete)
        assert (exit_event.id, exit_event.exit_status, exit_event.pid) == ("c", 7, init.pid)
        assert (delete_event.exit_status, delete_event.pid) == (7, init.pid)
        assert delete_event.exited_at.ToNanoseconds() == EXITED_AT_NS

    in_world(scenario)


def test_start_of_a_process_that_ends_at_once_is_announced_before_its_exit() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        init.may_start.clear()
        starting = asyncio.create_task(world.service.start(START))
        await settle()
        init.end(0)
        await settle()
        assert world.topics() == ["create"]
        assert (await world.service.state(STATE)).status == task_pb2.CREATED
        init.may_start.set()
        assert (await starting).pid == init.pid
        await world.service.wait(WAIT)

        assert world.topics() == ["create", "start", "exit"]

    in_world(scenario)


def test_start_that_fails_leaves_the_container_created() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        init.fails["start"] = InternalError("it is gone")
        with pytest.raises(InternalError):
            await world.service.start(START)
        assert world.topics() == ["create"]
        assert (await world.service.state(STATE)).status == task_pb2.CREATED

    in_world(scenario)


def test_start_twice_is_refused() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        with pytest.raises(FailedPreconditionError, match="running"):
            await world.service.start(START)
        init.end(0)
        await world.service.wait(WAIT)
        with pytest.raises(FailedPreconditionError, match="ended"):
            await world.service.start(START)
        assert world.calls.count("start") == 1

    in_world(scenario)


def test_state_follows_the_life() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        assert (await world.service.state(STATE)).status == task_pb2.CREATED
        await world.service.start(START)
        running = await world.service.state(STATE)
        assert (running.status, running.pid) == (task_pb2.RUNNING, init.pid)
        assert not running.HasField("exited_at")
        init.end(3)
        await world.service.wait(WAIT)
        stopped = await world.service.state(STATE)
        assert (stopped.status, stopped.exit_status) == (task_pb2.STOPPED, 3)
        assert stopped.exited_at.ToNanoseconds() == EXITED_AT_NS

    in_world(scenario)


def test_state_says_stopped_as_soon_as_wait_answers() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        waiting = asyncio.create_task(world.service.wait(WAIT))
        await settle()
        assert not waiting.done()
        init.end(0)
        await waiting
        assert (await world.service.state(STATE)).status == task_pb2.STOPPED

    in_world(scenario)


def test_wait_answers_all_who_wait_also_afterwards() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        waiting = [asyncio.create_task(world.service.wait(WAIT)) for _ in range(50)]
        await world.service.start(START)
        init.end(5)
        responses = [*await asyncio.gather(*waiting), await world.service.wait(WAIT)]
        assert {response.exit_status for response in responses} == {5}

    in_world(scenario)


def test_wait_that_is_given_up_disturbs_nobody() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        given_up, stays = (asyncio.create_task(world.service.wait(WAIT)) for _ in range(2))
        await settle()
        given_up.cancel()
        await settle()
        init.end(1)
        assert (await stays).exit_status == 1

    in_world(scenario)


def test_wait_answers_a_waiter_whose_container_is_deleted_at_once() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        waiting = asyncio.create_task(world.service.wait(WAIT))
        await settle()
        init.end(4)
        await asyncio.gather(*[task for task in world.tasks if not task.done()])
        await world.service.delete(DELETE)
        assert (await waiting).exit_status == 4

    in_world(scenario)


def test_kill_reaches_the_process() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.service.kill(kill(15))
        await world.service.kill(kill(9, everything=True))
        await world.service.wait(WAIT)
        assert [call for call in world.calls if "kill" in call] == ["kill 15", "kill 9 all"]
        with pytest.raises(NotFoundError, match="ended"):
            await world.service.kill(kill(9))

    in_world(scenario)


def test_kill_reaches_a_created_container() -> None:
    async def scenario(world: World) -> None:
        await world.created()
        await world.service.kill(kill(9))
        assert (await world.service.wait(WAIT)).exit_status == 137
        assert world.topics() == ["create", "exit"]

    in_world(scenario)


@pytest.mark.parametrize("signal", [0, 65, 2**32 - 1])
def test_kill_refuses_signals_that_do_not_exist(signal: int) -> None:
    async def scenario(world: World) -> None:
        await world.running()
        with pytest.raises(InvalidArgumentError, match=str(signal)):
            await world.service.kill(kill(signal))
        assert not [call for call in world.calls if "kill" in call]

    in_world(scenario)


def test_exit_is_told_even_if_ending_the_other_processes_fails() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        init.fails["after_exit"] = InternalError("kill --all failed")
        init.end(6)
        assert (await world.service.wait(WAIT)).exit_status == 6
        assert world.topics() == ["create", "start", "exit"]

    in_world(scenario)


def test_pids_lists_init_until_delete() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        init.others = (900, init.pid, 800)
        request = task_pb2.PidsRequest(id="c")
        listed = (await world.service.pids(request)).processes
        assert [process.pid for process in listed] == sorted([init.pid, 800, 900])
        init.others = ()
        init.end(0)
        await world.service.wait(WAIT)
        assert [p.pid for p in (await world.service.pids(request)).processes] == [init.pid]

    in_world(scenario)


def test_close_io_closes_only_stdin_and_only_when_asked() -> None:
    async def scenario(world: World) -> None:
        await world.created()
        await world.service.close_io(task_pb2.CloseIORequest(id="c"))
        assert world.calls == []
        await world.service.close_io(task_pb2.CloseIORequest(id="c", stdin=True))
        assert world.calls == ["close_stdin"]

    in_world(scenario)


def test_connect_never_fails() -> None:
    async def scenario(world: World) -> None:
        unknown = await world.service.connect(task_pb2.ConnectRequest(id="nobody"))
        assert (unknown.shim_pid, unknown.task_pid) == (os.getpid(), 0)
        init = await world.created()
        known = await world.service.connect(task_pb2.ConnectRequest(id="c"))
        assert (known.shim_pid, known.task_pid) == (os.getpid(), init.pid)

    in_world(scenario)


def test_shutdown_only_when_empty() -> None:
    async def scenario(world: World) -> None:
        await world.stopped()
        await world.service.shutdown(task_pb2.ShutdownRequest(id="c", now=True))
        assert "shut_down" not in world.calls
        await world.service.delete(DELETE)
        await world.service.shutdown(task_pb2.ShutdownRequest(id="c"))
        assert world.calls[-1] == "shut_down"

    in_world(scenario)


def test_containers_of_a_pod_do_not_touch_each_other() -> None:
    async def scenario(world: World) -> None:
        await world.running("c")
        other = await world.running("d")
        other.end(1)
        await world.service.wait(task_pb2.WaitRequest(id="d"))
        assert (await world.service.state(STATE)).status == task_pb2.RUNNING
        await world.service.delete(task_pb2.DeleteRequest(id="d"))
        assert (await world.service.state(STATE)).status == task_pb2.RUNNING

    in_world(scenario)
