import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from shim.cli.progress import progress_bars, waiting
from shim.images.transfer import Silent

ROOT = Path(__file__).parents[3]
BARS = """
from shim.cli.progress import progress_bars, waiting
with progress_bars() as progress:
    advance = progress.begin("sha256:0123456789abcdef", 10)
    advance(4); advance(6)
import threading
with waiting("compile x") as tick:
    tick()
    assert threading.active_count() == 1
"""


def test_nobody_sees_bars_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as progress:
        assert isinstance(progress, Silent)
        progress.begin("x", 1)(1)
    with waiting("x") as tick:
        tick()
    assert capfd.readouterr() == ("", "")


def test_terminal_has_bars_and_no_thread_where_somebody_forks() -> None:
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", BARS],
            cwd=ROOT,
            stderr=slave,
            env={**os.environ, "TERM": "xterm"},
            check=False,
        )
        os.close(slave)
        shown = read_all(master)
    finally:
        os.close(master)
    assert done.returncode == 0
    assert b"0123456789ab" in shown
    assert b"compile x" in shown


def read_all(master: int) -> bytes:
    shown = b""
    # a terminal whose other side is closed says EIO behind its last byte
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 65536):
            shown += chunk
    return shown
