"""What a server counts: numbers of 64 bits in memory that all of its processes share.

Rules: made before anybody forks; a slot has one process that writes to it, whose threads take turns
by its lock, since Python may change threads between reading a number and writing its sum. Readers
take no lock: a number is read whole, and numbers that belong together may be of one moment's
distance. Nothing here knows of Prometheus.
"""

import bisect
import mmap
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# Whatever clients and guests send, there are no further labels.
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other")
STATUSES = ("none", "2xx", "3xx", "4xx", "5xx", "other")
# keys of `[http]`
LIMITS = ("concurrency", "fuel", "max_response_bytes", "memory_bytes", "timeout_s")
# upper ends, in seconds; what takes longer than the last is in one more
BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
SINGLE = (
    "accepted", "bad_requests", "broken", "cold_ns", "cold_starts", "in_flight", "live", "made",
    "open", "received", "sent", "started", "taken_ns", "trapped",
)  # fmt: skip
(
    _ACCEPTED, _BAD_REQUESTS, _BROKEN, _COLD_NS, _COLD_STARTS, _IN_FLIGHT, _LIVE, _MADE,
    _OPEN, _RECEIVED, _SENT, _STARTED, _TAKEN_NS, _TRAPPED,
) = range(len(SINGLE))  # fmt: skip
_REQUESTS = len(SINGLE)
_LIMITS = _REQUESTS + len(METHODS) * len(STATUSES)
_TAKEN = _LIMITS + len(LIMITS)
_CELLS = _TAKEN + len(BUCKETS_S) + 1
_CELL_BYTES = 8
# a cache line holds numbers of one process only
_SLOT_BYTES = -(-_CELLS * _CELL_BYTES // 64) * 64

_METHOD_AT = {name.encode(): _REQUESTS + n * len(STATUSES) for n, name in enumerate(METHODS)}
_OTHER_AT = _METHOD_AT[b"other"]
_LIMIT_AT = {name: _LIMITS + number for number, name in enumerate(LIMITS)}
# by the first digit of a status, which guests choose
_STATUS_AT = (0, 5, 1, 2, 3, 4, 5, 5, 5, 5)
_NS = 1_000_000_000


class Tally(Protocol):
    """Where a process of a server counts what happens; any thread may call."""

    def accepted(self) -> None:
        """A connection is there."""

    def closed(self) -> None:
        """A connection is gone."""

    def received(self, count: int) -> None:
        """Bytes have come from a client."""

    def sent(self, count: int) -> None:
        """Bytes have gone to a client."""

    def began(self) -> None:
        """The head of a request is whole."""

    def answered(self, method: bytes, status: int, seconds: float, over: str | None) -> None:
        """A request that began is over, after this time.

        Args:
            method: of the request.
            status: of the answer; 0 where there was none, since the client has gone.
            seconds: since it began.
            over: the limit that it was over, one of `LIMITS`.
        """

    def refused(self) -> None:
        """What came was no request."""

    def broke_off(self) -> None:
        """An answer ended before its body did."""

    def made(self) -> None:
        """There is one more instance."""

    def gone(self) -> None:
        """There is one instance less."""

    def trapped(self) -> None:
        """A guest failed, and not since it was over a limit."""


class Uncounted:
    """The tally of a server without metrics."""

    def accepted(self) -> None:
        """See `Tally`."""

    def closed(self) -> None:
        """See `Tally`."""

    def received(self, count: int) -> None:
        """See `Tally`."""

    def sent(self, count: int) -> None:
        """See `Tally`."""

    def began(self) -> None:
        """See `Tally`."""

    def answered(self, method: bytes, status: int, seconds: float, over: str | None) -> None:
        """See `Tally`."""

    def refused(self) -> None:
        """See `Tally`."""

    def broke_off(self) -> None:
        """See `Tally`."""

    def made(self) -> None:
        """See `Tally`."""

    def gone(self) -> None:
        """See `Tally`."""

    def trapped(self) -> None:
        """See `Tally`."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all slots.

    Attributes:
        single: by the names of `SINGLE`; `_ns` are nanoseconds, `cold_ns` from the first request of
            a process to its first instance.
        requests: by method and status.
        limits: by limit.
        taken: answers by the bucket of `BUCKETS_S` that their time is in, and no earlier one.
    """

    single: Mapping[str, int]
    requests: Mapping[tuple[str, str], int]
    limits: Mapping[str, int]
    taken: tuple[int, ...]


class Counters:
    """All slots."""

    def __init__(self, slots: int = 1) -> None:
        self._memory = memoryview(mmap.mmap(-1, slots * _SLOT_BYTES))
        self._slots = slots

    def slot(self, number: int) -> "Slot":
        """A slot, for the one process that writes to it from now on."""
        return Slot(self._cells(number))

    def totals(self) -> Totals:
        """What all slots have counted."""
        cells = [sum(c) for c in zip(*map(self._numbers, range(self._slots)), strict=True)]
        return Totals(
            single=dict(zip(SINGLE, cells[:_REQUESTS], strict=True)),
            requests={
                (method, status): cells[_METHOD_AT[method.encode()] + number]
                for method in METHODS
                for number, status in enumerate(STATUSES)
            },
            limits={name: cells[at] for name, at in _LIMIT_AT.items()},
            taken=tuple(cells[_TAKEN:]),
        )

    def _cells(self, number: int) -> "memoryview[int]":
        start = number * _SLOT_BYTES
        return self._memory[start : start + _CELLS * _CELL_BYTES].cast("q")

    def _numbers(self, number: int) -> list[int]:
        return self._cells(number).tolist()


class Slot:
    """One process's numbers: a `Tally`."""

    def __init__(self, cells: "memoryview[int]") -> None:
        self._cells = cells
        self._lock = threading.Lock()
        self._is_cold = True
        # when this process had its first request
        self._first: float | None = None
        # Those that go down again: a process that was killed has left its own as they were.
        for gauge in (_IN_FLIGHT, _LIVE, _OPEN):
            cells[gauge] = 0
        cells[_STARTED] += 1

    def accepted(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_ACCEPTED] += 1
            self._cells[_OPEN] += 1

    def closed(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_OPEN] -= 1

    def received(self, count: int) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_RECEIVED] += count

    def sent(self, count: int) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_SENT] += count

    def began(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_IN_FLIGHT] += 1
            if self._is_cold and self._first is None:
                self._first = time.monotonic()

    def answered(self, method: bytes, status: int, seconds: float, over: str | None) -> None:
        """See `Tally`."""
        request = _METHOD_AT.get(method, _OTHER_AT) + _STATUS_AT[status // 100]
        bucket = _TAKEN + bisect.bisect_left(BUCKETS_S, seconds)
        cells = self._cells
        with self._lock:
            cells[_IN_FLIGHT] -= 1
            cells[request] += 1
            cells[bucket] += 1
            cells[_TAKEN_NS] += int(seconds * _NS)
            if over is not None:
                cells[_LIMIT_AT[over]] += 1

    def refused(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_BAD_REQUESTS] += 1

    def broke_off(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_BROKEN] += 1

    def made(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_MADE] += 1
            self._cells[_LIVE] += 1
            if self._is_cold:
                self._warm_up()

    def gone(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_LIVE] -= 1

    def trapped(self) -> None:
        """See `Tally`."""
        with self._lock:
            self._cells[_TRAPPED] += 1

    def _warm_up(self) -> None:
        self._is_cold = False
        # An instance may be made before there is a request for it.
        if self._first is not None:
            self._cells[_COLD_STARTS] += 1
            self._cells[_COLD_NS] += int((time.monotonic() - self._first) * _NS)
