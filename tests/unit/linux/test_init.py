"""A Linux container's init: adopted, and signalled by pid only while it is ours."""

from pathlib import Path
from typing import cast

import pytest

from shim.cgroup import Cgroup
from shim.errdefs import InternalError, NotFoundError
from shim.linux.init import LinuxInit
from shim.process.reaper import Reaper
from tests.unit.linux.runtimes import FakeRuntime
from tests.unit.process.loops import with_reaper

# The test process is their subreaper, as the pod shim is.
LIVES = '[ "$verb" = create ] || exit 0; sleep 100 >&- 2>&- & echo -n $! > "$pid_file"'
# Not before its parent is gone, which would reap it.
ENDS_AT_ONCE = """[ "$verb" = create ] || exit 0
sh -c "while kill -0 $$; do :; done; exit 3" 2>&- &
echo -n $! > "$pid_file"
"""


class FakeCgroup:
    def __init__(self) -> None:
        self.removed = 0

    def pids(self) -> list[int]:
        return [1, 2]

    def remove(self) -> None:
        self.removed += 1
        raise OSError(16, "busy")


async def created(fake: FakeRuntime, reaper: Reaper, *, shares: bool = False) -> LinuxInit:
    init = LinuxInit(
        fake.runtime(reaper), "c", cast("Cgroup", FakeCgroup()), shares_pid_namespace=shares
    )
    await init.create(fake.bundle / "init.pid", ())
    return init


def test_init_is_adopted_and_killed(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        assert init.pid > 0
        await init.start()
        await init.kill(9, everything=False)
        assert (await init.exited).status == 137
        with pytest.raises(NotFoundError, match="container c has ended"):
            await init.kill(9, everything=False)

    with_reaper(scenario)
    assert [call.split()[6] for call in fake.calls] == ["create", "start"]


def test_init_that_ends_before_it_is_adopted_is_not_lost(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, ENDS_AT_ONCE)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        assert (await init.exited).status == 3

    with_reaper(scenario)


@pytest.mark.parametrize("body", ["exit 0", 'echo x > "$pid_file"', ': > "$pid_file"'])
def test_init_without_a_pid_is_an_error(tmp_path: Path, body: str) -> None:
    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InternalError, match="pid file is unusable"):
            await created(FakeRuntime(tmp_path, body), reaper)

    with_reaper(scenario)


@pytest.mark.parametrize("shares", [False, True])
def test_init_that_shares_its_pid_namespace_takes_the_rest_along(
    tmp_path: Path, shares: bool
) -> None:
    """Whether or not the runtime succeeds: the exit is told either way."""
    fake = FakeRuntime(tmp_path, f'[ "$verb" = kill ] && exit 1\n{ENDS_AT_ONCE}')

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper, shares=shares)
        await init.exited
        await init.after_exit()

    with_reaper(scenario)
    assert any("kill --all c 9" in call for call in fake.calls) == shares


def test_kill_of_everything_is_the_runtimes(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, ENDS_AT_ONCE)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        await init.exited
        await init.kill(15, everything=True)
        assert init.pids() == [1, 2]

    with_reaper(scenario)
    assert fake.calls[-1].endswith("kill --all c 15")


def test_release_has_the_runtime_forget_and_passes_over_a_cgroup_that_is_busy(
    tmp_path: Path,
) -> None:
    fake = FakeRuntime(tmp_path, ENDS_AT_ONCE)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        await init.exited
        (fake.root / "c").mkdir()
        await init.release()

    with_reaper(scenario)
    assert fake.calls[-1].endswith("delete --force c")
