"""What is told of a container's processes, in which order, whatever ends first."""

import asyncio

import pytest

from shim.api import task_pb2
from shim.errdefs import FailedPreconditionError, InternalError, NotFoundError
from shim.task import lifecycle
from tests.unit.task.fakes import FakeStreams, World, in_world, settle

WAIT = task_pb2.WaitRequest(id="c")
STATE = task_pb2.StateRequest(id="c")
START_EXECUTED = task_pb2.StartRequest(id="c", exec_id="e")
WAIT_EXECUTED = task_pb2.WaitRequest(id="c", exec_id="e")


@pytest.fixture
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_EXECUTED_END_S", 0.2)


def test_executed_processes_are_killed_and_told_of_before_init() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        for exec_id in ("a", "b"):
            await world.executing(exec_id)
        await world.added("never-started")
        init.end(5)
        assert (await world.service.wait(WAIT)).exit_status == 5
        assert world.topics()[-3:] == ["exit a", "exit b", "exit"]
        assert [call for call in world.calls if "kill" in call] == ["a.kill 9", "b.kill 9"]
        assert world.calls.index("b.kill 9") < world.calls.index("after_exit")
        for exec_id in ("a", "b"):
            request = task_pb2.WaitRequest(id="c", exec_id=exec_id)
            assert (await world.service.wait(request)).exit_status == 137

    in_world(scenario)


def test_executed_process_that_ends_by_itself_meanwhile_is_no_error() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        handle = await world.executing()
        handle.fails["kill"] = NotFoundError("it has ended already")
        init.end(0)
        await settle()
        assert "exit" not in world.topics()
        handle.end(0)
        await world.service.wait(WAIT)
        assert world.topics()[-2:] == ["exit e", "exit"]

    in_world(scenario)


@pytest.mark.usefixtures("_short_patience")
def test_executed_process_that_does_not_die_holds_up_init_for_a_while_only() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        handle = await world.executing()
        handle.ends_when_killed = False
        init.end(2)
        assert (await world.service.wait(WAIT)).exit_status == 2
        assert world.topics()[-1] == "exit"
        handle.end(137)
        assert (await world.service.wait(WAIT_EXECUTED)).exit_status == 137
        assert world.topics()[-1] == "exit e"

    in_world(scenario)


@pytest.mark.parametrize("moment", ["while it is made", "while it starts"])
def test_init_that_dies_while_a_process_is_being_executed(moment: str) -> None:
    """It is not made, or it is told of first: never does it outlive its container."""

    async def scenario(world: World) -> None:
        init = await world.running()
        await world.added()
        execs = world.execs["c"]
        if moment == "while it starts":
            execs.starts_at_once = False
        else:
            execs.may_build.clear()
        starting = asyncio.create_task(world.service.start(START_EXECUTED))
        await settle()
        init.end(0)
        await settle()
        assert "exit" not in world.topics()
        if moment == "while it is made":
            execs.may_build.set()
            with pytest.raises(FailedPreconditionError, match="container c has just ended"):
                await starting
            await world.service.wait(WAIT)
            assert world.topics() == ["create", "start", "execadded e", "exit"]
            assert {"e.close", "e.release"} <= set(world.calls)
            assert "e.start" not in world.calls
        else:
            execs.handles["e"].may_start.set()
            await starting
            await world.service.wait(WAIT)
            assert world.topics()[-3:] == ["execstarted e", "exit e", "exit"]

    in_world(scenario)


@pytest.mark.usefixtures("_short_patience")
def test_process_that_takes_long_to_make_holds_up_init_for_a_while_only() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        await world.added()
        world.execs["c"].may_build.clear()
        starting = asyncio.create_task(world.service.start(START_EXECUTED))
        await settle()
        init.end(0)
        assert (await world.service.wait(WAIT)).exit_status == 0
        world.execs["c"].may_build.set()
        with pytest.raises(FailedPreconditionError, match="has ended"):
            await starting
        assert "e.start" not in world.calls
        assert "e.release" in world.calls

    in_world(scenario)


