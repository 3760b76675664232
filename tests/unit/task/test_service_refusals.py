"""The task service's verbs where they must say no: unknown names, and what is not built."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from google.protobuf.message import Message

from shim.api import task_pb2
from shim.errdefs import NotFoundError, UnimplementedError
from shim.task.service import TaskService
from tests.unit.task.fakes import World, in_world

Call = Callable[[TaskService, str, str], Coroutine[Any, Any, Message]]

WITH_EXEC_ID: dict[str, Call] = {
    "start": lambda s, c, e: s.start(task_pb2.StartRequest(id=c, exec_id=e)),
    "state": lambda s, c, e: s.state(task_pb2.StateRequest(id=c, exec_id=e)),
    "wait": lambda s, c, e: s.wait(task_pb2.WaitRequest(id=c, exec_id=e)),
    "kill": lambda s, c, e: s.kill(task_pb2.KillRequest(id=c, exec_id=e, signal=9)),
    "delete": lambda s, c, e: s.delete(task_pb2.DeleteRequest(id=c, exec_id=e)),
    "close_io": lambda s, c, e: s.close_io(task_pb2.CloseIORequest(id=c, exec_id=e, stdin=True)),
}
WITHOUT_EXEC_ID: dict[str, Call] = {
    "pids": lambda s, c, _: s.pids(task_pb2.PidsRequest(id=c)),
}
UNBUILT: dict[str, Call] = {
    "Pause": lambda s, c, _: s.pause(task_pb2.PauseRequest(id=c)),
    "Resume": lambda s, c, _: s.resume(task_pb2.ResumeRequest(id=c)),
    "Checkpoint": lambda s, c, _: s.checkpoint(task_pb2.CheckpointTaskRequest(id=c)),
    "Exec": lambda s, c, _: s.exec(task_pb2.ExecProcessRequest(id=c)),
    "ResizePty": lambda s, c, _: s.resize_pty(task_pb2.ResizePtyRequest(id=c)),
    "Update": lambda s, c, _: s.update(task_pb2.UpdateTaskRequest(id=c)),
    "Stats": lambda s, c, _: s.stats(task_pb2.StatsRequest(id=c)),
}


@pytest.mark.parametrize("verb", [*WITH_EXEC_ID, *WITHOUT_EXEC_ID])
def test_verb_of_an_unknown_container_is_not_found(verb: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(NotFoundError, match="container nobody"):
            await (WITH_EXEC_ID | WITHOUT_EXEC_ID)[verb](world.service, "nobody", "")

    in_world(scenario)


@pytest.mark.parametrize("verb", WITH_EXEC_ID)
def test_verb_of_an_unknown_process_is_not_found_and_touches_nothing(verb: str) -> None:
    async def scenario(world: World) -> None:
        await world.created()
        with pytest.raises(NotFoundError, match="no process e1"):
            await WITH_EXEC_ID[verb](world.service, "c", "e1")
        assert world.calls == []

    in_world(scenario)


@pytest.mark.parametrize("container_id", ["c", "nobody"])
@pytest.mark.parametrize("verb", UNBUILT)
def test_verb_that_is_not_built_says_so_whatever_it_names(verb: str, container_id: str) -> None:
    async def scenario(world: World) -> None:
        await world.created()
        with pytest.raises(UnimplementedError, match=rf"^{verb} of container {container_id} "):
            await UNBUILT[verb](world.service, container_id, "")

    in_world(scenario)


def test_every_verb_of_the_api_is_a_case_here() -> None:
    methods = task_pb2.DESCRIPTOR.services_by_name["Task"].methods
    names = {re.sub("(?<=[a-z])(?=[A-Z])", "_", method.name).lower() for method in methods}
    unbuilt = {re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in UNBUILT}
    assert names == {*WITH_EXEC_ID, *WITHOUT_EXEC_ID, *unbuilt, "create", "connect", "shutdown"}
