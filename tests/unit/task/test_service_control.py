"""Pause, Resume, Update, Checkpoint, Stats and ResizePty of a container."""

import asyncio

import pytest
from google.protobuf.any_pb2 import Any

from shim.api import cgroups_v2_pb2, events_pb2, task_pb2
from shim.errdefs import InternalError, UnimplementedError
from tests.unit.task.fakes import World, in_world, settle

PAUSE = task_pb2.PauseRequest(id="c")
RESUME = task_pb2.ResumeRequest(id="c")
STATE = task_pb2.StateRequest(id="c")
WAIT = task_pb2.WaitRequest(id="c")


def kill(signal: int, exec_id: str = "") -> task_pb2.KillRequest:
    return task_pb2.KillRequest(id="c", exec_id=exec_id, signal=signal)


def test_pause_and_resume_are_told_and_seen() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        for _ in range(2):
            await world.service.pause(PAUSE)
            assert (await world.service.state(STATE)).status == task_pb2.PAUSED
            await world.service.resume(RESUME)
            assert (await world.service.state(STATE)).status == task_pb2.RUNNING
        assert world.topics() == ["create", "start", *["paused", "resumed"] * 2]
        assert [call for call in world.calls if call in {"pause", "resume"}] == [
            *["pause", "resume"] * 2
        ]

    in_world(scenario)


def test_pause_is_that_of_every_process_that_runs() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        await world.executing("runs")
        ended = await world.executing("ended")
        ended.end(0)
        await world.service.wait(task_pb2.WaitRequest(id="c", exec_id="ended"))
        await world.added("added")

        async def states() -> list[int]:
            requests = [
                task_pb2.StateRequest(id="c", exec_id=exec_id)
                for exec_id in ("runs", "ended", "added")
            ]
            return [(await world.service.state(request)).status for request in requests]

        before = [task_pb2.RUNNING, task_pb2.STOPPED, task_pb2.CREATED]
        assert await states() == before
        await world.service.pause(PAUSE)
        assert await states() == [task_pb2.PAUSED, task_pb2.STOPPED, task_pb2.CREATED]
        await world.service.resume(RESUME)
        assert await states() == before

    in_world(scenario)


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_or_resume_that_fails_changes_nothing(verb: str) -> None:
    async def scenario(world: World) -> None:
        init = await (world.running if verb == "pause" else world.paused)()
        before, events = (await world.service.state(STATE)).status, list(world.events)
        init.fails[verb] = InternalError("the kernel does not")
        with pytest.raises(InternalError, match="the kernel does not"):
            await (world.service.pause(PAUSE) if verb == "pause" else world.service.resume(RESUME))
        assert (await world.service.state(STATE)).status == before
        assert world.events == events

    in_world(scenario)


def test_exit_while_it_is_being_paused_comes_after_the_pause() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        await settle()
        pausing = asyncio.create_task(world.service.pause(PAUSE))
        init.end(1)
        await asyncio.gather(pausing, world.service.wait(WAIT))
        assert world.topics()[2:] == ["paused", "exit"]
        assert (await world.service.state(STATE)).status == task_pb2.STOPPED

    in_world(scenario)


def test_sigkill_of_a_paused_container_thaws_it() -> None:
    async def scenario(world: World) -> None:
        init = await world.paused()
        init.fails["resume"] = InternalError("nothing is left to thaw")
        await world.service.kill(kill(9))
        assert world.calls[-2:] == ["kill 9", "resume"]
        assert (await world.service.wait(WAIT)).exit_status == 137
        assert world.topics() == ["create", "start", "paused", "exit"]

    in_world(scenario)


def test_other_signals_of_a_paused_container_wait() -> None:
    async def scenario(world: World) -> None:
        await world.paused()
        await world.service.kill(kill(15))
        assert "resume" not in world.calls
        assert (await world.service.state(STATE)).status == task_pb2.PAUSED

    in_world(scenario)


def test_sigkill_of_an_executed_process_leaves_its_container_paused() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        handle = await world.executing()
        handle.ends_when_killed = False
        await world.service.pause(PAUSE)
        await world.service.kill(kill(9, "e"))
        assert world.calls[-1] == "e.kill 9"
        assert (await world.service.state(STATE)).status == task_pb2.PAUSED
        await world.service.resume(RESUME)

    in_world(scenario)


@pytest.mark.parametrize("state", ["created", "running", "paused"])
def test_update_hands_the_limits_on(state: str) -> None:
    async def scenario(world: World) -> None:
        init = await getattr(world, state)()
        request = task_pb2.UpdateTaskRequest(id="c", resources=Any(value=b'{"pids": {}}'))
        events = list(world.events)
        await world.service.update(request)
        assert init.updated == b'{"pids": {}}'
        assert world.events == events

    in_world(scenario)


@pytest.mark.parametrize("state", ["running", "paused"])
def test_checkpoint_is_told_and_changes_no_state(state: str) -> None:
    async def scenario(world: World) -> None:
        await getattr(world, state)()
        before = (await world.service.state(STATE)).status
        request = task_pb2.CheckpointTaskRequest(id="c", path="/img", options=Any(value=b"opts"))
        await world.service.checkpoint(request)
        assert world.calls[-1] == "checkpoint /img opts"
        event = world.events[-1]
        assert isinstance(event, events_pb2.TaskCheckpointed)
        assert (event.container_id, event.checkpoint) == ("c", "/img")
        assert (await world.service.state(STATE)).status == before

    in_world(scenario)


def test_checkpoint_that_fails_is_not_told() -> None:
    async def scenario(world: World) -> None:
        init = await world.running()
        init.fails["checkpoint"] = UnimplementedError("no criu")
        with pytest.raises(UnimplementedError, match="no criu"):
            await world.service.checkpoint(task_pb2.CheckpointTaskRequest(id="c", path="/img"))
        assert world.topics() == ["create", "start"]

    in_world(scenario)


def test_stats_go_by_their_bare_name() -> None:
    async def scenario(world: World) -> None:
        await world.running()
        stats = (await world.service.stats(task_pb2.StatsRequest(id="c"))).stats
        assert stats.type_url == "io.containerd.cgroups.v2.Metrics"
        assert cgroups_v2_pb2.Metrics.FromString(stats.value).memory.usage == 77

    in_world(scenario)


def test_size_of_a_container_that_has_ended_is_nobody_s_error() -> None:
    async def scenario(world: World) -> None:
        await world.stopped()
        await settle()
        await world.service.resize_pty(task_pb2.ResizePtyRequest(id="c", width=80, height=25))

    in_world(scenario)
