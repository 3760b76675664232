"""A container finds its processes, and says when nothing can be executed in it."""

import pytest

from shim.api import task_pb2
from shim.errdefs import AlreadyExistsError, FailedPreconditionError, NotFoundError
from shim.task.container import Container
from shim.task.machine import Status
from tests.unit.task.fakes import World, in_world

REQUEST = task_pb2.CreateTaskRequest(id="c", bundle="/b")
EXEC = task_pb2.ExecProcessRequest(id="c", exec_id="e")


async def container(world: World) -> Container:
    return Container.of(REQUEST, await world.build(REQUEST))


def test_container_is_what_was_built() -> None:
    async def scenario(world: World) -> None:
        made = await container(world)
        assert (made.id, made.bundle, made.init) == ("c", "/b", world.inits["c"])
        assert made.find("") is made.process
        assert made.process.pid == world.inits["c"].pid

    in_world(scenario)


def test_container_finds_what_was_added_and_nothing_else() -> None:
    async def scenario(world: World) -> None:
        made = await container(world)
        made.add(EXEC)
        assert made.find("e").request is EXEC
        with pytest.raises(NotFoundError, match="container c has no process f"):
            made.find("f")
        with pytest.raises(AlreadyExistsError, match="container c has a process e already"):
            made.add(EXEC)

    in_world(scenario)


@pytest.mark.parametrize("status", [Status.PAUSED, Status.STOPPED])
def test_container_takes_nothing_in_where_nothing_can_run(status: Status) -> None:
    async def scenario(world: World) -> None:
        made = await container(world)
        made.process.status = status
        with pytest.raises(FailedPreconditionError, match=r"^container c "):
            made.add(EXEC)
        assert made.executed == {}

    in_world(scenario)


def test_container_whose_init_is_reaped_takes_nothing_in() -> None:
    async def scenario(world: World) -> None:
        made = await container(world)
        made.has_ended = True
        with pytest.raises(FailedPreconditionError, match="container c has just ended"):
            made.add(EXEC)

    in_world(scenario)
