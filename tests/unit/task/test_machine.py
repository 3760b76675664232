"""The whole product of states and verbs, against tables that are written down a second time."""

import itertools

import pytest

from shim.errdefs import FailedPreconditionError, NotFoundError, ShimError
from shim.task.machine import EXECUTED, INIT, Status, Table, Verb, next_status

PRECONDITION, GONE = FailedPreconditionError, NotFoundError

Expected = dict[Status, dict[Verb, Status | type[ShimError]]]

OF_INIT: Expected = {
    Status.CREATED: {
        Verb.START: Status.RUNNING,
        Verb.KILL: Status.CREATED,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: PRECONDITION,
        Verb.EXEC: Status.CREATED,
        Verb.PAUSE: PRECONDITION,
        Verb.RESUME: PRECONDITION,
        Verb.UPDATE: Status.CREATED,
        Verb.CHECKPOINT: PRECONDITION,
    },
    Status.RUNNING: {
        Verb.START: PRECONDITION,
        Verb.KILL: Status.RUNNING,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: PRECONDITION,
        Verb.EXEC: Status.RUNNING,
        Verb.PAUSE: Status.PAUSED,
        Verb.RESUME: PRECONDITION,
        Verb.UPDATE: Status.RUNNING,
        Verb.CHECKPOINT: Status.RUNNING,
    },
    Status.PAUSED: {
        Verb.START: PRECONDITION,
        Verb.KILL: Status.PAUSED,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: PRECONDITION,
        Verb.EXEC: PRECONDITION,
        Verb.PAUSE: PRECONDITION,
        Verb.RESUME: Status.RUNNING,
        Verb.UPDATE: Status.PAUSED,
        Verb.CHECKPOINT: Status.PAUSED,
    },
    Status.STOPPED: {
        Verb.START: PRECONDITION,
        Verb.KILL: GONE,
        Verb.EXIT: GONE,
        Verb.DELETE: Status.DELETED,
        Verb.EXEC: PRECONDITION,
        Verb.PAUSE: PRECONDITION,
        Verb.RESUME: PRECONDITION,
        Verb.UPDATE: PRECONDITION,
        Verb.CHECKPOINT: PRECONDITION,
    },
    Status.DELETED: dict.fromkeys(Verb, GONE),
}
OF_EXECUTED: Expected = {
    Status.CREATED: {
        Verb.START: Status.RUNNING,
        Verb.KILL: PRECONDITION,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: Status.DELETED,
    },
    Status.RUNNING: {
        Verb.START: PRECONDITION,
        Verb.KILL: Status.RUNNING,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: PRECONDITION,
    },
    Status.STOPPED: {
        Verb.START: PRECONDITION,
        Verb.KILL: GONE,
        Verb.EXIT: GONE,
        Verb.DELETE: Status.DELETED,
    },
    Status.DELETED: dict.fromkeys((Verb.START, Verb.KILL, Verb.EXIT, Verb.DELETE), GONE),
}
CELLS = [
    (table, status, verb, expected)
    for table, states in ((INIT, OF_INIT), (EXECUTED, OF_EXECUTED))
    for status, verbs in states.items()
    for verb, expected in verbs.items()
]


@pytest.mark.parametrize(
    ("table", "status", "verb", "expected"),
    CELLS,
    ids=[f"{'init' if t is INIT else 'executed'}-{s}-{v}" for t, s, v, _ in CELLS],
)
def test_machine_cell(
    table: Table, status: Status, verb: Verb, expected: Status | type[ShimError]
) -> None:
    if isinstance(expected, Status):
        assert next_status(table, status, verb, name="container c") is expected
        return
    with pytest.raises(expected, match=r"^container c ") as caught:
        next_status(table, status, verb, name="container c")
    assert type(caught.value) is expected


def test_machine_tables_are_whole() -> None:
    assert {(s, v) for s, verbs in OF_INIT.items() for v in verbs} == set(
        itertools.product(Status, Verb)
    )
    assert {verb for _, verb in EXECUTED} == {
        verb for verbs in OF_EXECUTED.values() for verb in verbs
    }


@pytest.mark.parametrize(
    ("status", "verb", "way_out"),
    [
        (Status.RUNNING, Verb.DELETE, "kill it first"),
        (Status.PAUSED, Verb.DELETE, "kill it first"),
        (Status.PAUSED, Verb.EXEC, "resume it first"),
        (Status.PAUSED, Verb.START, "resume it"),
        (Status.CREATED, Verb.PAUSE, "start it first"),
    ],
)
def test_machine_refusals_say_the_way_out(status: Status, verb: Verb, way_out: str) -> None:
    with pytest.raises(FailedPreconditionError, match=way_out):
        next_status(INIT, status, verb, name="container c")


@pytest.mark.parametrize("table", [INIT, EXECUTED])
def test_machine_deleted_is_the_end(table: Table) -> None:
    reachable = {Status.CREATED}
    for _ in Status:
        reachable |= {to for (status, _), to in table.items() if status in reachable}

    paused = set() if table is INIT else {Status.PAUSED}
    assert reachable == set(Status) - paused
    assert all(status is not Status.DELETED for status, _ in table)
