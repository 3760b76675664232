"""The requests that one guest makes: what the relay carries, and wasmtime's streams for it.

Rules: called in the guest's thread alone. Only a component that imports the outgoing handler has
any of this, and an instance of the conduit is made when it makes its first request. A request whose
server cannot be reached fails at once, in `handle`; what happens later is the future's to tell.
"""

import contextlib
import ctypes
import functools
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from wasmtime import (
    _bindings,  # type: ignore[attr-defined,unused-ignore]
    component,
)

from shim.engine.http import native as n
from shim.engine.http.conduit import EXPORTS, MAX_REQUESTS, TEXT
from shim.engine.http.exchange import (
    DROPPED,
    BodyError,
    CallError,
    Options,
    OutgoingRequest,
)
from shim.engine.http.fields import Field
from shim.errdefs import InvalidArgumentError
from shim.outbound.dial import Dialer, DialError
from shim.outbound.messages import Head
from shim.outbound.policy import Policy
from shim.outbound.relay import Relay, Timeouts
from shim.outbound.target import Target, parse_target

_MAX_IN_FLIGHT = 128
_NANOSECONDS = 1e9
# of wasmtime's own client
_DEFAULT_S, _LONGEST_S = 600.0, 86400.0
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_PATH = re.compile(rb"/[\x21-\x7e]*").fullmatch


class Outbound:
    """What all guests of a container share to make requests; made before the jail."""

    def __init__(self, policy: Policy, env: dict[str, str], engine: Any) -> None:
        self.policy = policy
        self.dialer = Dialer(policy, env)
        self._engine = engine

    def conduit(self) -> "Conduit":
        """Made when it is first asked for, which needs no file; costs some 8 ms and 2 MB."""
        return _conduit(self._engine)

    def calls(self, context: int, stopped: Callable[[], bool]) -> "Calls":
        """Those of one guest, whose store has this context."""
        return Calls(self, context, stopped)

    def target(self, request: OutgoingRequest) -> tuple[Target, bool]:
        """Where a request goes, and whether that is the guest's own server.

        Raises:
            InvalidArgumentError: nowhere.
        """
        scheme = "https" if request.scheme is None else _scheme(request.scheme)
        if request.authority is not None:
            try:
                return parse_target(scheme, request.authority.decode()), False
            except UnicodeDecodeError as error:
                raise InvalidArgumentError("the authority is no text") from error
        if self.policy.own is None:
            raise InvalidArgumentError("the request names no server")
        return parse_target("http", self.policy.own), True


class Conduit:
    """The second component, and what it is linked to."""

    def __init__(self, engine: Any) -> None:
        self.component = component.Component(engine, TEXT)
        self.linker = component.Linker(engine)
        self.linker.add_wasip2()
        self.linker.add_wasi_http()
        self.exports = [self.component.get_export_index(name) for name in EXPORTS]


@functools.cache
def _conduit(engine: Any) -> Conduit:
    return Conduit(engine)


class Call:
    """One request, and in the end its answer; it lives as long as the guest holds a part of it."""

    def __init__(self, number: int, spent: "list[tuple[int, Relay | None]]") -> None:
        self.number = number
        self.relay: Relay | None = None
        self.finished = False
        self._spent = spent

    def __del__(self) -> None:
        self._spent.append((self.number, self.relay))


