"""The task service's verbs where they must say no: unknown names, and wrong states."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from google.protobuf.message import Message

from shim.api import task_pb2
from shim.errdefs import FailedPreconditionError, NotFoundError
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
    "resize_pty": lambda s, c, e: s.resize_pty(task_pb2.ResizePtyRequest(id=c, exec_id=e)),
}
WITHOUT_EXEC_ID: dict[str, Call] = {
    "pids": lambda s, c, _: s.pids(task_pb2.PidsRequest(id=c)),
    "pause": lambda s, c, _: s.pause(task_pb2.PauseRequest(id=c)),
    "resume": lambda s, c, _: s.resume(task_pb2.ResumeRequest(id=c)),
    "checkpoint": lambda s, c, _: s.checkpoint(task_pb2.CheckpointTaskRequest(id=c)),
    "exec": lambda s, c, _: s.exec(task_pb2.ExecProcessRequest(id=c, exec_id="e")),
    "update": lambda s, c, _: s.update(task_pb2.UpdateTaskRequest(id=c)),
    "stats": lambda s, c, _: s.stats(task_pb2.StatsRequest(id=c)),
}
VERBS = WITH_EXEC_ID | WITHOUT_EXEC_ID
REFUSED_BEFORE_START = {"pause": "start it first", "resume": "not paused", "checkpoint": "start it"}
REFUSED_WHILE_RUNNING = {"start": "running already", "delete": "kill it first", "resume": "paused"}
REFUSED_WHILE_PAUSED = {
    "start": "resume it",
    "delete": "kill it first",
    "exec": "resume it first",
    "pause": "paused already",
}
REFUSED_AFTER_THE_END = {
    "start": "start again",
    "exec": "execute anything",
    "pause": "be paused",
    "resume": "be resumed",
    "update": "be updated",
    "checkpoint": "be checkpointed",
}


@pytest.mark.parametrize("verb", VERBS)
def test_verb_of_an_unknown_container_is_not_found(verb: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(NotFoundError, match="container nobody"):
            await VERBS[verb](world.service, "nobody", "")

    in_world(scenario)


@pytest.mark.parametrize("verb", WITH_EXEC_ID)
def test_verb_of_an_unknown_process_is_not_found_and_touches_nothing(verb: str) -> None:
    async def scenario(world: World) -> None:
        await world.created()
        with pytest.raises(NotFoundError, match="no process e1"):
            await WITH_EXEC_ID[verb](world.service, "c", "e1")
        assert world.calls == []

    in_world(scenario)


@pytest.mark.parametrize(
    ("state", "verb", "text"),
    [
        (state, verb, text)
        for state, refused in (
            ("created", REFUSED_BEFORE_START),
            ("running", REFUSED_WHILE_RUNNING),
            ("paused", REFUSED_WHILE_PAUSED),
            ("stopped", REFUSED_AFTER_THE_END),
        )
        for verb, text in refused.items()
    ],
)
def test_verb_in_the_wrong_state_is_refused_and_touches_nothing(
    state: str, verb: str, text: str
) -> None:
    async def scenario(world: World) -> None:
        await getattr(world, state)()
        calls, events = list(world.calls), list(world.events)
        with pytest.raises(FailedPreconditionError, match=f"^container c .*{text}"):
            await VERBS[verb](world.service, "c", "")
        assert [call for call in world.calls if call not in calls] in ([], ["finish"])
        assert world.events == events

    in_world(scenario)


def test_every_verb_of_the_api_is_a_case_here() -> None:
    methods = task_pb2.DESCRIPTOR.services_by_name["Task"].methods
    names = {re.sub("(?<=[a-z])(?=[A-Z])", "_", method.name).lower() for method in methods}
    assert names == {*VERBS, "create", "connect", "shutdown"}
