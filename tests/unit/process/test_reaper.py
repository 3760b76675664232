"""Real children, ended in every way that a process can end."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from shim.process.reaper import Exit, Reaper
from tests.unit.process.loops import inherited_fds, with_reaper

NULL = {"PATH": os.environ["PATH"]}


def launch(*argv: str) -> int:
    return os.posix_spawnp(argv[0], argv, NULL)


async def ended_unclaimed(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110 (another process ends it)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 3"), 3),
        (("sh", "-c", "exit 255"), 255),
        (("sh", "-c", "kill -9 $$"), 137),
        (("sh", "-c", "kill -15 $$"), 143),
    ],
)
def test_watch_tells_how_a_child_ended(argv: tuple[str, ...], status: int) -> None:
    async def scenario(reaper: Reaper) -> None:
        before = time.time_ns()
        pid = launch(*argv)
        future = reaper.watch(pid)
        assert reaper.is_unreaped(pid)
        ended = await future
        assert ended.status == status
        assert before <= ended.exited_at_ns <= time.time_ns()
        assert not reaper.is_unreaped(pid)

    with_reaper(scenario)


def test_watch_of_many_that_end_at_once() -> None:
    async def scenario(reaper: Reaper) -> None:
        futures = [reaper.watch(launch("sh", "-c", f"exit {n}")) for n in range(20)]
        assert [ended.status for ended in await asyncio.gather(*futures)] == list(range(20))

    with_reaper(scenario)


def test_watch_that_was_given_up_disturbs_nobody() -> None:
    async def scenario(reaper: Reaper) -> None:
        given_up = reaper.watch(launch("true"))
        given_up.cancel()
        assert (await reaper.watch(launch("sh", "-c", "exit 2"))).status == 2

    with_reaper(scenario)


def test_adopt_before_the_end() -> None:
    async def scenario(reaper: Reaper) -> None:
        since = time.monotonic()
        pid = launch("sleep", "100")
        future = reaper.adopt(pid, since)
        assert reaper.is_unreaped(pid)
        os.kill(pid, signal.SIGKILL)
        assert (await future).status == 137

    with_reaper(scenario)


def test_adopt_after_the_end() -> None:
    async def scenario(reaper: Reaper) -> None:
        since = time.monotonic()
        pid = launch("sh", "-c", "exit 4")
        await ended_unclaimed(pid)
        future = reaper.adopt(pid, since)
        assert future.done()
        assert (await future).status == 4
        assert not reaper.is_unreaped(pid)

    with_reaper(scenario)


def test_adopt_does_not_take_the_end_of_an_earlier_process_with_this_pid() -> None:
    async def scenario(reaper: Reaper) -> None:
        pid = launch("true")
        await ended_unclaimed(pid)
        future = reaper.adopt(pid, time.monotonic())
        assert not future.done()
        assert reaper.is_unreaped(pid)

    with_reaper(scenario)


def test_unclaimed_ends_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.process.reaper._MAX_UNCLAIMED", 3)

    async def scenario(reaper: Reaper) -> None:
        since = time.monotonic()
        pids = [launch("true") for _ in range(5)]
        for pid in pids:
            await ended_unclaimed(pid)
        await asyncio.sleep(0)
        assert sum(reaper.adopt(pid, since).done() for pid in pids) == 3

    with_reaper(scenario)


def test_spawn_gives_stdio_environment_and_default_signals(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        out, err = (os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in ("out", "err"))
        null = os.open(os.devnull, os.O_RDONLY)
        script = 'echo "$A"; echo oops >&2; cat; kill -TERM $$'
        pid, future = reaper.spawn(["sh", "-c", script], {**NULL, "A": "value"}, (null, out, err))
        assert (await future).status == 143
        assert pid > 0
        for fd in (out, err, null):
            os.close(fd)

    old = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with_reaper(scenario)
    finally:
        signal.signal(signal.SIGTERM, old)
    assert (tmp_path / "out").read_text() == "value\n"
    assert (tmp_path / "err").read_text() == "oops\n"


def test_spawn_may_swap_stdio(tmp_path: Path) -> None:
    """A source descriptor that is itself below 3 must not be overwritten before it is used."""

    async def scenario(reaper: Reaper) -> None:
        out = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR)
        saved = [os.dup(fd) for fd in (0, 1)]
        os.dup2(out, 0)
        try:
            _, future = reaper.spawn(["sh", "-c", "echo one; echo two >&2"], NULL, (1, 0, 0))
        finally:
            for fd, copy in enumerate(saved):
                os.dup2(copy, fd)
                os.close(copy)
            os.close(out)
        assert (await future).status == 0

    with_reaper(scenario)
    assert (tmp_path / "out").read_text() == "one\ntwo\n"


def test_spawn_of_what_is_missing_is_an_os_error_and_leaks_nothing() -> None:
    async def scenario(reaper: Reaper) -> None:
        before = os.listdir("/proc/self/fd")
        with pytest.raises(FileNotFoundError):
            reaper.spawn(["/no/such/program"], NULL, (0, 1, 2))
        assert os.listdir("/proc/self/fd") == before

    with_reaper(scenario)


def test_exit_is_plain_data() -> None:
    assert Exit(1, 2) == Exit(1, 2)


def test_spawn_gives_as_many_descriptors_as_it_is_given_and_no_more() -> None:
    async def scenario(reaper: Reaper) -> None:
        pipes = [os.pipe() for _ in range(6)]
        # The last first: sources among the targets' own numbers must not overwrite each other.
        fds = [writer for _, writer in reversed(pipes)]
        script = "for fd in 0 1 2 3 4 5; do echo $fd >&$fd; done; exec ls /proc/self/fd"
        _, exited = reaper.spawn(("sh", "-c", script), NULL, fds)
        for fd in fds:
            os.close(fd)
        assert (await exited).status == 0
        said = [os.read(reader, 100).decode().split() for reader, _ in reversed(pipes)]
        # `ls` has those six, and the directory that it reads.
        assert set(said.pop(1)) - inherited_fds() == {"0", "1", "2", "3", "4", "5", "6"}
        assert said == [["0"], ["2"], ["3"], ["4"], ["5"]]
        for reader, _ in pipes:
            os.close(reader)

    with_reaper(scenario)


def test_spawn_takes_one_descriptor_several_times() -> None:
    async def scenario(reaper: Reaper) -> None:
        reader, writer = os.pipe()
        script = "echo a; echo b >&2; echo c >&5"
        _, exited = reaper.spawn(("sh", "-c", script), NULL, (writer,) * 6)
        os.close(writer)
        assert (await exited).status == 0
        assert os.read(reader, 100) == b"a\nb\nc\n"
        os.close(reader)

    with_reaper(scenario)
