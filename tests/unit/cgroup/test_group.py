"""The group on fake trees: what v2, which this machine may not have, would see."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from shim.cgroup import Cgroup, locate
from shim.errdefs import FailedPreconditionError, InternalError, InvalidArgumentError
from shim.oci.spec import Resources


def fake_group(path: Path, *files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in ("cgroup.procs", "cgroup.subtree_control", *files):
        (path / name).write_text("")
    return path


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    for directory in (tmp_path, tmp_path / "kubepods"):
        fake_group(directory)
        (directory / "cgroup.controllers").write_text("cpu io memory pids hugetlb\n")
    return tmp_path


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    (tmp_path / "cpu,cpuacct").mkdir()
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    for name in ("memory", "pids", "freezer", "cpuset", "blkio", "devices", "systemd"):
        (tmp_path / name).mkdir()
    (tmp_path / "unified").mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0\n")
    return tmp_path


def test_v2_enables_controllers_all_the_way_down(unified: Path) -> None:
    target = fake_group(unified / "kubepods" / "c", "memory.max")
    (unified / "cgroup.subtree_control").write_text("cpu memory")
    group = locate("/kubepods/c", systemd=False, root=unified)
    group.create(Resources(memory_limit_bytes=1000))
    assert group.paths == (target,)
    assert (unified / "cgroup.subtree_control").read_text().startswith("+pids +io")
    assert (unified / "kubepods" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io"
    assert (target / "cgroup.subtree_control").read_text() == ""
    assert (target / "memory.max").read_text() == "1000"
    assert group.procs_files() == (target / "cgroup.procs",)


def test_v2_without_the_limit_s_controller_names_file_and_value(unified: Path) -> None:
    group = locate("/kubepods/c", systemd=False, root=unified)
    with pytest.raises(InvalidArgumentError, match=r"cannot set pids.max to 5"):
        group.create(Resources(pids_limit=5))
    assert not (unified / "kubepods" / "c").exists()


def test_v2_leaves_a_parent_alone_that_holds_processes_and_tells_of_it(unified: Path) -> None:
    (unified / "cgroup.procs").write_text("1\n")
    busy = fake_group(unified / "kubepods", "cgroup.type")
    (busy / "cgroup.procs").write_text("2\n")
    group = locate("/kubepods/pod/c", systemd=False, root=unified)
    fake_group(group.paths[0])
    group.create(Resources())
    assert (unified / "cgroup.subtree_control").read_text() == "+cpu +memory +pids +io"
    assert (busy / "cgroup.subtree_control").read_text() == ""
    with pytest.raises(InvalidArgumentError, match=r"offers pids to nothing below .*/kubepods "):
        group.create(Resources(pids_limit=5))


def test_v2_without_swap_takes_what_needs_no_file(unified: Path) -> None:
    target = fake_group(unified / "kubepods" / "c", "memory.max")
    group = locate("/kubepods/c", systemd=False, root=unified)
    group.create(Resources(memory_limit_bytes=1000, memory_swap_bytes=1000))
    group.create(Resources(memory_limit_bytes=1000, memory_swap_bytes=-1))
    assert (target / "memory.max").read_text() == "1000"
    with pytest.raises(InvalidArgumentError, match=r"cannot set memory.swap.max to 500"):
        group.create(Resources(memory_limit_bytes=1000, memory_swap_bytes=1500))


def test_processes_below_an_existing_group_count_as_its_own(unified: Path) -> None:
    below = fake_group(unified / "kubepods" / "c" / "below")
    (below / "cgroup.procs").write_text("1\n")
    group = locate("/kubepods/c", systemd=False, root=unified)
    with pytest.raises(FailedPreconditionError, match="holds processes already"):
        group.create(Resources())


def test_the_version_is_known_before_the_group_is_made(unified: Path) -> None:
    group = Cgroup.from_paths([unified / "kubepods" / "c"])
    assert group.procs_files() == (unified / "kubepods" / "c" / "cgroup.procs",)


def test_v2_kills_by_one_write_and_reads_events(unified: Path) -> None:
    path = fake_group(unified / "c", "cgroup.kill", "cgroup.controllers")
    (path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    group = Cgroup.from_paths([path])
    group.kill()
    assert (path / "cgroup.kill").read_text() == "1"
    assert group.oom_kills() == 2


def test_an_old_v2_without_kill_is_killed_one_by_one(unified: Path) -> None:
    path = fake_group(unified / "c", "cgroup.controllers")
    with subprocess.Popen(["sleep", "60"]) as process:
        fake_group(path / "below")
        (path / "below" / "cgroup.procs").write_text(f"{process.pid}\n0\n")
        group = Cgroup.from_paths([path])
        assert group.pids() == [0, process.pid]
        group.kill()
        assert process.wait(5) == -signal.SIGKILL


def test_systemd_names_become_slices(unified: Path) -> None:
    group = locate("a-b.slice:cri:x", systemd=True, root=unified)
    assert group.paths == (unified / "a.slice" / "a-b.slice" / "cri-x.scope",)


def test_v1_joins_each_hierarchy_once(v1: Path) -> None:
    group = locate("/pod/c", systemd=False, root=v1)
    names = ["memory", "cpu,cpuacct", "pids", "freezer"]
    assert group.paths == tuple(v1 / name / "pod" / "c" for name in names)
    group.create(Resources())
    assert [file.name for file in group.procs_files()] == ["tasks"] * 4
    group.remove()
    assert not any(path.exists() for path in group.paths)
    assert all(path.parent.is_dir() for path in group.paths)


def test_v1_gives_a_new_cpuset_its_parents_processors(v1: Path) -> None:
    for directory in ("pod", "pod/c"):
        fake_group(v1 / "cpuset" / directory, "cpuset.cpus", "cpuset.mems")
    group = locate("/pod/c", systemd=False, root=v1)
    group.create(Resources(cpuset_cpus="2"))
    assert group.paths[-1] == v1 / "cpuset" / "pod" / "c"
    assert (v1 / "cpuset/pod/c/cpuset.cpus").read_text() == "2"


def test_v1_uses_the_cpuset_of_an_oci_runtime_and_moves_only_whom_it_can_name(v1: Path) -> None:
    cpuset = fake_group(v1 / "cpuset" / "pod" / "c")
    memory = fake_group(v1 / "memory" / "pod" / "c")
    (memory / "cgroup.procs").write_text("0\n7\n")
    group = locate("/pod/c", systemd=False, root=v1)
    for _ in range(2):
        group.join_cpuset()
        assert group.paths[-1] == cpuset
        assert (cpuset / "cgroup.procs").read_text() == "7"
    assert len(group.paths) == 5


def test_v2_has_no_cpuset_apart(unified: Path) -> None:
    group = locate("/kubepods/c", systemd=False, root=unified)
    group.join_cpuset()
    assert group.paths == (unified / "kubepods" / "c",)


def test_a_group_that_cannot_be_removed_is_named(v1: Path) -> None:
    path = fake_group(v1 / "memory" / "c")
    with pytest.raises(
        InternalError, match=r"cannot remove cgroup .*memory/c: Directory not empty"
    ):
        Cgroup([path], unified=False).remove()
    shutil.rmtree(path)


def test_a_directory_that_cannot_be_made_is_named_and_the_others_go(v1: Path) -> None:
    (v1 / "freezer" / "pod").write_text("in the way")
    group = locate("/pod/c", systemd=False, root=v1)
    with pytest.raises(InternalError, match=r"cannot make cgroup .*freezer/pod/c: File exists"):
        group.create(Resources())
    assert not (v1 / "memory" / "pod" / "c").exists()


def test_what_is_gone_has_no_processes(tmp_path: Path) -> None:
    group = Cgroup.from_paths([tmp_path / "gone"])
    group.kill()
    group.remove()
    assert (group.pids(), group.oom_kills()) == ([], 0)
