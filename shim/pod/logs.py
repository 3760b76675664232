"""The log of daemon and pod shims: logfmt lines on stderr.

A pod shim's stderr is its bundle's `log` FIFO, which containerd copies to its journal; the
daemon's is the journal or its log file. Rules: the only place that configures structlog, once, in
the daemon, since every process forked later would pay for its own; a log line never blocks and
never fails its caller, whether anybody reads or not.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

# What every line of this process carries; a pod shim adds its pod.
_context: dict[str, str] = {}


class _StderrLogger:
    def msg(self, message: str) -> None:
        try:
            os.write(2, message.encode(errors="replace") + b"\n")
        except OSError:
            # Full, or nobody reads: the journal is a convenience, the pod is not.
            return

    debug = info = warning = error = exception = critical = msg


def configure() -> None:
    """Send all logging to stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _add_context,
            structlog.processors.LogfmtRenderer(key_order=["time", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=lambda *_: _StderrLogger(),
    )


def move_to_fifo(bundle: Path, **context: str) -> None:
    """Log to the bundle's FIFO from now on, each line with `context`."""
    _context.update(context)
    try:
        # Both ends: no SIGPIPE while containerd is down, and opening does not wait for it.
        fd = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(fd, 2, inheritable=False)
    os.close(fd)


def _add_context(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event.update(_context)
    return event