def test_start_of_a_process_after_init_has_ended_is_refused() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        await world.added()
        init.end(0)
        await world.service.wait(WAIT)
        with pytest.raises(FailedPreconditionError, match="cannot execute anything"):
            await world.service.start(START_EXECUTED)
        assert "e.build" not in world.calls

    in_world(scenario)


@pytest.mark.parametrize("failing", ["kill", "release"])
def test_init_s_exit_is_told_whatever_ending_the_others_comes_to(failing: str) -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        handle = await world.executing()
        handle.fails[failing] = InternalError("it failed")
        init.end(8)
        assert (await world.service.wait(WAIT)).exit_status == 8
        assert world.topics()[-1] == "exit"
        assert "after_exit" in world.calls

    in_world(scenario)


def test_executed_process_is_gone_when_its_exit_is_told() -> None:
    """Its container may be deleted, and the bundle removed, right after that."""

    async def scenario(world: World) -> None:
        await world.running()
        handle = await world.executing()
        handle.end(0)
        await world.service.wait(WAIT_EXECUTED)
        assert "e.release" in world.calls
        await settle()
        assert world.calls.count("e.release") == world.calls.count("e.finish") == 1

    in_world(scenario)


def test_exits_wait_for_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        read = asyncio.Event()

        async def drained(streams: FakeStreams) -> None:
            del streams
            await read.wait()

        monkeypatch.setattr(FakeStreams, "drained", drained)
        init = await world.running()
        handle = await world.executing()
        handle.end(0)
        await settle()
        assert "exit e" not in world.topics()
        assert (await world.service.state(STATE)).status == task_pb2.RUNNING
        read.set()
        await world.service.wait(WAIT_EXECUTED)
        read.clear()
        init.end(0)
        await settle()
        assert "exit" not in world.topics()
        read.set()
        await world.service.wait(WAIT)

    in_world(scenario)


def test_want_of_memory_is_told_once_for_each_growth() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await settle()
        group = world.groups["c"]
        for _ in range(2):
            group.kill_for_memory()
        group.watchers[0]()
        assert world.topics() == ["create", "start", "oom", "oom"]

    in_world(scenario)


def test_want_of_memory_that_ends_init_is_told_before_the_exit_and_once() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        await settle()
        world.groups["c"].kills = 1
        init.end(137)
        await world.service.wait(WAIT)
        assert world.topics() == ["create", "start", "oom", "exit"]
        assert world.groups["c"].watchers == []

    in_world(scenario)


def test_want_of_memory_that_ends_init_at_once_is_told() -> None:
    """Before its start has been answered, the group is not even watched."""

    async def scenario(world: World) -> None:
        init = await world.running()
        world.groups["c"].kills = 1
        init.end(137)
        await world.service.wait(WAIT)
        assert world.topics() == ["create", "start", "oom", "exit"]
        assert "watch_oom" not in world.calls

    in_world(scenario)


def test_want_of_memory_while_it_is_created_is_told_before_the_exit() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        world.groups["c"].kills = 1
        init.end(137)
        await world.service.wait(WAIT)
        assert world.topics() == ["create", "oom", "exit"]

    in_world(scenario)


def test_container_of_one_process_is_watched_from_its_first_exec_on() -> None:
    """Its own want of memory is its end, and told then."""

    async def scenario(world: World) -> None:
        init = await world.created()
        init.is_alone = True
        await world.service.start(task_pb2.StartRequest(id="c"))
        await settle()
        assert "watch_oom" not in world.calls
        for exec_id in ("a", "b"):
            await world.executing(exec_id)
            await settle()
        assert world.calls.count("watch_oom") == 1
        world.groups["c"].kill_for_memory()
        assert world.topics()[-1] == "oom"
        init.end(0)
        await world.service.wait(WAIT)
        assert world.topics().count("oom") == 1
        assert world.groups["c"].watchers == []

    in_world(scenario)
