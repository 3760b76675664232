"""Log lines go to the bundle's FIFO, and never into anybody's way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from shim.pod import logs


@pytest.fixture(autouse=True)
def _structlog_is_reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_log_line_has_context_level_and_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    fd = logs.configure(tmp_path, debug=False, pod="p1")
    structlog.get_logger().info("it happened", path="/a b")
    structlog.get_logger().debug("not this")
    line = os.read(reader, 4096).decode()
    os.close(fd)
    os.close(reader)
    assert line.startswith("time=")
    assert line.count("\n") == 1
    for part in ("level=info", 'event="it happened"', "pod=p1", 'path="/a b"'):
        assert part in line


def test_log_line_of_debug_is_there_when_wanted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    fd = logs.configure(tmp_path, debug=True)
    structlog.get_logger().debug("this")
    assert b"event=this" in os.read(fd, 4096)
    os.close(fd)


def test_log_that_nobody_reads_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    fd = logs.configure(tmp_path, debug=False)
    for _ in range(500):
        structlog.get_logger().info("x" * 1000)
    os.close(fd)


def test_log_of_a_bundle_without_a_fifo_goes_nowhere(tmp_path: Path) -> None:
    fd = logs.configure(tmp_path / "missing", debug=False)
    structlog.get_logger().info("text")
    assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null"
    os.close(fd)


def test_log_takes_an_exception_and_text_that_is_no_utf8(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    fd = logs.configure(tmp_path, debug=False)
    structlog.get_logger().error("failed", path="\udcff", exc_info=ValueError("why"))
    text = os.read(fd, 1 << 16)
    os.close(fd)
    assert b"ValueError: why" in text
