"""One request as its guest sees it: what comes in, what it answers, and the resources in between.

Rules: one thread runs the guest and writes here; another may read `answer` and what hangs on it at
any time, and sees whole objects because each is assigned once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shim.engine.http.fields import Field, Fields
from shim.engine.http.native import Scratch

BodyState = str
# a host, and a port
Address = tuple[str, int]
# of a body that the guest answers with
UNUSED, OPEN, FINISHED, DROPPED = "unused", "open", "finished", "dropped"


class BodyError(Exception):
    """A request's body did not arrive whole; `case` is the case of `error-code` for the guest."""

    def __init__(self, case: bytes) -> None:
        super().__init__(case.decode())
        self.case = case


class CallError(Exception):
    """A request is not made; `case` is the case of `error-code`."""

    def __init__(self, case: bytes) -> None:
        super().__init__(case.decode())
        self.case = case


class Peer(Protocol):
    """Whoever talks to the client; called in the thread of the guest."""

    stop: str | None
    """Why the guest must end at once, where it must."""

    def wants_body(self) -> None:
        """The guest is going to read the request's body."""

    def trailers(self) -> Sequence[Field] | None:
        """Skip the rest of the request's body, and return its trailers.

        Raises:
            BodyError: the body did not arrive whole.
        """

    def answered(self) -> None:
        """The guest has said status and header."""

    def opened(self) -> None:
        """The guest's ends of the FIFOs are open."""

    def ends(self) -> tuple[Address, Address]:
        """The client's address, and ours."""

    def ended(self) -> None:
        """The guest has ended, and said all that it is going to say."""


class Census(Protocol):
    """Whoever counts instances; called in the threads of the guests."""

    def made(self) -> None:
        """There is one more."""

    def gone(self) -> None:
        """There is one less."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `body` whole, or None where it is to be read from the FIFO `source`.

    The answer's body goes to the FIFO `sink`. Both are paths as this process sees them.
    """

    method: bytes
    target: bytes
    authority: bytes | None
    fields: Sequence[Field]
    body: bytes | None
    source: bytes
    sink: bytes
    protocol: bytes = b"HTTP/1.1"


class Seat(Protocol):
    """Where an instance stays between two requests; whoever serves one is alone with it."""

    living: Any
    """The instance that stays, or None."""


@dataclass(slots=True)
class Body:
    """A body that the guest writes; of a request of its own, with `call` and later `relay`."""

    state: BodyState = UNUSED
    is_answer: bool = True
    written: bool = False
    trailers: Sequence[Field] = ()
    call: Any = None
    relay: Any = None


@dataclass(slots=True)
class Response:
    """What the guest answers with."""

    headers: Fields
    status: int = 200
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the guest said through `response-outparam.set`: a response, or an `error-code`."""

    response: Response | None
    error: str = ""


@dataclass(slots=True)
class IncomingBody:
    """The request's body, or that of the answer to a `call`."""

    streamed: bool = False
    call: Any = None


@dataclass(slots=True)
class Trailers:
    """The future of a body's trailers."""

    got: bool = False
    call: Any = None


@dataclass(slots=True)
class OutgoingRequest:
    """A request that the guest would like to make."""

    headers: Fields
    method: tuple[bytes, bytes | None] = (b"get", None)
    scheme: tuple[bytes, bytes | None] | None = None
    target: bytes | None = None
    authority: bytes | None = None
    body: Body | None = None


@dataclass(slots=True)
class Options:
    """Timeouts of a request that the guest would like to make, in nanoseconds."""

    timeouts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Future:
    """The answer to a `call`, once it is there."""

    call: Any
    got: bool = False


@dataclass(slots=True)
class IncomingResponse:
    """The answer to a `call`."""

    call: Any
    consumed: bool = False


class Exchange:
    """One request, its guest's resources by their number, and the answer."""

    __slots__ = (
        "answer", "calls", "consumed", "native", "number", "over", "peer",
        "request", "scratch", "seat", "table", "trap",
    )  # fmt: skip

    def __init__(self, request: Request, peer: Peer, seat: Seat) -> None:
        self.request = request
        self.peer = peer
        self.seat = seat
        self.scratch = Scratch()
        self.consumed = False
        self.answer: Answer | None = None
        # why the guest ended early, with the backtrace
        self.trap: str | None = None
        # the key of `[http]` whose limit that is: memory only where it lacks from the first on
        self.over: str | None = None
        # makes one of wasmtime's streams; set while the guest runs
        self.native: Any = None
        # the guest's own requests, where it may make any; set while it runs
        self.calls: Any = None
        # what the guest holds, and the last number that it got
        self.table: dict[int, object] = {}
        self.number = 0

    def go_on_from(self, last: "Exchange") -> None:
        """Take over what the instance has from its last request, whose rest it cannot read now."""
        self.number, self.table = last.number, last.table
        self.scratch.context = last.scratch.context
        self.native, self.calls = last.native, last.calls
        for resource in self.table.values():
            if isinstance(resource, IncomingBody):
                resource.streamed = True
            elif isinstance(resource, Body):
                resource.written = True
            elif isinstance(resource, Trailers):
                resource.got = True

    def forget_guest(self) -> None:
        """The instance and its store are going to be taken apart; all of these may hold this."""
        self.native = self.calls = None
        self.table.clear()

    def close(self) -> None:
        """Its guest has ended: let go of the peer, which holds it, and which it would keep alive
        until Python's collector comes by, as all that a request needs."""
        del self.peer

    def add(self, resource: object) -> int:
        """Keep a resource; returns its number."""
        self.number += 1
        self.table[self.number] = resource
        return self.number

    def get(self, at: int) -> Any:
        """The resource that an argument borrows."""
        return self.table[self.scratch.take(at)]

    def take(self, at: int) -> Any:
        """The resource that an argument gives away."""
        return self.table.pop(self.scratch.take(at))

    def drop(self, number: int) -> None:
        """The guest lets go of a resource."""
        resource = self.table.pop(number, None)
        if isinstance(resource, Body) and resource.state == OPEN:
            resource.state = DROPPED
            if resource.relay is not None:
                # else the server would take it for whole
                resource.relay.aborted = True
