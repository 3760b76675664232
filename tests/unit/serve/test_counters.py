"""Numbers that several threads and processes write, and none gets lost."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.serve.counters import (
    BUCKETS_S,
    LIMITS,
    METHODS,
    STATUSES,
    Counters,
    Slot,
    Tally,
    Uncounted,
)

THREADS, TIMES = 4, 20_000


@pytest.fixture
def restless() -> Iterator[None]:
    """Python changes threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def live(tally: Tally) -> None:
    """One request, with all that belongs to it."""
    tally.accepted()
    tally.received(10)
    tally.began()
    tally.made()
    tally.sent(100)
    tally.answered(b"GET", 200, 0.002, None)
    tally.gone()
    tally.closed()


def test_nothing_is_there_at_first() -> None:
    totals = Counters(3).totals()
    assert not any(totals.single.values())
    assert not any(totals.requests.values())
    assert not any(totals.limits.values())
    assert totals.taken == (0,) * (len(BUCKETS_S) + 1)


def test_a_request() -> None:
    counters = Counters()
    live(counters.slot(0))
    totals = counters.totals()
    found = {name: count for name, count in totals.single.items() if count}
    assert found.pop("cold_ns") > 0
    assert found == {
        "accepted": 1, "cold_starts": 1, "made": 1, "received": 10, "sent": 100, "started": 1,
        "taken_ns": 2_000_000,
    }  # fmt: skip
    assert {key: count for key, count in totals.requests.items() if count} == {("GET", "2xx"): 1}
    assert totals.taken.index(1) == BUCKETS_S.index(0.0025)
    assert sum(totals.taken) == 1


@pytest.mark.parametrize(
    ("status", "name"),
    [(0, "none"), (101, "other"), (200, "2xx"), (399, "3xx"), (404, "4xx"), (504, "5xx"),
     (600, "other"), (999, "other")],
)  # fmt: skip
@pytest.mark.parametrize("method", [*METHODS[:-1], "BREW"])
def test_labels_are_bounded(method: str, status: int, name: str) -> None:
    counters = Counters()
    slot = counters.slot(0)
    slot.began()
    slot.answered(method.encode(), status, 0.0, None)
    known = method if method in METHODS else "other"
    requests = counters.totals().requests
    assert {key: count for key, count in requests.items() if count} == {(known, name): 1}
    assert len(requests) == len(METHODS) * len(STATUSES)


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_every_time_has_its_bucket(seconds: list[float]) -> None:
    """Prometheus' `le`: a bucket's end is in it."""
    counters = Counters()
    slot = counters.slot(0)
    for one in seconds:
        slot.answered(b"GET", 200, one, None)
    taken = counters.totals().taken
    assert sum(taken) == len(seconds)
    for number, end in enumerate(BUCKETS_S):
        assert sum(taken[: number + 1]) == sum(one <= end for one in seconds)


@pytest.mark.parametrize("limit", LIMITS)
def test_limits(limit: str) -> None:
    counters = Counters()
    counters.slot(0).answered(b"GET", 503, 0.0, limit)
    assert counters.totals().limits == {name: int(name == limit) for name in LIMITS}


@pytest.mark.usefixtures("restless")
def test_threads_lose_nothing() -> None:
    counters = Counters()
    slot = counters.slot(0)

    def work() -> None:
        for _ in range(TIMES):
            live(slot)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = counters.totals()
    count = THREADS * TIMES
    assert totals.single["received"] == 10 * count
    assert totals.single["sent"] == 100 * count
    assert (totals.single["accepted"], totals.single["made"]) == (count, count)
    assert totals.requests["GET", "2xx"] == sum(totals.taken) == count
    assert [totals.single[name] for name in ("open", "live", "in_flight")] == [0, 0, 0]
    assert totals.single["cold_starts"] == 1


def test_processes_are_added_up() -> None:
    """Each writes to its slot at the same time; whoever made the memory sees all."""
    counters = Counters(3)
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            slot = counters.slot(number)
            for _ in range(1000 * (number + 1)):
                live(slot)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    totals = counters.totals()
    assert totals.requests["GET", "2xx"] == 6000
    assert (totals.single["started"], totals.single["cold_starts"]) == (3, 3)


def test_who_was_killed_leaves_nothing_open() -> None:
    """What it has done counts; what it had does not."""
    counters = Counters(2)
    other = counters.slot(1)
    other.accepted()
    killed = counters.slot(0)
    killed.accepted()
    killed.began()
    killed.made()
    assert counters.totals().single["open"] == 2
    counters.slot(0)
    single = counters.totals().single
    assert (single["open"], single["live"], single["in_flight"]) == (1, 0, 0)
    assert (single["accepted"], single["made"], single["started"]) == (2, 1, 3)


def test_instances_before_any_request_are_no_cold_start() -> None:
    counters = Counters()
    slot = counters.slot(0)
    slot.made()
    live(slot)
    assert counters.totals().single["cold_starts"] == 0


def test_without_metrics_there_is_nothing_to_lose() -> None:
    """And whoever adds a method to the one has to add it to the other."""
    names = {name for name in vars(Uncounted) if not name.startswith("_")}
    assert names == {name for name in vars(Slot) if not name.startswith("_")}
    live(Uncounted())
