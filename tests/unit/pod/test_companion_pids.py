"""Who holds the pid namespace of a Wasm container's Linux programs, and how long."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from shim.errdefs import InternalError
from shim.instance.process import WasmProcess
from shim.pod.companion_pids import CompanionPids


class FakeHolder:
    def __init__(self) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls: list[str] = []

    async def end(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("end")
        if not self.exited.done():
            self.exited.set_result(None)

    async def release(self) -> None:
        self.calls.append("release")


@dataclass
class World:
    made: list[FakeHolder] = field(default_factory=list)
    error: Exception | None = None

    async def hold(self) -> WasmProcess:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.made.append(FakeHolder())
        return cast("WasmProcess", self.made[-1])


def in_world(scenario: Callable[[World, CompanionPids], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        world = World()
        await asyncio.wait_for(scenario(world, CompanionPids(world.hold)), 5)

    asyncio.run(run())


def test_programs_side_by_side_share_one_until_the_last_has_ended() -> None:
    async def scenario(world: World, pids: CompanionPids) -> None:
        holders = await asyncio.gather(*(pids.enter() for _ in range(3)))
        assert len(world.made) == 1
        assert len(set(holders)) == 1
        for holder in holders[:-1]:
            await pids.leave(holder)
            assert world.made[0].calls == []
        await pids.leave(holders[-1])
        assert world.made[0].calls == ["end", "release"]

    in_world(scenario)


def test_program_after_the_last_gets_another() -> None:
    async def scenario(world: World, pids: CompanionPids) -> None:
        await pids.leave(await pids.enter())
        holder = await pids.enter()
        assert len(world.made) == 2
        await pids.leave(holder)
        assert [each.calls for each in world.made] == [["end", "release"]] * 2

    in_world(scenario)


def test_program_that_comes_while_the_last_leaves_gets_one_that_lives() -> None:
    async def scenario(world: World, pids: CompanionPids) -> None:
        first = await pids.enter()
        _, second = await asyncio.gather(pids.leave(first), pids.enter())
        assert not second.exited.done()
        await pids.leave(second)

    in_world(scenario)


def test_holder_that_was_killed_is_replaced_and_given_back_by_its_own() -> None:
    async def scenario(world: World, pids: CompanionPids) -> None:
        first = await pids.enter()
        world.made[0].exited.set_result(None)
        second = await pids.enter()
        assert second is not first
        await pids.leave(first)
        assert [each.calls for each in world.made] == [["end", "release"], []]
        await pids.leave(second)
        assert world.made[1].calls == ["end", "release"]

    in_world(scenario)


def test_holder_that_cannot_be_made_leaves_nothing() -> None:
    async def scenario(world: World, pids: CompanionPids) -> None:
        world.error = InternalError("no more processes")
        with pytest.raises(InternalError, match="no more processes"):
            await pids.enter()
        world.error = None
        holder = await pids.enter()
        await pids.leave(holder)
        assert world.made[0].calls == ["end", "release"]

    in_world(scenario)
