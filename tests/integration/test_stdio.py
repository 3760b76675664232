"""A container's streams over real FIFOs and files: nothing is lost, blocked or leaked."""

import asyncio
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.process.stdio import Stdio

CAPACITY = 64 << 10
"""Of a pipe (pipe(7))."""


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def open_reader(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def read_to_end(fd: int) -> bytes:
    """Read without waiting: BlockingIOError where a writer still holds the FIFO open."""
    chunks = []
    while chunk := os.read(fd, 1 << 16):
        chunks.append(chunk)
    os.close(fd)
    return b"".join(chunks)


def run_process(stdio: Stdio, script: str) -> None:
    """Be the container: a process with these streams, to its end."""
    stdin, stdout, stderr = stdio.child_fds
    subprocess.run(
        ["sh", "-c", script], stdin=stdin, stdout=stdout, stderr=stderr, check=True, timeout=10
    )
    stdio.close_child_fds()


async def finished(stdio: Stdio, within_s: float = 0.3) -> bool:
    try:
        await asyncio.wait_for(stdio.finish(), within_s)
    except TimeoutError:
        return False
    return True


def test_stdio_without_paths_is_dev_null() -> None:
    stdio = Stdio.open("", "", "")
    try:
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in stdio.child_fds] == ["/dev/null"] * 3
        assert asyncio.run(finished(stdio))
    finally:
        stdio.close()


def test_output_reaches_a_reader_that_is_there(fifo: Path) -> None:
    reader = open_reader(fifo)
    stdio = Stdio.open("", str(fifo), "")
    run_process(stdio, "echo hello")
    assert asyncio.run(finished(stdio))
    assert read_to_end(reader) == b"hello\n"


def test_output_without_a_reader_waits_for_one(fifo: Path) -> None:
    async def scenario() -> None:
        stdio = Stdio.open("", str(fifo), "")
        run_process(stdio, f"head -c {CAPACITY} /dev/zero")
        finishing = asyncio.create_task(stdio.finish())
        await asyncio.sleep(0.2)
        assert not finishing.done()
        reader = open_reader(fifo)
        await asyncio.wait_for(finishing, 2)
        assert read_to_end(reader) == b"\0" * CAPACITY

    asyncio.run(scenario())


def test_output_of_a_reader_that_went_away_waits_for_the_next(fifo: Path) -> None:
    """containerd restarts between the process's output and its end."""

    async def scenario() -> None:
        first = open_reader(fifo)
        stdio = Stdio.open("", str(fifo), "")
        os.close(first)
        run_process(stdio, "echo one; echo two")
        finishing = asyncio.create_task(stdio.finish())
        await asyncio.sleep(0.1)
        second = open_reader(fifo)
        await asyncio.wait_for(finishing, 2)
        assert read_to_end(second) == b"one\ntwo\n"

    asyncio.run(scenario())


def test_output_that_nobody_ever_reads_ends_with_close(fifo: Path) -> None:
    async def scenario() -> None:
        stdio = Stdio.open("", str(fifo), "")
        run_process(stdio, "echo lost")
        finishing = asyncio.create_task(stdio.finish())
        await asyncio.sleep(0.1)
        assert not finishing.done()
        stdio.close()
        await asyncio.wait_for(finishing, 2)

    asyncio.run(scenario())


def test_output_of_a_silent_process_needs_no_reader(fifo: Path) -> None:
    stdio = Stdio.open("", str(fifo), "")
    run_process(stdio, "true")
    assert asyncio.run(finished(stdio))


def test_writer_meets_no_broken_pipe_while_nobody_reads(fifo: Path) -> None:
    stdio = Stdio.open("", str(fifo), "")
    run_process(stdio, "trap '' PIPE; echo still here || exit 9")
    stdio.close()


@pytest.mark.parametrize("reads", [True, False], ids=["reader", "late reader"])
def test_two_outputs_on_one_fifo(fifo: Path, reads: bool) -> None:
    async def scenario() -> None:
        readers = [open_reader(fifo)] if reads else []
        stdio = Stdio.open("", str(fifo), str(fifo))
        run_process(stdio, "echo out; echo err >&2")
        finishing = asyncio.create_task(stdio.finish())
        await asyncio.sleep(0.15)
        assert finishing.done() == reads
        readers = readers or [open_reader(fifo)]
        await asyncio.wait_for(finishing, 2)
        assert read_to_end(readers[0]) == b"out\nerr\n"

    asyncio.run(scenario())


