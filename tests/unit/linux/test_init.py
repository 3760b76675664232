"""A Linux container's init: adopted, and signalled by pid only while it is ours."""

import json
import signal
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from shim.errdefs import InternalError, InvalidArgumentError, NotFoundError
from shim.linux.init import LinuxInit
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from tests.unit.linux.runtimes import ENDS_AT_ONCE, LIVES, FakeCgroup, FakeRuntime
from tests.unit.process.loops import open_fds, with_reaper


async def created(fake: FakeRuntime, reaper: Reaper, *, shares: bool = False) -> LinuxInit:
    init = LinuxInit(fake.runtime(reaper), "c", FakeCgroup().real())
    init.shares_pid_namespace = shares
    streams = Stdio.open("", "", "")
    try:
        await init.create(fake.bundle / "init.pid", streams, None)
    finally:
        streams.close()
    return init


async def ended(init: LinuxInit) -> None:
    await init.kill(signal.SIGKILL, everything=False)
    await init.exited


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
    assert fake.verbs == ["create", "start"]


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


def test_release_has_the_runtime_forget(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, ENDS_AT_ONCE)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        await init.exited
        (fake.root / "c").mkdir()
        await init.release()

    with_reaper(scenario)
    assert fake.calls[-1].endswith("delete --force c")


def test_pause_and_resume_are_the_runtimes(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, f'{LIVES}\n[ "$verb" != pause ] || exit 1')

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        await init.resume()
        with pytest.raises(InternalError, match="pause failed"):
            await init.pause()
        await ended(init)

    with_reaper(scenario)
    assert [call.split()[6:] for call in fake.calls[1:]] == [["resume", "c"], ["pause", "c"]]


@pytest.mark.parametrize("fails", [False, True])
def test_update_hands_the_limits_on_as_they_came(tmp_path: Path, fails: bool) -> None:
    copies = f'cp "$resources" {tmp_path}/got; exit {int(fails)}'
    fake = FakeRuntime(tmp_path, f'{LIVES}\n[ "$verb" != update ] || {{ {copies}; }}')
    limits = json.dumps({"memory": {"limit": 1 << 30}, "unknown": [1]}).encode()

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        if fails:
            with pytest.raises(InternalError, match="update failed"):
                await init.update(limits)
        else:
            await init.update(limits)
        await ended(init)

    with_reaper(scenario)
    assert (tmp_path / "got").read_bytes() == limits
    assert [path.name for path in fake.bundle.iterdir()] == ["init.pid"]


@pytest.mark.parametrize("document", [b"", b"[]", b'{"pids": {"limit": "many"}}'])
def test_update_by_what_are_no_limits_asks_nobody(tmp_path: Path, document: bytes) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        with pytest.raises(InvalidArgumentError, match="resources"):
            await init.update(document)
        await ended(init)

    with_reaper(scenario)
    assert fake.verbs == ["create"]


def test_checkpoint_is_the_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRuntime(tmp_path, LIVES)
    criu = tmp_path / "criu"
    criu.write_text("#!/bin/sh\n")
    criu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    async def scenario(reaper: Reaper) -> None:
        init = await created(fake, reaper)
        await init.checkpoint("/img", Any())
        await ended(init)

    with_reaper(scenario)
    assert fake.calls[-1].endswith("checkpoint --image-path /img --leave-running c")


def test_init_gives_its_streams_away_whole(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        before = open_fds()
        init = LinuxInit(fake.runtime(reaper), "c", FakeCgroup().real())
        streams = Stdio.open("", "", "")
        await init.create(fake.bundle / "init.pid", streams, None)
        assert list(streams.child_fds) == []
        assert open_fds() == before
        await ended(init)

    with_reaper(scenario)
