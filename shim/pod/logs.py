"""The pod shim's own log: logfmt lines into the bundle's `log` FIFO, which containerd copies to
its journal.

Rules: the only place that configures structlog; a log line never blocks and never fails its
caller, whether containerd reads or not.
"""

import os
from pathlib import Path
from typing import Any

import structlog


class _FifoLogger:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def msg(self, message: str) -> None:
        try:
            os.write(self._fd, message.encode(errors="replace") + b"\n")
        except OSError:
            # Full, or nobody reads: the journal is a convenience, the pod is not.
            return

    debug = info = warning = error = exception = critical = msg


def configure(bundle: Path, *, debug: bool, **context: Any) -> int:
    """Send all logging to the bundle's FIFO, each line with `context`; return the FIFO's
    descriptor."""
    try:
        # Both ends: no SIGPIPE while containerd is down, and opening does not wait for it.
        fd = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["time", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("debug" if debug else "info"),
        logger_factory=lambda *_: _FifoLogger(fd),
    )
    structlog.contextvars.bind_contextvars(**context)
    return fd