class Calls:
    """The requests of one guest."""

    def __init__(self, shared: Outbound, context: int, stopped: Callable[[], bool]) -> None:
        self._shared = shared
        self._context = context
        self._stopped = stopped
        self._instance: Any = None
        self._conduit: Any = None
        # numbers to give again, and how many there are
        self._free: list[int] = []
        self._numbers = 0
        # what the guest has let go of; its relays may still be busy
        self._spent: list[tuple[int, Relay | None]] = []
        self._relays: list[Relay] = []

    @property
    def held(self) -> int:
        """How many requests the guest holds, or has let go of lately, of MAX_REQUESTS."""
        return self._numbers - len(self._free)

    def new(self) -> Call:
        """A request that is not sent yet.

        Raises:
            CallError: there are too many.
        """
        self._let_go()
        if not self._free:
            if self._numbers >= MAX_REQUESTS:
                raise CallError(b"connection-limit-reached")
            self._free.append(self._numbers)
            self._numbers += 1
        number = self._free.pop()
        self._call("new", number)
        return Call(number, self._spent)

    def out(self, call: Call) -> int:
        """The stream that the body of a request is written to; to be given away."""
        return self._resource("out", call)

    def finish(self, call: Call) -> None:
        """The body of a request is whole."""
        if not call.finished:
            call.finished = True
            self._call("finish", call.number)

    def ready(self, call: Call) -> int:
        """What becomes ready when the answer or its failure is there; to be given away."""
        return self._resource("ready", call)

    def stream(self, call: Call) -> int | None:
        """The stream of an answer's body; to be given away. None where the answer has ended."""
        result = self._call("in", call.number, results=1)
        at = ctypes.addressof(result)
        if not n.is_ok(at):
            return None
        stream = n.payload_resource(n.payload(at))
        # The result's box is freed, and the stream that was in it lives.
        n.forget_resource(n.payload(at))
        n.value_delete(at)
        return stream

    def send(self, request: OutgoingRequest, options: Options | None) -> Call:
        """Connect, and let the relay carry the request.

        Raises:
            CallError: why not.
        """
        self._relays = [relay for relay in self._relays if not relay.over.is_set()]
        if len(self._relays) >= _MAX_IN_FLIGHT:
            raise CallError(b"connection-limit-reached")
        try:
            target, to_self = self._shared.target(request)
        except InvalidArgumentError as error:
            _tell(f"request refused: {error}")
            raise CallError(b"HTTP-request-URI-invalid") from error
        head = _head(request, target)
        timeouts = _timeouts(options)
        body = request.body
        call = body.call if body is not None and body.call is not None else self.new()
        try:
            server = self._shared.dialer.connect(target, timeouts.connect_s, to_self=to_self)
        except DialError as error:
            _tell(f"request refused or failed: {error.case.decode()}: {error}")
            raise CallError(error.case) from error
        try:
            relay = Relay(server, head, timeouts, self._stopped)
        except OSError as error:
            server.close()
            _tell(f"request failed: {target.authority}: {error.strerror}")
            raise CallError(b"connection-limit-reached") from error
        try:
            relay.start()
        except RuntimeError as error:
            relay.close()
            raise CallError(b"connection-limit-reached") from error
        call.relay = relay
        self._relays.append(relay)
        if body is None:
            self.finish(call)
        else:
            body.relay = relay
            relay.trailers = body.trailers
            relay.aborted = body.state == DROPPED
        self._call("send", call.number, relay.authority.encode(), relay.path.encode())
        return call

    def trailers(self, call: Call) -> Sequence[Field] | None:
        """Skip the rest of an answer's body, and return its trailers.

        Raises:
            BodyError: it did not arrive whole.
        """
        relay = call.relay
        if relay is None:
            return None
        relay.discard = True
        relay.over.wait()
        if relay.failed is not None:
            raise BodyError(relay.failed)
        return relay.answer_trailers or None

    def close(self) -> None:
        """The guest has ended or answered, and its requests end with that."""
        for relay in self._relays:
            relay.aborted = True

    def _let_go(self) -> None:
        """Drop what is left of requests that the guest has forgotten, once they are over: a request
        goes on without anybody who waits for its answer."""
        spent, self._spent[:] = list(self._spent), ()
        for number, relay in spent:
            if relay is None or relay.over.is_set():
                self._call("drop", number)
                self._free.append(number)
            else:
                self._spent.append((number, relay))

    def _resource(self, name: str, call: Call) -> int:
        result = self._call(name, call.number, results=1)
        return n.payload_resource(ctypes.addressof(result))

    def _call(self, name: str, *arguments: int | bytes, results: int = 0) -> Any:
        if self._instance is None:
            n.set_wasi_http(self._context)
            instance = _bindings.wasmtime_component_instance_t()
            conduit, at = self._shared.conduit(), ctypes.addressof(instance)
            linker, made = n.address(conduit.linker), n.address(conduit.component)
            n.check(n.instantiate(linker, self._context, made, at))
            self._instance, self._conduit = instance, conduit
        function = _bindings.wasmtime_component_func_t()
        index = n.address(self._conduit.exports[EXPORTS.index(name)])
        at = ctypes.addressof(function)
        n.get_function(ctypes.addressof(self._instance), self._context, index, at)
        given = (ctypes.c_uint8 * (n.VALUE_BYTES * max(len(arguments), 1)))()
        result = (ctypes.c_uint8 * n.VALUE_BYTES)()
        first, out = ctypes.addressof(given), ctypes.addressof(result)
        places = range(first, first + n.VALUE_BYTES * len(arguments), n.VALUE_BYTES)
        scratch = n.Scratch()
        try:
            for place, argument in zip(places, arguments, strict=True):
                if isinstance(argument, int):
                    scratch.put_u32(place, argument)
                else:
                    scratch.put_text(place, argument)
            n.check(
                n.call(at, self._context, first, len(arguments), out if results else None, results)
            )
        finally:
            for place in places:
                n.value_delete(place)
        return result


def _scheme(scheme: tuple[bytes, bytes | None]) -> str:
    name, other = scheme
    return (other if other is not None else name).decode(errors="replace")


def _head(request: OutgoingRequest, target: Target) -> Head:
    name, other = request.method
    method = name.upper() if other is None else other
    if not _TOKEN(method) or method == b"CONNECT":
        raise CallError(b"HTTP-request-method-invalid")
    path = request.target or b"/"
    if path.startswith(b"?"):
        path = b"/" + path
    if not _PATH(path):
        raise CallError(b"HTTP-request-URI-invalid")
    fields = tuple(request.headers.fields)
    return Head(method, path, target.authority.encode(), fields, request.body is not None)


def _timeouts(options: Options | None) -> Timeouts:
    given = options.timeouts if options is not None else {}
    connect, first, between = (
        min(given[name] / _NANOSECONDS, _LONGEST_S) if name in given else _DEFAULT_S
        for name in ("connect-timeout", "first-byte-timeout", "between-bytes-timeout")
    )
    return Timeouts(max(connect, 0.001), first, between)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"tandem: {text}\n".encode(errors="replace"))
