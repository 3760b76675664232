"""Copies between real pipes and terminals: every byte, in order, as slowly as the slower side."""

import asyncio
import os
import pty
import random
import socket
import tty
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from shim.process.pump import Pump
from tests.unit.process.loops import Reader, open_fds

PIPE_CAPACITY, PAGE = 64 << 10, 4096
DATA = random.Random(1).randbytes(1 << 20)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        before = open_fds()
        await asyncio.wait_for(scenario(), 20)
        assert open_fds() == before

    asyncio.run(bounded())


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


async def write_all(fd: int, data: bytes) -> None:
    os.set_blocking(fd, False)
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            await asyncio.sleep(0.001)


async def read_all(fd: int, size: int, chunk: int = 1 << 16, pause_s: float = 0) -> bytes:
    os.set_blocking(fd, False)
    data = b""
    while len(data) < size:
        try:
            got = os.read(fd, chunk)
        except BlockingIOError:
            await asyncio.sleep(0.001)
            continue
        if not got:
            break
        data += got
        await asyncio.sleep(pause_s)
    return data


def test_pump_copies_every_byte_to_the_end() -> None:
    async def scenario() -> None:
        source, writer = os.pipe()
        reader, sink = os.pipe()
        pump = Pump(source, sink)
        copied, _ = await asyncio.gather(read_all(reader, len(DATA)), write_all(writer, DATA))
        assert copied == DATA
        assert not pump.done.done()
        close(writer)
        await pump.done
        close(source, reader, sink)

    run(scenario)


def test_pump_reads_no_more_than_it_can_write() -> None:
    async def scenario() -> None:
        source, writer = os.pipe()
        reader, sink = os.pipe()
        pump = Pump(source, sink)
        writing = asyncio.create_task(write_all(writer, DATA))
        await asyncio.sleep(0.1)
        # Two pipes' capacity, and what the pump itself has taken: far below the whole.
        assert not writing.done()
        copied = await read_all(reader, len(DATA), chunk=40_000, pause_s=0.0005)
        assert copied == DATA
        await writing
        pump.stop()
        close(source, writer, reader, sink)

    run(scenario)


def test_pump_lets_others_run_while_it_copies() -> None:
    async def scenario() -> None:
        source, null = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
        pump = Pump(source, null)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not pump.done.done()
        pump.stop()
        assert pump.done.done()
        close(source, null)

    run(scenario)


def test_pump_takes_a_file(tmp_path: Path) -> None:
    """Which epoll(7) does not take."""
    path, copy = tmp_path / "file", tmp_path / "copy"
    path.write_bytes(DATA)

    async def scenario() -> None:
        source = os.open(path, os.O_RDONLY)
        sink = os.open(copy, os.O_WRONLY | os.O_CREAT)
        await Pump(source, sink).done
        close(source, sink)

    run(scenario)
    assert copy.read_bytes() == DATA


def test_pump_ends_when_nobody_reads_any_more() -> None:
    async def scenario() -> None:
        source, writer = os.pipe()
        reader, sink = os.pipe()
        pump = Pump(source, sink)
        await write_all(writer, b"x")
        assert await read_all(reader, 1) == b"x"
        close(reader)
        await write_all(writer, b"y")
        await pump.done
        close(source, writer, sink)

    run(scenario)


def test_pump_that_is_stopped_takes_nothing_more() -> None:
    async def scenario() -> None:
        source, writer = os.pipe()
        reader, sink = os.pipe()
        pump = Pump(source, sink)
        pump.stop()
        pump.stop()
        await write_all(writer, b"x")
        await asyncio.sleep(0.01)
        assert os.read(source, 10) == b"x"
        pump.end_when_empty()
        close(source, writer, reader, sink)

    run(scenario)


def test_pump_ends_when_the_source_is_empty_though_it_is_open() -> None:
    async def scenario() -> None:
        source, writer = os.pipe()
        reader, sink = os.pipe()
        await write_all(writer, b"the rest")
        pump = Pump(source, sink)
        pump.end_when_empty()
        await pump.done
        assert await read_all(reader, 8) == b"the rest"
        close(source, writer, reader, sink)

    run(scenario)


@pytest.mark.parametrize("reads", range(1, 9))
def test_pump_loses_nothing_at_the_end_when_the_sink_fills_up(reads: int) -> None:
    """With several reads under way at once, what one cannot write is another's to lose."""

    async def scenario() -> None:
        # As from a terminal, each read brings at most a page.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reader, sink = os.pipe()
        os.set_blocking(sink, False)
        filled = os.write(sink, bytes(PIPE_CAPACITY - reads * PAGE))
        data = DATA[: 9 * PAGE]
        for begin in range(0, len(data), PAGE):
            theirs.send(data[begin : begin + PAGE])
        pump = Pump(ours.fileno(), sink)
        pump.end_when_empty()
        await asyncio.sleep(0.02)
        copied = await read_all(reader, filled + len(data))
        assert copied[filled:] == data
        await pump.done
        ours.close()
        theirs.close()
        close(reader, sink)

    run(scenario)


def test_pump_loses_nothing_of_a_terminal_that_is_slowly_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        out = Reader(tmp_path / "out")
        sink = os.open(out.path, os.O_WRONLY)
        pump = Pump(master, sink)
        data = DATA[:400_000]
        writing = asyncio.create_task(write_all(slave, data))
        reading = asyncio.create_task(out.read_until(None, chunk=3000, pause_s=0.0005))
        await writing
        pump.end_when_empty()
        await pump.done
        close(sink)
        assert await reading == data
        out.close()
        close(master, slave)

    run(scenario)


def test_pump_takes_the_hang_up_of_a_terminal_for_its_end() -> None:
    async def scenario() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        reader, sink = os.pipe()
        pump = Pump(master, sink)
        await write_all(slave, b"last words")
        close(slave)
        await pump.done
        assert await read_all(reader, 10) == b"last words"
        close(master, reader, sink)

    run(scenario)
