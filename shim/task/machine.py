"""Which verb is legal in which state of a task, and where it leads.

Everything that affects transitions is in this file. Theory of operation: two tables. `_NEXT` holds
the legal cells; a cell that is missing is an error, whose kind and text `_REFUSALS` gives. No I/O,
no clock.
"""

from enum import StrEnum

from shim.errdefs import FailedPreconditionError, NotFoundError, ShimError


class Status(StrEnum):
    """The state of a container's init process."""

    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Verb(StrEnum):
    """What may happen to it; EXIT is the one that nobody asks for."""

    START = "start"
    KILL = "kill"
    EXIT = "exit"
    DELETE = "delete"


_NEXT: dict[tuple[Status, Verb], Status] = {
    (Status.CREATED, Verb.START): Status.RUNNING,
    (Status.CREATED, Verb.KILL): Status.CREATED,
    (Status.CREATED, Verb.EXIT): Status.STOPPED,
    (Status.RUNNING, Verb.KILL): Status.RUNNING,
    (Status.RUNNING, Verb.EXIT): Status.STOPPED,
    (Status.STOPPED, Verb.DELETE): Status.DELETED,
}

# CRI's StopContainer tolerates nothing but NotFound for a process that is gone.
_REFUSALS: dict[tuple[Status, Verb], tuple[type[ShimError], str]] = {
    (Status.RUNNING, Verb.START): (FailedPreconditionError, "is running already"),
    (Status.STOPPED, Verb.START): (FailedPreconditionError, "has ended and cannot start again"),
    (Status.STOPPED, Verb.KILL): (NotFoundError, "has ended already"),
    (Status.CREATED, Verb.DELETE): (FailedPreconditionError, "is not stopped: kill it first"),
    (Status.RUNNING, Verb.DELETE): (FailedPreconditionError, "is running: kill it first"),
}


def next_status(status: Status, verb: Verb, *, name: str) -> Status:
    """The state after `verb`; `name` is the process's, for the error's text.

    Raises:
        FailedPreconditionError: the verb is not legal in this state.
        NotFoundError: the process has ended, or its container is deleted.
    """
    following = _NEXT.get((status, verb))
    if following is not None:
        return following
    kind, text = _REFUSALS.get((status, verb), (NotFoundError, "is deleted"))
    raise kind(f"{name} {text}")
