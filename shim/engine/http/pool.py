"""An instance that stays for another request, where its pod allows that (`reuse`).

Rules: it answers one request at a time. It keeps its store, and with it its standard output, which
is a FIFO that nobody else gets: so it stays where that FIFO is. It has had one standard input, and
wasmtime gives a store no second one: so it stays only after, and is given only, requests without a
body. Whatever did not end as it should ends the instance, and so does one that lets go of too
little: what it holds is freed with its store.
"""

import os
from typing import Any

from shim.engine.http import native as n
from shim.engine.http.conduit import MAX_REQUESTS
from shim.engine.http.exchange import FINISHED, Exchange

# Between two requests a guest holds next to nothing: engines with a collector a few dozen.
_MAX_HELD = 256
# so that there are as many for the next request
_MAX_CALLS = MAX_REQUESTS // 2


class Living:
    """An instance, with its store, from its first request to its last."""

    __slots__ = ("answered", "context", "exchange", "function", "number", "store")

    def __init__(self, number: int, store: int, exchange: Exchange) -> None:
        self.number = number
        self.store = store
        self.exchange = exchange
        self.context = exchange.scratch.context = n.store_context(store)
        # what is called for each request, once there is an instance
        self.function: Any = None
        self.answered = 0

    def begin(self, exchange: Exchange) -> None:
        """Take on another request."""
        exchange.go_on_from(self.exchange)
        self.exchange = exchange

    def may_stay(self, most: int) -> bool:
        """Whether it can have another request, when it has just ended one; it may have `most`."""
        self.answered += 1
        if self.answered >= most:
            return False
        exchange = self.exchange
        answer, calls = exchange.answer, exchange.calls
        if exchange.trap is not None or exchange.peer.stop is not None or exchange.request.body:
            return False
        if answer is None or answer.response is None or exchange.request.body is None:
            return False
        body = answer.response.body
        return (
            (body is None or body.state == FINISHED)
            and len(exchange.table) <= _MAX_HELD
            and (calls is None or calls.held <= _MAX_CALLS)
            and _is_drained(exchange.request.sink)
        )


def _is_drained(sink: bytes) -> bool:
    """Whether everything that was written to a FIFO has been read; somebody has it open."""
    fd = os.open(sink, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return not os.read(fd, 1)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
