"""A container that is made of a checkpoint: nothing of it exists before its start."""

from pathlib import Path

import pytest

from shim.errdefs import InternalError, NotFoundError, UnimplementedError
from shim.linux.restore import RestoredInit
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal
from tests.unit.linux.runtimes import ENDS_AT_ONCE, LIVES, SLEEPER, FakeCgroup, FakeRuntime
from tests.unit.process.loops import Reader, with_reaper


@pytest.fixture
def _criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "sbin"
    directory.mkdir()
    (directory / "criu").write_text("#!/bin/sh\n")
    (directory / "criu").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def restored(fake: FakeRuntime, reaper: Reaper) -> RestoredInit:
    return RestoredInit(fake.runtime(reaper), "c", FakeCgroup().real(), "/img")


async def created(fake: FakeRuntime, reaper: Reaper, streams: Stdio) -> RestoredInit:
    init = restored(fake, reaper)
    await init.create(fake.bundle / "init.pid", streams, None)
    return init


@pytest.mark.usefixtures("_criu")
def test_restored_container_is_made_by_its_start(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        init = await created(fake, reaper, streams)
        follows = init.exited
        assert (init.pid, fake.calls) == (0, [])
        await init.start()
        assert init.pid > 0
        await init.kill(15, everything=False)
        # Who follows it was given this before there was a process.
        assert (await follows).status == 143
        with pytest.raises(NotFoundError, match="container c has ended"):
            await init.kill(9, everything=False)
        streams.close()

    with_reaper(scenario)
    (call,) = fake.calls
    assert "restore --detach --image-path /img --no-subreaper" in call


@pytest.mark.usefixtures("_criu")
def test_restored_container_that_ends_at_once_is_not_lost(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        init = await created(FakeRuntime(tmp_path, ENDS_AT_ONCE), reaper, streams)
        await init.start()
        assert (await init.exited).status == 3
        streams.close()

    with_reaper(scenario)


@pytest.mark.usefixtures("_criu")
def test_restored_container_is_ended_before_its_start_by_any_signal(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        init = await created(fake, reaper, streams)
        await init.kill(15, everything=True)
        assert (await init.exited).status == 143
        with pytest.raises(NotFoundError, match="container c has ended"):
            await init.kill(9, everything=False)
        streams.close()

    with_reaper(scenario)
    assert fake.calls == []


@pytest.mark.usefixtures("_criu")
@pytest.mark.parametrize(
    ("body", "text"), [("exit 1", "restore failed"), ("exit 0", "its pid file is unusable")]
)
def test_restore_that_fails_says_why(tmp_path: Path, body: str, text: str) -> None:
    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        init = await created(FakeRuntime(tmp_path, body), reaper, streams)
        with pytest.raises(InternalError, match=text):
            await init.start()
        await init.kill(9, everything=False)
        assert (await init.exited).status == 137
        streams.close()

    with_reaper(scenario)


@pytest.mark.usefixtures("_criu")
def test_restored_container_has_the_terminal_that_the_runtime_sends(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, f'$send_terminal "$console" hello 1\n{SLEEPER}')

    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        terminal = Terminal(Stdio.open("", str(out.path), ""), has_stdin=False)
        init = restored(fake, reaper)
        await init.create(fake.bundle / "init.pid", terminal, terminal)
        await init.start()
        await out.read_until(b"hello")
        await init.kill(9, everything=False)
        await init.exited
        terminal.close()
        out.close()

    with_reaper(scenario)


def test_restore_without_criu_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(UnimplementedError, match="criu"):
            restored(FakeRuntime(tmp_path), reaper)

    with_reaper(scenario)
