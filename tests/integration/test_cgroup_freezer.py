"""Processes stand still, whatever they do, and run on."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.cgroup import Cgroup, locate
from shim.cgroup.freezer import freeze, is_frozen, thaw
from shim.daemon.delete import delete
from shim.daemon.params import Action, Params
from shim.errdefs import FailedPreconditionError, NotFoundError
from shim.oci.spec import Resources
from shim.record import Record, write_record
from shim.rundir import RunDir
from tests.security.jailed import new_cgroup, remove_cgroup
from tests.support.cgroups import cpu_seconds, join, run_in, spin
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def group() -> Iterator[Cgroup]:
    group = new_cgroup("frozen", Resources())
    yield group
    remove_cgroup(group)


def is_spinning(pid: int) -> bool:
    before = cpu_seconds(pid)
    time.sleep(0.2)
    return cpu_seconds(pid) > before


def killed(pid: int) -> int:
    ended = wait_for("end of the child", lambda: (os.waitpid(pid, os.WNOHANG)[1]) or None)
    return os.WTERMSIG(ended)


def fork_without_end() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if os.fork() == 0:
            os._exit(0)


def test_frozen_processes_use_no_processor_and_run_on_when_thawed(group: Cgroup) -> None:
    pid = run_in(group, spin)
    wait_for("spinning", lambda: is_spinning(pid))
    assert not is_frozen(group)
    for _ in range(2):
        asyncio.run(freeze(group))
        assert is_frozen(group)
    assert not is_spinning(pid)
    for _ in range(2):
        asyncio.run(thaw(group))
        assert not is_frozen(group)
    wait_for("spinning", lambda: is_spinning(pid))
    group.kill()
    assert killed(pid) == signal.SIGKILL


def test_groups_below_are_frozen_with_it(group: Cgroup) -> None:
    below = Cgroup.from_paths([path / "below" for path in group.paths])
    for path in below.paths:
        path.mkdir()
    pid = run_in(below, spin)
    asyncio.run(freeze(group))
    assert is_frozen(below)
    assert not is_spinning(pid)
    asyncio.run(thaw(group))
    wait_for("spinning", lambda: is_spinning(pid))
    group.kill()
    assert killed(pid) == signal.SIGKILL


def test_processes_that_fork_without_end_are_frozen(group: Cgroup) -> None:
    pid = run_in(group, fork_without_end)
    for _ in range(20):
        asyncio.run(freeze(group))
        before = group.pids()
        assert pid in before
        time.sleep(0.01)
        assert group.pids() == before
        asyncio.run(thaw(group))
    group.kill()
    assert killed(pid) == signal.SIGKILL


def test_an_empty_group_is_frozen_and_who_joins_later_too(group: Cgroup) -> None:
    asyncio.run(freeze(group))
    assert is_frozen(group)
    pid = os.fork()
    if pid == 0:
        spin()
    group.adopt(pid)
    wait_for("freeze", lambda: is_frozen(group))
    assert not is_spinning(pid)
    group.kill()
    assert killed(pid) == signal.SIGKILL


@pytest.mark.parametrize("is_below", [False, True])
def test_frozen_processes_can_be_killed(group: Cgroup, is_below: bool) -> None:
    below = Cgroup.from_paths([path / "below" for path in group.paths])
    for path in below.paths:
        path.mkdir()
    pids = [join(group), join(below)]
    asyncio.run(freeze(below if is_below else group))
    group.kill()
    assert [killed(pid) for pid in pids] == [signal.SIGKILL] * 2


def test_delete_after_the_shim_s_death_ends_a_frozen_container(
    group: Cgroup, tmp_path: Path
) -> None:
    pid = join(group)
    asyncio.run(freeze(group))
    bundle = tmp_path / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    paths = tuple(str(path) for path in group.paths)
    write_record(bundle, Record(str(bundle / "rootfs"), cgroup_paths=paths))
    delete(Params(Action.DELETE, "n", "c"), str(bundle), RunDir(tmp_path / "d.sock"))
    assert killed(pid) == signal.SIGKILL
    assert not any(path.exists() for path in group.paths)


def test_what_is_not_there_cannot_be_frozen() -> None:
    gone = locate(f"/tandem-test-{os.getpid()}/gone", systemd=False)
    nothing = locate("", systemd=False)
    assert not is_frozen(gone)
    assert not is_frozen(nothing)
    for verb in (freeze, thaw):
        with pytest.raises(NotFoundError, match="/gone is gone"):
            asyncio.run(verb(gone))
        with pytest.raises(FailedPreconditionError, match="no cgroup of its own"):
            asyncio.run(verb(nothing))
