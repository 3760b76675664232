"""Terminals with real processes on them, and FIFOs behind them."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shim.process.reaper import Exit, Reaper
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal
from tests.unit.process.loops import Reader, Writer, with_reaper

ENV = {"PATH": os.environ["PATH"]}
DATA = random.Random(2).randbytes(8 << 20)
# As an instance does it: a session of its own, whose terminal is its stdin.
LEADER = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Seat:
    """A terminal, the FIFOs behind it, and the processes on it."""

    def __init__(self, directory: Path, reaper: Reaper, *, stdin: bool = True) -> None:
        self.out = Reader(directory / "out")
        self.stdin = Writer(directory / "in") if stdin else None
        path = str(self.stdin.path) if self.stdin else ""
        self.terminal = Terminal(Stdio.open(path, str(self.out.path), ""), has_stdin=stdin)
        self._reaper = reaper

    def spawn(self, *argv: str) -> tuple[int, asyncio.Future[Exit]]:
        """A process that has the terminal as its own."""
        command = (sys.executable, "-c", LEADER, *argv)
        pid, exited = self._reaper.spawn(command, ENV, self.terminal.child_fds)
        self.terminal.close_child_fds()
        return pid, exited

    def type(self, data: bytes) -> None:
        assert self.stdin is not None
        self.stdin.write(data)

    def close(self) -> None:
        self.terminal.close()
        self.out.close()
        if self.stdin:
            self.stdin.close()


@contextlib.asynccontextmanager
async def seat(directory: Path, reaper: Reaper, *, stdin: bool = True) -> AsyncIterator[Seat]:
    made = Seat(directory, reaper, stdin=stdin)
    try:
        made.terminal.open_pty()
        yield made
    finally:
        made.close()


def test_terminal_is_one_and_controls_its_process(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper) as it:
            script = "test -t 0 && test -t 1 && test -t 2 && echo yes >/dev/tty; exec cat"
            pid, exited = it.spawn("sh", "-c", script)
            await it.out.read_until(b"yes\r\n")
            session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3]
            assert int(session) == pid
            # A shell that is about to become something else may miss the signal.
            it.type(b"here\n")
            await it.out.read_until(b"here\r\nhere\r\n")
            it.type(b"\x03")
            assert (await exited).status == 128 + signal.SIGINT
            await it.terminal.drained()
            await it.terminal.finish()

    with_reaper(scenario)


def test_terminal_echoes_and_hands_on_what_is_typed(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper) as it:
            _, exited = it.spawn("sh", "-c", "read line; echo got $line >&2")
            it.type(b"hello\n")
            await exited
            await it.terminal.drained()
            await it.terminal.finish()
            assert await it.out.read_until(None) == b"hello\r\ngot hello\r\n"

    with_reaper(scenario)


@pytest.mark.parametrize("early", [True, False])
def test_terminal_has_the_size_that_was_asked_for_whenever_it_was(
    tmp_path: Path, early: bool
) -> None:
    async def scenario(reaper: Reaper) -> None:
        made = Seat(tmp_path, reaper)
        if early:
            made.terminal.resize(132, 43)
        made.terminal.open_pty()
        if not early:
            made.terminal.resize(132, 43)
        _, exited = made.spawn("stty", "size")
        await exited
        await made.out.read_until(b"43 132\r\n")
        # Larger than a terminal can be, and after its end: nothing that could go wrong.
        made.terminal.resize(1 << 20, 1)
        await made.terminal.finish()
        made.terminal.resize(1, 1)
        made.close()

    with_reaper(scenario)


def test_terminal_tells_its_process_of_a_new_size(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper) as it:
            script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done"
            _, exited = it.spawn("sh", "-c", script)
            await it.out.read_until(b"ready\r\n")
            it.terminal.resize(100, 30)
            await exited
            await it.out.read_until(b"30 100\r\n")

    with_reaper(scenario)


def test_terminal_carries_8_mib_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA)

    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper, stdin=False) as it:
            _, exited = it.spawn("sh", "-c", f"stty raw; cat {path}")
            reading = asyncio.create_task(it.out.read_until(None))
            await exited
            await it.terminal.drained()
            await it.terminal.finish()
            assert await reading == DATA

    with_reaper(scenario, 60)


def test_terminal_takes_in_binary_data_byte_for_byte(tmp_path: Path) -> None:
    data = DATA[:60_000]

    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper) as it:
            script = f"stty raw -echo; echo ready; head -c {len(data)} > {tmp_path}/copy"
            _, exited = it.spawn("sh", "-c", script)
            await it.out.read_until(b"ready\n")
            it.type(data)
            await exited

    with_reaper(scenario, 30)
    assert (tmp_path / "copy").read_bytes() == data


def test_terminal_waits_for_a_slow_reader(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA[:300_000])

    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper, stdin=False) as it:
            _, exited = it.spawn("sh", "-c", f"stty raw; cat {path}")
            reading = asyncio.create_task(it.out.read_until(None, chunk=5000, pause_s=0.002))
            await exited
            await it.terminal.drained()
            await it.terminal.finish()
            assert await reading == DATA[:300_000]

    with_reaper(scenario, 30)


def test_terminal_without_a_reader_keeps_the_last_words(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        made = Seat(tmp_path, reaper, stdin=False)
        made.out.close()
        made.terminal.open_pty()
        _, exited = made.spawn("echo", "last words")
        await exited
        await asyncio.wait_for(made.terminal.drained(), 3)
        finishing = asyncio.create_task(made.terminal.finish())
        await asyncio.sleep(0.1)
        assert not finishing.done()
        late = os.open(made.out.path, os.O_RDONLY | os.O_NONBLOCK)
        await finishing
        assert os.read(late, 100) == b"last words\r\n"
        assert os.read(late, 100) == b""
        os.close(late)
        made.close()

    with_reaper(scenario)


def test_terminal_s_reader_that_vanishes_blocks_nobody_for_ever(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        made = Seat(tmp_path, reaper, stdin=False)
        made.terminal.open_pty()
        pid, exited = made.spawn("yes")
        await made.out.read_until(b"y")
        made.out.close()
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        await exited
        await asyncio.wait_for(made.terminal.drained(), 5)
        finishing = asyncio.create_task(made.terminal.finish())
        await asyncio.sleep(0.05)
        made.close()
        await asyncio.wait_for(finishing, 1)

    with_reaper(scenario)


def test_terminal_is_not_kept_open_by_what_runs_in_the_background(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper, stdin=False) as it:
            script = f"trap '' HUP; sleep 100 & echo $! > {tmp_path}/pid; echo end"
            _, exited = it.spawn("sh", "-c", script)
            await exited
            background = int((tmp_path / "pid").read_text())
            assert os.readlink(f"/proc/{background}/fd/1").startswith("/dev/pts/")
            await it.terminal.drained()
            await asyncio.wait_for(it.terminal.finish(), 2)
            assert await it.out.read_until(None) == b"end\r\n"
            os.kill(background, signal.SIGKILL)

    with_reaper(scenario)


def test_terminal_outlives_its_stdin(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        async with seat(tmp_path, reaper) as it:
            _, exited = it.spawn("sh", "-c", "read a; sleep 0.1; echo still here")
            it.type(b"x\n")
            it.terminal.close_stdin()
            assert it.stdin is not None
            it.stdin.close()
            await exited
            await it.terminal.drained()
            await it.terminal.finish()
            assert (await it.out.read_until(None)).endswith(b"still here\r\n")

    with_reaper(scenario)


def test_terminal_that_was_never_made_is_let_go(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        made = Seat(tmp_path, reaper)
        assert list(made.terminal.child_fds) == []
        await made.terminal.drained()
        await made.terminal.finish()
        made.close()
        made.close()

    with_reaper(scenario)
