"""Which verb is legal in which state of a process, and where it leads.

Everything that affects transitions is in this file. Theory of operation: one table for a
container's init process, which is the container's own state, and one for processes that were
executed in it. Each holds the legal cells; a cell that is missing is an error, whose kind and text
`_REFUSALS` gives. No I/O, no clock.
"""

from enum import StrEnum

from shim.errdefs import FailedPreconditionError, NotFoundError, ShimError


class Status(StrEnum):
    """The state of a process."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETED = "deleted"


class Verb(StrEnum):
    """What may happen to it; EXIT is the one that nobody asks for.

    Those from EXEC on happen to a container: an executed process knows none of them.
    """

    START = "start"
    KILL = "kill"
    EXIT = "exit"
    DELETE = "delete"
    EXEC = "exec"
    PAUSE = "pause"
    RESUME = "resume"
    UPDATE = "update"
    CHECKPOINT = "checkpoint"


Table = dict[tuple[Status, Verb], Status]

INIT: Table = {
    (Status.CREATED, Verb.START): Status.RUNNING,
    (Status.CREATED, Verb.KILL): Status.CREATED,
    (Status.CREATED, Verb.EXIT): Status.STOPPED,
    (Status.CREATED, Verb.EXEC): Status.CREATED,
    (Status.CREATED, Verb.UPDATE): Status.CREATED,
    (Status.RUNNING, Verb.KILL): Status.RUNNING,
    (Status.RUNNING, Verb.EXIT): Status.STOPPED,
    (Status.RUNNING, Verb.EXEC): Status.RUNNING,
    (Status.RUNNING, Verb.PAUSE): Status.PAUSED,
    (Status.RUNNING, Verb.UPDATE): Status.RUNNING,
    (Status.RUNNING, Verb.CHECKPOINT): Status.RUNNING,
    (Status.PAUSED, Verb.KILL): Status.PAUSED,
    (Status.PAUSED, Verb.EXIT): Status.STOPPED,
    (Status.PAUSED, Verb.RESUME): Status.RUNNING,
    (Status.PAUSED, Verb.UPDATE): Status.PAUSED,
    (Status.PAUSED, Verb.CHECKPOINT): Status.PAUSED,
    (Status.STOPPED, Verb.DELETE): Status.DELETED,
}

EXECUTED: Table = {
    (Status.CREATED, Verb.START): Status.RUNNING,
    # Its start has failed.
    (Status.CREATED, Verb.EXIT): Status.STOPPED,
    (Status.CREATED, Verb.DELETE): Status.DELETED,
    (Status.RUNNING, Verb.KILL): Status.RUNNING,
    (Status.RUNNING, Verb.EXIT): Status.STOPPED,
    (Status.STOPPED, Verb.DELETE): Status.DELETED,
}

_ENDED = "has ended and cannot"
# CRI's StopContainer tolerates nothing but NotFound for a process that is gone.
_REFUSALS: dict[tuple[Status, Verb], tuple[type[ShimError], str]] = {
    (Status.CREATED, Verb.KILL): (FailedPreconditionError, "is not started: start it first"),
    (Status.CREATED, Verb.DELETE): (FailedPreconditionError, "is not stopped: kill it first"),
    (Status.CREATED, Verb.PAUSE): (FailedPreconditionError, "is not started: start it first"),
    (Status.CREATED, Verb.RESUME): (FailedPreconditionError, "is not paused"),
    (Status.CREATED, Verb.CHECKPOINT): (FailedPreconditionError, "is not started: start it first"),
    (Status.RUNNING, Verb.START): (FailedPreconditionError, "is running already"),
    (Status.RUNNING, Verb.DELETE): (FailedPreconditionError, "is running: kill it first"),
    (Status.RUNNING, Verb.RESUME): (FailedPreconditionError, "is not paused"),
    (Status.PAUSED, Verb.START): (FailedPreconditionError, "is paused: resume it"),
    (Status.PAUSED, Verb.DELETE): (FailedPreconditionError, "is paused: kill it first"),
    (Status.PAUSED, Verb.EXEC): (FailedPreconditionError, "is paused: resume it first"),
    (Status.PAUSED, Verb.PAUSE): (FailedPreconditionError, "is paused already"),
    (Status.STOPPED, Verb.START): (FailedPreconditionError, f"{_ENDED} start again"),
    (Status.STOPPED, Verb.KILL): (NotFoundError, "has ended already"),
    (Status.STOPPED, Verb.EXEC): (FailedPreconditionError, f"{_ENDED} execute anything"),
    (Status.STOPPED, Verb.PAUSE): (FailedPreconditionError, f"{_ENDED} be paused"),
    (Status.STOPPED, Verb.RESUME): (FailedPreconditionError, f"{_ENDED} be resumed"),
    (Status.STOPPED, Verb.UPDATE): (FailedPreconditionError, f"{_ENDED} be updated"),
    (Status.STOPPED, Verb.CHECKPOINT): (FailedPreconditionError, f"{_ENDED} be checkpointed"),
}


def next_status(table: Table, status: Status, verb: Verb, *, name: str) -> Status:
    """The state after `verb`; `name` is the process's, for the error's text.

    Raises:
        FailedPreconditionError: the verb is not legal in this state.
        NotFoundError: the process has ended, or is deleted.
    """
    following = table.get((status, verb))
    if following is not None:
        return following
    kind, text = _REFUSALS.get((status, verb), (NotFoundError, "is deleted"))
    raise kind(f"{name} {text}")
