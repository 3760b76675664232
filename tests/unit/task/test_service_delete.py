"""Delete in every state of a container: what is given back, when, and how often."""

import asyncio

import pytest

from shim.api import task_pb2
from shim.errdefs import FailedPreconditionError, InternalError, NotFoundError
from tests.unit.task.fakes import World, in_world, settle

DELETE = task_pb2.DeleteRequest(id="c")


def test_delete_gives_back_in_order_and_forgets() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        await settle()
        init.end(0)
        await settle()
        await world.service.delete(DELETE)
        assert world.calls == [
            *("start", "watch_oom"),
            *("after_exit", "end_oom_watch", "finish"),
            *("release", "give_back"),
        ]
        with pytest.raises(NotFoundError):
            await world.service.delete(DELETE)
        await world.created()

    in_world(scenario)


def test_delete_of_a_running_container_is_refused() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        with pytest.raises(FailedPreconditionError, match="running"):
            await world.service.delete(DELETE)
        assert "release" not in world.calls

    in_world(scenario)


def test_delete_of_a_created_container_kills_it() -> None:
    async def scenario(world: World) -> None:
        await world.created()
        deleted = await world.service.delete(DELETE)
        assert deleted.exit_status == 137
        assert world.topics() == ["create", "exit", "delete"]

    in_world(scenario)


def test_delete_of_a_created_container_that_ends_by_itself_meanwhile() -> None:
    async def scenario(world: World) -> None:
        init = await world.created()
        init.fails["kill"] = NotFoundError("it has ended already")
        init.end(125)
        deleted = await world.service.delete(DELETE)
        assert deleted.exit_status == 125
        assert world.service.is_empty

    in_world(scenario)


def test_delete_twice_at_once_releases_once() -> None:
    async def scenario(world: World) -> None:
        await world.stopped()
        results = await asyncio.gather(
            world.service.delete(DELETE), world.service.delete(DELETE), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == [
            "DeleteResponse",
            "NotFoundError",
        ]
        assert world.calls.count("release") == 1
        assert world.topics().count("delete") == 1

    in_world(scenario)


def test_delete_that_fails_can_be_repeated() -> None:
    async def scenario(world: World) -> None:
        init = await world.stopped()
        init.fails["release"] = InternalError("cgroup is busy")
        with pytest.raises(InternalError):
            await world.service.delete(DELETE)
        assert not world.service.is_empty
        init.fails.clear()
        await world.service.delete(DELETE)
        assert world.topics().count("delete") == 1

    in_world(scenario)


def test_delete_of_a_paused_container_is_refused() -> None:
    async def scenario(world: World) -> None:
        await world.paused()
        with pytest.raises(FailedPreconditionError, match="paused"):
            await world.service.delete(DELETE)
        assert "release" not in world.calls

    in_world(scenario)


def test_delete_takes_along_the_executed_processes_that_are_left() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        ended = await world.executing("ended")
        await world.added("never-started")
        ended.end(0)
        await settle()
        init.end(0)
        await settle()
        before = len(world.events)
        await world.service.delete(DELETE)
        assert world.calls[-3:] == ["ended.close", "release", "give_back"]
        assert [event.DESCRIPTOR.name for event in world.events[before:]] == ["TaskDelete"]
        assert world.service.is_empty
        await world.created()
        with pytest.raises(NotFoundError, match="no process ended"):
            await world.service.state(task_pb2.StateRequest(id="c", exec_id="ended"))

    in_world(scenario)
