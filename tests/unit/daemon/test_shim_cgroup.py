"""`ShimCgroup`: which groups are joined; that the kernel takes it, tests/integration shows."""

from pathlib import Path

import pytest

from shim.cgroup import membership
from shim.daemon.shim_cgroup import join_shim_cgroup
from shim.errdefs import FailedPreconditionError, InvalidArgumentError


def group(root: Path, *parts: str) -> Path:
    path = root.joinpath(*parts)
    path.mkdir(parents=True)
    (path / "cgroup.procs").write_text("")
    return path


def joined(root: Path) -> list[str]:
    files = sorted(root.rglob("cgroup.procs"))
    return [str(path.parent.relative_to(root)) for path in files if path.read_text() == "0"]


def test_join_of_v2_takes_the_one_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    group(tmp_path, "a", "b")
    join_shim_cgroup("/a/b", tmp_path)
    assert joined(tmp_path) == ["a/b"]


def test_join_of_v1_takes_every_hierarchy_that_has_the_group(tmp_path: Path) -> None:
    for hierarchy in ("cpu,cpuacct", "memory"):
        group(tmp_path, hierarchy, "a")
    (tmp_path / "pids").mkdir()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    join_shim_cgroup("a", tmp_path)
    assert joined(tmp_path) == ["cpu,cpuacct/a", "memory/a"]


def test_join_of_a_missing_group_creates_none(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    with pytest.raises(FailedPreconditionError, match="'/a' does not exist: create it"):
        join_shim_cgroup("/a", tmp_path)
    assert list((tmp_path / "memory").iterdir()) == []


def test_join_notes_where_the_shim_came_from(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    group(tmp_path, "a")
    membership.home.cache_clear()
    join_shim_cgroup("/a", tmp_path)
    assert membership.home.cache_info().currsize == 1


@pytest.mark.parametrize("name", ["/", ".", "/../.."])
def test_join_of_the_root_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "memory").mkdir()
    with pytest.raises(InvalidArgumentError, match="names no group of its own"):
        join_shim_cgroup(name, tmp_path)


def test_join_that_the_kernel_refuses_says_so(tmp_path: Path) -> None:
    (group(tmp_path, "memory", "a") / "cgroup.procs").unlink()
    (tmp_path / "memory" / "a" / "cgroup.procs").mkdir()
    with pytest.raises(FailedPreconditionError, match="memory/a cannot be joined: Is a directory"):
        join_shim_cgroup("/a", tmp_path)
