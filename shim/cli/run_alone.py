"""`tandem run` where no daemon has served the call: start one, or be the runner's parent.

Rules: slower, never broken, never weaker: the runner is the same one, forked from this process
instead of a daemon.
"""

import contextlib
import os
import socket
import sys
from pathlib import Path

from shim.cli.run_fast import ask_daemon, converse
from shim.daemon.starting import start_daemon
from shim.errdefs import ShimError
from shim.rundir import RunDir
from shim.runner import wire
from shim.runner.options import UsageError, parse_words


def answer_without_daemon(words: list[str]) -> bytes:
    """All that a runner answers, of whichever parent it is."""
    try:
        run_dir = RunDir.from_env(os.environ)
        if start_daemon(run_dir, Path(sys.argv[0]).resolve().with_name("tandemd")):
            with contextlib.suppress(OSError):
                answer = ask_daemon(words)
                if wire.is_final(answer):
                    return answer
        return _run_here(words, run_dir)
    except UsageError:
        return wire.NOT_UNDERSTOOD
    except (ShimError, OSError) as error:
        return wire.pack_end(wire.STATUS_FAILED, f"tandem: {error}\n")


def _run_here(words: list[str], run_dir: RunDir) -> bytes:
    options = parse_words(words)
    run_dir.create()
    from shim.process.forking import fork
    from shim.runner.main import Run, run_alone

    ours, theirs = socket.socketpair()
    if fork() == 0:
        status = 1
        try:
            ours.close()
            os.setsid()
            stdio = _take_stdio()
            run = Run(theirs, options, dict(os.environ), stdio, run_dir, lambda: None)
            run_alone(run)
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    return converse(ours)


def _take_stdio() -> list[int]:
    """Copies of this process's stdio for the guest, whose end is then the end of its output."""
    stdio = [os.dup(fd) for fd in (0, 1, 2)]
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return stdio
