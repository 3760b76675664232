"""The stage `stay`, for a container that stays: wait for SIGTERM, in next to no memory.

Rules: the process becomes a Python that imports nothing of ours; SIGTERM is blocked before it does,
so that one that comes in between is not lost, and as process 1 of a container it would be ignored.
"""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

_WAITED_FOR = (signal.SIGTERM, signal.SIGINT)
_CODE = f"import _signal; _signal.sigwait({{{', '.join(str(int(each)) for each in _WAITED_FOR)}}})"


def stay() -> NoReturn:
    """Wait until SIGTERM or SIGINT; the process then ends with 0."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    argv = waiting_command(Path("/proc/self/cmdline").read_bytes(), sys.orig_argv)
    try:
        # By its name alone the program may have been found in PATH.
        os.execvp(argv[0], argv)  # noqa: S606 (the own program)
    except OSError:
        signal.sigwait(_WAITED_FOR)
        sys.exit(0)


def waiting_command(cmdline: bytes, python_argv: list[str]) -> list[str]:
    """The command line of a Python that only waits, started the way that this one was.

    A bundle's Python is started by the bundle's loader, whose arguments the kernel knows, and
    Python does not.
    """
    words = [os.fsdecode(word) for word in cmdline.split(b"\0")[:-1]]
    return [*words[: len(words) - len(python_argv) + 1], "-IS", "-c", _CODE]
