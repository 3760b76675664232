"""From a membership to the files that lead there; that the kernel takes it, test_cgroup_loader."""

from pathlib import Path

import pytest

from shim.cgroup import membership
from shim.cgroup.membership import go_home, procs_files

V1 = "3:memory:/a\n2:cpu,cpuacct:/a/b\n1:name=systemd:/s\n0::/u\n"


def test_only_what_differs_is_joined() -> None:
    own = "3:memory:/a\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/u\n"
    assert sorted(procs_files(V1, own, "/cg")) == [
        "/cg/cpu,cpuacct/a/b/cgroup.procs",
        "/cg/systemd/s/cgroup.procs",
    ]
    assert list(procs_files(V1, V1, "/cg")) == []


@pytest.mark.parametrize("hybrid", [False, True])
def test_unified_hierarchy_is_the_root_or_beside_v1(tmp_path: Path, hybrid: bool) -> None:
    if hybrid:
        (tmp_path / "unified").mkdir()
    below = "unified/" if hybrid else ""
    found = list(procs_files("0::/x/y\n", "0::/\n", str(tmp_path)))
    assert found == [f"{tmp_path}/{below}x/y/cgroup.procs"]


def test_home_that_is_gone_is_the_next_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "home", lambda: "0::/gone/too\n1:pids:/kept/gone\n")
    (tmp_path / "pids" / "kept").mkdir(parents=True)
    for group in (tmp_path, tmp_path / "pids", tmp_path / "pids" / "kept"):
        (group / "cgroup.procs").touch()
    go_home(str(tmp_path))
    assert (tmp_path / "cgroup.procs").read_text() == "0"
    assert (tmp_path / "pids" / "kept" / "cgroup.procs").read_text() == "0"
    assert (tmp_path / "pids" / "cgroup.procs").read_text() == ""


def test_home_where_nothing_can_be_joined_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "home", lambda: "1:pids:/a\n")
    with pytest.raises(FileNotFoundError):
        go_home(str(tmp_path))
