"""Kills for want of memory are heard of while the group lives on."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from shim.cgroup import Cgroup, locate
from shim.cgroup.oom import OomWatch
from shim.oci.spec import Resources
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support.cgroups import hold, join, run_in

pytestmark = pytest.mark.root

MIB = 1 << 20
LIMIT = 16 * MIB


@pytest.fixture
def group() -> Iterator[Cgroup]:
    group = new_cgroup("oom", Resources(memory_limit_bytes=LIMIT, memory_swap_bytes=LIMIT))
    yield group
    remove_cgroup(group)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (what is waited for is the kernel's)
            await asyncio.sleep(0.005)


def end_of(pid: int) -> int:
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def greedy(group: Cgroup) -> int:
    """A child that asks for more than the group may have."""

    def action() -> None:
        # So that the kernel chooses it, and not what else is in the group.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        hold(4 * LIMIT)

    return run_in(group, action)


def test_each_kill_is_told_while_the_others_live(group: Cgroup) -> None:
    async def run() -> None:
        seen: list[int] = []
        watch = OomWatch(group, lambda: seen.append(group.oom_kills()))
        bystander = join(group)
        for kills in (1, 2, 3):
            pid = greedy(group)
            await until(lambda: len(seen) == kills)  # noqa: B023 (awaited here)
            assert end_of(pid) == signal.SIGKILL
        assert seen == [1, 2, 3]
        assert group.pids() == [bystander]
        watch.look()
        assert len(seen) == 3
        watch.close()
        watch.close()

    asyncio.run(run())


def test_a_kill_for_the_limit_of_a_group_above_is_told(group: Cgroup) -> None:
    """A pod's limit, which its container reaches."""

    async def run() -> None:
        below = locate(f"/tandem-test-{os.getpid()}/oom/below", systemd=False)
        below.create(Resources())
        seen: list[int] = []

        def told() -> None:
            seen.append(1)
            watch.close()

        watch = OomWatch(below, told)
        assert end_of(greedy(below)) == signal.SIGKILL
        await until(lambda: seen == [1])

    asyncio.run(run())


def test_a_closed_watch_says_no_more(group: Cgroup) -> None:
    async def run() -> None:
        seen: list[int] = []
        watch = OomWatch(group, lambda: seen.append(1))
        watch.close()
        end_of(greedy(group))
        await asyncio.sleep(0.3)
        assert (seen, group.oom_kills()) == ([], 1)
        watch.look()
        assert seen == [1]

    asyncio.run(run())


def test_kills_before_the_watch_are_not_told(group: Cgroup) -> None:
    async def run() -> None:
        end_of(greedy(group))
        seen: list[int] = []
        watch = OomWatch(group, lambda: seen.append(1))
        watch.look()
        assert seen == []
        end_of(greedy(group))
        watch.look()
        await asyncio.sleep(0.3)
        assert seen == [1]
        watch.close()

    asyncio.run(run())


def test_a_group_that_goes_away_leaves_the_loop_in_peace(group: Cgroup) -> None:
    async def run() -> None:
        watch = OomWatch(group, lambda: pytest.fail("nothing was killed"))
        group.remove()
        before = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - before < 0.2
        watch.look()
        watch.close()

    asyncio.run(run())


@pytest.mark.parametrize("path", ["", "/tandem-none/c"])
def test_without_a_group_there_is_nothing_to_watch(path: str) -> None:
    async def run() -> None:
        watch = OomWatch(locate(path, systemd=False), lambda: pytest.fail("nothing was killed"))
        watch.look()
        watch.close()

    asyncio.run(run())
