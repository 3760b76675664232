"""What the task service asks of a group, of one that a test has written."""

import asyncio
from pathlib import Path

import pytest

from shim.api import cgroups_v2_pb2
from shim.cgroup import Cgroup
from shim.errdefs import NotFoundError
from shim.pod.group import ContainerGroup


def group(directory: Path, kills: int) -> ContainerGroup:
    (directory / "memory.events").write_text(f"oom 0\noom_kill {kills}\n")
    (directory / "pids.current").write_text("3\n")
    return ContainerGroup(Cgroup((directory,), unified=True, root=directory.parent))


def test_group_tells_of_kills_and_figures(tmp_path: Path) -> None:
    made = group(tmp_path, 2)
    assert made.oom_kills() == 2
    stats = made.stats()
    assert isinstance(stats, cgroups_v2_pb2.Metrics)
    assert stats.pids.current == 3


def test_group_that_is_gone_has_no_figures(tmp_path: Path) -> None:
    made = ContainerGroup(Cgroup((tmp_path / "gone",), unified=True, root=tmp_path))
    assert made.oom_kills() == 0
    with pytest.raises(NotFoundError):
        made.stats()


def test_group_that_is_gone_is_watched_in_vain_and_let_go(tmp_path: Path) -> None:
    made = ContainerGroup(Cgroup((tmp_path / "gone",), unified=True, root=tmp_path))

    async def watch() -> None:
        end = made.watch_oom(lambda: pytest.fail("nobody was killed"))
        await asyncio.sleep(0.01)
        end()
        end()

    asyncio.run(watch())
