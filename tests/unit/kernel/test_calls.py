"""System calls without a name in Python, asked of the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shim.kernel.calls import set_io_priority, syncfs
from shim.kernel.constants import IOPRIO_BEST_EFFORT_LOWEST

_SET = """
import os, subprocess
from shim.kernel.calls import set_io_priority
set_io_priority({priority})
print(subprocess.run(["ionice", "-p", str(os.getpid())], capture_output=True, text=True).stdout)
"""


def test_io_priority_is_that_of_ionice() -> None:
    program = _SET.format(priority=IOPRIO_BEST_EFFORT_LOWEST)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["best-effort:", "prio", "7"]


def test_io_priority_that_is_none_is_refused() -> None:
    with pytest.raises(OSError, match="ioprio_set"):
        set_io_priority(7 << 13)


def test_syncfs_takes_any_file_of_it(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    syncfs(fd)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        syncfs(fd)
