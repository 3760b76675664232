"""Control groups on this machine: limits, joining, killing, removing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shim.cgroup import Cgroup, locate
from shim.errdefs import FailedPreconditionError, InternalError, InvalidArgumentError, NotFoundError
from shim.oci.spec import Resources
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support.cgroups import HAS_CPUSET, IS_V2, join, value

pytestmark = pytest.mark.root

THREADS = """
import sys, threading
for _ in range(3):
    threading.Thread(target=sys.stdin.read, daemon=True).start()
print(flush=True)
threading.Event().wait()
"""
LIMITS = Resources(
    memory_limit_bytes=64 << 20,
    memory_reservation_bytes=32 << 20,
    cpu_shares=512,
    cpu_quota_us=50_000,
    cpu_period_us=100_000,
    pids_limit=77,
)


@pytest.fixture
def group() -> Iterator[Cgroup]:
    group = new_cgroup("group", LIMITS)
    yield group
    remove_cgroup(group)
    assert not any(path.exists() for path in group.paths)


def test_limits_are_set(group: Cgroup) -> None:
    if IS_V2:
        expected = {
            "memory.max": str(64 << 20),
            "memory.low": str(32 << 20),
            "cpu.weight": "20",
            "cpu.max": "50000 100000",
            "pids.max": "77",
        }
    else:
        expected = {
            "memory.limit_in_bytes": str(64 << 20),
            "memory.soft_limit_in_bytes": str(32 << 20),
            "cpu.shares": "512",
            "cpu.cfs_quota_us": "50000",
            "cpu.cfs_period_us": "100000",
            "pids.max": "77",
        }
    assert {name: value(group, name) for name in expected} == expected


def test_a_process_joins_is_listed_and_killed(group: Cgroup) -> None:
    assert group.pids() == []
    pid = join(group)
    assert group.pids() == [pid]
    with pytest.raises(FailedPreconditionError, match="holds processes already"):
        group.create(Resources())
    again = Cgroup.from_paths(group.paths)
    again.kill()
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    again.remove()
    again.remove()
    assert group.pids() == []
    assert group.oom_kills() == 0


def test_processes_in_groups_below_are_killed_and_the_groups_removed(group: Cgroup) -> None:
    below = Cgroup.from_paths([path / "below" for path in group.paths])
    for path in below.paths:
        path.mkdir()
    pid = join(below)
    assert group.pids() == [pid]
    group.kill()
    os.waitpid(pid, 0)
    group.remove()


def test_a_group_below_one_that_holds_processes_can_be_joined(group: Cgroup) -> None:
    pid = join(group)
    below = locate(f"/tandem-test-{os.getpid()}/group/below", systemd=False)
    below.create(Resources())
    assert join(below) in below.pids()
    assert pid not in below.pids()
    group.kill()
    for _ in range(2):
        os.wait()


def test_a_refused_limit_names_file_and_value_and_leaves_nothing(group: Cgroup) -> None:
    other = locate(f"/tandem-test-{os.getpid()}/refused", systemd=False)
    with pytest.raises(InvalidArgumentError, match=r"the kernel refuses 1.* in .*/refused/cpu"):
        other.create(Resources(cpu_quota_us=1, cpu_period_us=100_000))
    assert not any(path.exists() for path in other.paths)


def test_processors_are_pinned_only_where_the_spec_says() -> None:
    if not HAS_CPUSET:
        with pytest.raises(InvalidArgumentError, match=r"cannot set cpuset.cpus to 0"):
            new_cgroup("pinned", Resources(cpuset_cpus="0"))
        return
    plain = new_cgroup("plain", Resources())
    try:
        assert not any("cpuset" in path.parts for path in plain.paths)
        check_pinned(new_cgroup("pinned", Resources(cpuset_cpus="0")))
    finally:
        remove_cgroup(plain)


def check_pinned(group: Cgroup) -> None:
    """Processes of the group run on the first processor alone; then it is removed."""
    try:
        assert value(group, "cpuset.cpus") == "0"
        pid = join(group)
        assert os.sched_getaffinity(pid) == {0}
        group.kill()
        os.waitpid(pid, 0)
    finally:
        remove_cgroup(group)


def test_a_process_is_moved_with_all_its_threads(group: Cgroup) -> None:
    with subprocess.Popen([sys.executable, "-c", THREADS], stdin=-1, stdout=-1) as process:
        assert process.stdout
        process.stdout.read(1)
        group.adopt(process.pid)
        tasks = sorted(os.listdir(f"/proc/{process.pid}/task"))
        assert len(tasks) == 4
        for path in group.paths:
            file = path / ("cgroup.threads" if IS_V2 else "tasks")
            assert sorted(file.read_text().split()) == tasks
        assert group.pids() == [process.pid]
        process.kill()
    with pytest.raises(NotFoundError, match=rf"process {process.pid} has ended"):
        group.adopt(process.pid)


def test_a_process_cannot_be_moved_where_nothing_is() -> None:
    gone = locate(f"/tandem-test-{os.getpid()}/gone", systemd=False)
    with pytest.raises(
        InternalError, match=r"cannot move process \d+ into cgroup .*/gone: No such"
    ):
        gone.adopt(os.getpid())


def test_without_a_path_a_container_stays_where_the_shim_is() -> None:
    group = locate("", systemd=False)
    group.create(Resources())
    assert (group.paths, group.procs_files(), group.pids()) == ((), (), [])
    with pytest.raises(InvalidArgumentError, match=r"cannot set pids.max to 5"):
        group.create(Resources(pids_limit=5))
    group.remove()
