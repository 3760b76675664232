"""Log lines go to the bundle's FIFO, and never into anybody's way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from shim.pod import logs


@pytest.fixture(autouse=True)
def _stderr_and_structlog_are_put_back() -> Iterator[None]:
    stderr = os.dup(2)
    logs.configure()
    yield
    os.dup2(stderr, 2)
    os.close(stderr)
    logs._context.clear()
    structlog.reset_defaults()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[int]:
    """The reading end of the bundle's log, as containerd has it."""
    os.mkfifo(tmp_path / "log")
    fd = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def test_log_line_has_context_level_and_time(tmp_path: Path, fifo: int) -> None:
    logs.move_to_fifo(tmp_path, pod="p1")
    structlog.get_logger().info("it happened", path="/a b")
    structlog.get_logger().debug("not this")
    line = os.read(fifo, 4096).decode()
    assert line.startswith("time=")
    assert line.count("\n") == 1
    for part in ("level=info", 'event="it happened"', "pod=p1", 'path="/a b"'):
        assert part in line


def test_log_of_the_daemon_goes_to_stderr(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    structlog.get_logger().warning("text")
    os.close(writer)
    assert b"event=text" in os.read(reader, 4096)
    os.close(reader)


@pytest.mark.usefixtures("fifo")
def test_log_that_nobody_reads_blocks_nobody(tmp_path: Path) -> None:
    logs.move_to_fifo(tmp_path)
    for _ in range(500):
        structlog.get_logger().info("x" * 1000)


def test_log_of_a_bundle_without_a_fifo_goes_nowhere(tmp_path: Path) -> None:
    logs.move_to_fifo(tmp_path / "missing")
    structlog.get_logger().info("text")
    assert os.readlink("/proc/self/fd/2") == "/dev/null"


def test_log_outlives_its_reader(tmp_path: Path, fifo: int) -> None:
    """containerd restarts, and opens the FIFO again."""
    logs.move_to_fifo(tmp_path)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, fifo)
    os.close(null)
    structlog.get_logger().info("while nobody reads")
    again = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    assert b"while nobody reads" in os.read(again, 4096)
    os.close(again)


def test_log_takes_an_exception_and_text_that_is_no_utf8(tmp_path: Path, fifo: int) -> None:
    logs.move_to_fifo(tmp_path)
    structlog.get_logger().error("failed", path="\udcff", exc_info=ValueError("why"))
    assert b"ValueError: why" in os.read(fifo, 1 << 16)
