"""A process executed in a Linux container: adopted, and signalled by pid only while it is ours."""

from pathlib import Path

import pytest

from shim.errdefs import InternalError, NotFoundError
from shim.linux.exec import LinuxExec
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal
from tests.unit.linux.runtimes import ENDS_AT_ONCE, LIVES, SLEEPER, FakeRuntime
from tests.unit.process.loops import Reader, with_reaper


def executed(fake: FakeRuntime, reaper: Reaper, streams: Stdio) -> LinuxExec:
    return LinuxExec(fake.runtime(reaper), "c", b'{"args": ["x"]}', streams, None)


async def started(fake: FakeRuntime, reaper: Reaper) -> LinuxExec:
    streams = Stdio.open("", "", "")
    try:
        process = executed(fake, reaper, streams)
        await process.start()
    finally:
        streams.close()
    return process


def test_exec_exists_from_its_start_on(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, f'cp "$process" {tmp_path}/got\n{LIVES}')

    async def scenario(reaper: Reaper) -> None:
        streams = Stdio.open("", "", "")
        process = executed(fake, reaper, streams)
        assert process.pid == 0
        assert fake.calls == []
        await process.start()
        assert process.pid > 0
        assert not process.exited.done()
        await process.kill(9, everything=True)
        assert (await process.exited).status == 137
        with pytest.raises(NotFoundError, match=f"process {process.pid} of container c has ended"):
            await process.kill(9, everything=False)
        await process.release()
        streams.close()

    with_reaper(scenario)
    assert (tmp_path / "got").read_bytes() == b'{"args": ["x"]}'
    assert fake.verbs == ["exec"]
    assert list(fake.bundle.iterdir()) == []


def test_exec_that_ends_before_it_is_adopted_is_not_lost(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, ENDS_AT_ONCE)

    async def scenario(reaper: Reaper) -> None:
        process = await started(fake, reaper)
        assert (await process.exited).status == 3

    with_reaper(scenario)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("exit 0", "container c: no pid of what it executes"),
        ('echo x > "$pid_file"', "container c: no pid of what it executes"),
        ("exit 1", "exec failed: exit status 1"),
    ],
)
def test_exec_that_fails_leaves_nothing(tmp_path: Path, body: str, text: str) -> None:
    fake = FakeRuntime(tmp_path, body)

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InternalError, match=text):
            await started(fake, reaper)

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []


def test_execs_at_once_keep_their_files_apart(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, LIVES)

    async def scenario(reaper: Reaper) -> None:
        both = [await started(fake, reaper) for _ in range(2)]
        for process in both:
            await process.kill(15, everything=False)
            assert (await process.exited).status == 143

    with_reaper(scenario)
    first, second = (call.split(" --process ")[1].split()[0] for call in fake.calls)
    assert first != second


def test_exec_has_the_terminal_that_the_runtime_sends(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, f'$send_terminal "$console" hello 1\n{SLEEPER}')

    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        terminal = Terminal(Stdio.open("", str(out.path), ""), has_stdin=False)
        process = LinuxExec(fake.runtime(reaper), "c", b"{}", terminal, terminal)
        await process.start()
        await out.read_until(b"hello")
        await process.kill(9, everything=False)
        await process.exited
        terminal.close()
        out.close()

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []
