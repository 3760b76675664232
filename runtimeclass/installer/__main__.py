"""`python -m runtimeclass.installer`, in a bundle `tandem-installer`: the command line.

Rules: stdout has one line, how it ended, which is the container's termination message, too; stderr
has the events. Whatever fails has a class of `errors`, whose status is the process's.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from runtimeclass.installer import install as installing
from runtimeclass.installer import uninstall as uninstalling
from runtimeclass.installer.bundle import STATE
from runtimeclass.installer.errors import InstallerError
from runtimeclass.installer.files import Files
from runtimeclass.installer.node import Node, State
from runtimeclass.installer.options import Options, parse_options
from runtimeclass.installer.stay import stay
from runtimeclass.installer.steps import Runner, Stop

_TERMINATION_LOG = Path("/dev/termination-log")


def main(
    arguments: Sequence[str] | None = None,
    env: Mapping[str, str] = os.environ,
    files: Files | None = None,
    make_runner: Callable[[Stop], Runner] = Runner,
) -> int:
    """Do one stage; returns the exit status.

    `files` and `make_runner` are the tests', who watch from there.
    """
    options = parse_options(sys.argv[1:] if arguments is None else arguments, env)
    _log_to_stderr()
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.request)
    try:
        summary = run(options, env, files or Files(), stop, make_runner(stop))
    except InstallerError as error:
        _tell(f"{options.stage} failed: {error}")
        return error.status
    _tell(summary)
    if options.stay:
        stop.heed()
        stay()
    return 0


def run(options: Options, env: Mapping[str, str], files: Files, stop: Stop, runner: Runner) -> str:
    """Do one stage; how it ended, in words.

    Raises:
        InstallerError: it failed.
    """
    node = Node.find(options, files, stop, env)
    with node.cri:
        match options.stage:
            case "check":
                return installing.check(node)
            case "install":
                with State(node.host, files) as state:
                    return installing.install(node, state, runner)
            case "verify":
                if not node.host.exists(STATE):
                    return installing.verify(node)
                with State(node.host, files):
                    return installing.verify(node)
            case _:
                with State(node.host, files) as state:
                    return uninstalling.uninstall(node, state, runner)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    # Only Kubernetes makes that file; elsewhere there is none to write to.
    with contextlib.suppress(OSError):
        fd = os.open(_TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        with os.fdopen(fd, "w") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
