"""The whole product of states and verbs, against a table that is written down a second time."""

import itertools

import pytest

from shim.errdefs import FailedPreconditionError, NotFoundError, ShimError
from shim.task.machine import Status, Verb, next_status

PRECONDITION, GONE = FailedPreconditionError, NotFoundError

EXPECTED: dict[Status, dict[Verb, Status | type[ShimError]]] = {
    Status.CREATED: {
        Verb.START: Status.RUNNING,
        Verb.KILL: Status.CREATED,
        Verb.EXIT: Status.STOPPED,
        Verb.DELETE: PRECONDITION,
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
    Status.DELETED: dict.fromkeys(Verb, GONE),
}


@pytest.mark.parametrize(("status", "verb"), list(itertools.product(Status, Verb)))
def test_machine_cell(status: Status, verb: Verb) -> None:
    expected = EXPECTED[status][verb]
    if isinstance(expected, Status):
        assert next_status(status, verb, name="container c") is expected
        return
    with pytest.raises(expected, match=r"^container c ") as caught:
        next_status(status, verb, name="container c")
    assert type(caught.value) is expected


def test_machine_refusals_say_the_way_out() -> None:
    with pytest.raises(FailedPreconditionError, match="kill it first"):
        next_status(Status.RUNNING, Verb.DELETE, name="container c")


def test_machine_deleted_is_the_end() -> None:
    reachable = {Status.CREATED}
    for _ in Status:
        cells = [EXPECTED[status][verb] for status in reachable for verb in Verb]
        reachable |= {cell for cell in cells if isinstance(cell, Status)}

    assert reachable == set(Status)
