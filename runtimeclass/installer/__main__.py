"""`python -m runtimeclass.installer`, in a bundle `tandem-installer`: the command line.

Rules: stdout has one line, how it ended, which is the container's termination message, too; stderr
has the events. Whatever fails has a class of `errors`, whose status is the process's. `stay` is
done before anything is imported that is not needed for it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtimeclass.installer.errors import InstallerError
from runtimeclass.installer.options import parse_options
from runtimeclass.installer.stay import stay

_TERMINATION_LOG = Path("/dev/termination-log")


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """Do one stage; returns the exit status."""
    options = parse_options(sys.argv[1:] if arguments is None else arguments, env)
    if options.stage == "stay":
        stay()
    import structlog

    from runtimeclass.installer.call import run
    from runtimeclass.installer.files import Files
    from runtimeclass.installer.steps import Runner, Stop

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.request)
    try:
        _tell(run(options, env, Files(), stop, Runner(stop)))
    except InstallerError as error:
        _tell(f"{options.stage} failed: {error}")
        return error.status
    return 0


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