def test_stdin_reaches_the_process_and_ends_when_it_is_closed(tmp_path: Path, fifo: Path) -> None:
    stdio = Stdio.open(str(fifo), f"file://{tmp_path}/out", "")
    client = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(client, b"hello")
    os.close(client)
    # A client that goes away is no end of file; one that comes back goes on.
    client = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(client, b" again")
    os.close(client)
    stdio.close_stdin()
    run_process(stdio, "cat")
    stdio.close()
    assert (tmp_path / "out").read_bytes() == b"hello again"


def test_stdin_without_a_client_does_not_end(fifo: Path) -> None:
    stdio = Stdio.open(str(fifo), "", "")
    try:
        poll = select.poll()
        poll.register(stdio.child_fds[0], select.POLLIN)
        assert poll.poll(50) == []
        stdio.close_stdin()
        assert poll.poll(50) != []
        stdio.close_stdin()
    finally:
        stdio.close()


def test_stdin_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("content")
    stdio = Stdio.open(str(tmp_path / "in"), f"file://{tmp_path}/out", "")
    run_process(stdio, "cat")
    stdio.close()
    assert (tmp_path / "out").read_text() == "content"


def test_output_to_a_file_appends(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before\n")
    stdio = Stdio.open("", str(path), f"file://{path}")
    run_process(stdio, "echo out; echo err >&2")
    assert asyncio.run(finished(stdio))
    assert path.read_text() == "before\nout\nerr\n"


def test_output_to_a_file_uri_makes_file_and_directories(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "log"
    stdio = Stdio.open("", f"file://{path}", "")
    run_process(stdio, "echo out")
    stdio.close()
    assert path.read_text() == "out\n"


def test_output_to_a_fifo_uri(fifo: Path) -> None:
    reader = open_reader(fifo)
    stdio = Stdio.open("", f"fifo://{fifo}", "")
    run_process(stdio, "echo out")
    assert asyncio.run(finished(stdio))
    assert read_to_end(reader) == b"out\n"


@pytest.mark.parametrize("uri", ["binary:///bin/logger?id=x", "npipe://x", "://x"])
def test_output_of_another_scheme_is_not_supported(fifo: Path, uri: str) -> None:
    with pytest.raises(UnimplementedError, match="log scheme"):
        Stdio.open(str(fifo), str(fifo), uri)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("bad", ["missing", "", "fifo/below", "nul\0"])
def test_path_that_is_no_stream_is_refused_by_name(
    tmp_path: Path, fifo: Path, position: int, bad: str
) -> None:
    paths = [str(fifo)] * 3
    paths[position] = f"{tmp_path}/{bad}"
    stdin, stdout, stderr = paths
    with pytest.raises(InvalidArgumentError, match="stdio /"):
        Stdio.open(stdin, stdout, stderr)


def test_file_uri_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgumentError, match="stdio file:///"):
        Stdio.open("", f"file://{tmp_path}/file/below/log", "")


def test_close_may_be_repeated(fifo: Path) -> None:
    stdio = Stdio.open(str(fifo), str(fifo), str(fifo))
    stdio.close()
    stdio.close()


async def drained(stdio: Stdio, within_s: float = 0.3) -> bool:
    try:
        await asyncio.wait_for(stdio.drained(), within_s)
    except TimeoutError:
        return False
    return True


def test_output_that_is_being_read_is_waited_for(fifo: Path) -> None:
    async def scenario() -> None:
        stdio = Stdio.open("", str(fifo), "")
        reader = open_reader(fifo)
        run_process(stdio, "echo late")
        assert not await drained(stdio)
        assert os.read(reader, 100) == b"late\n"
        assert await drained(stdio)
        assert await finished(stdio)
        assert read_to_end(reader) == b""

    asyncio.run(scenario())


def test_output_that_nobody_reads_is_not_waited_for(fifo: Path) -> None:
    async def scenario() -> None:
        stdio = Stdio.open("", str(fifo), "")
        run_process(stdio, "echo kept")
        assert await drained(stdio)
        reader = open_reader(fifo)
        assert await finished(stdio)
        assert read_to_end(reader) == b"kept\n"

    asyncio.run(scenario())
