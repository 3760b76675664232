"""What a Wasm instance and its pod shim say to each other: one datagram each, plain data.

Rules: no I/O; the child's messages are JSON objects with one `kind`; the shim's are single bytes.
"""

import json
from dataclasses import asdict, dataclass

from shim import errdefs

# The shim to the instance: your parent is me now; run.
ADOPTED = b"a"
START = b"s"

MAX_MESSAGE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Forked:
    """A process in between tells the pid of the instance (only where it joins a pid namespace)."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The instance is in its jail and waits for START; `warnings` are for the log."""

    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The instance cannot be; `error` names a class of `shim.errdefs`."""

    error: str
    text: str

    def exception(self) -> errdefs.ShimError:
        """The error to raise in the shim."""
        kind = getattr(errdefs, self.error, None)
        if not isinstance(kind, type) or not issubclass(kind, errdefs.ShimError):
            kind = errdefs.InternalError
        return kind(self.text)

    @classmethod
    def of(cls, error: Exception) -> "Failed":
        """The message for an error of the child's."""
        names = (kind.__name__ for kind in type(error).__mro__ if hasattr(errdefs, kind.__name__))
        text = str(error) if isinstance(error, errdefs.ShimError) else repr(error)
        # JSON spells a character in up to 12 bytes.
        return cls(next(names, "InternalError"), text[: MAX_MESSAGE_BYTES // 16])


Message = Forked | Ready | Failed


def encode(message: Message) -> bytes:
    """The datagram for a message."""
    return json.dumps({"kind": type(message).__name__.lower(), **asdict(message)}).encode()


def decode(datagram: bytes) -> Message:
    """The message of a datagram.

    Raises:
        InternalError: it is none.
    """
    try:
        match json.loads(datagram):
            case {"kind": "forked", "pid": int(pid)} if not isinstance(pid, bool) and pid > 1:
                return Forked(pid)
            case {"kind": "ready", "warnings": [*warnings]} if all(
                isinstance(warning, str) for warning in warnings
            ):
                return Ready(tuple(warnings))
            case {"kind": "failed", "error": str(error), "text": str(text)}:
                return Failed(error, text)
            case _:
                raise errdefs.InternalError(_unexpected(datagram))
    except (ValueError, RecursionError) as error:
        raise errdefs.InternalError(_unexpected(datagram)) from error


def _unexpected(datagram: bytes) -> str:
    return f"unexpected message of an instance: {datagram[:100]!r}"
