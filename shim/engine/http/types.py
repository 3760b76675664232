"""wasi:http/types: each function, over values in wasmtime's memory.

Rules: a function gets the exchange, the address of its arguments and that of its result. Every
handle that it is given is taken or dropped, else wasmtime ends the guest. Names and meaning are
those of wasi:http 0.2; what a guest may do only once answers an error the second time, as there.
"""

from collections.abc import Callable, Sequence

from shim.engine.http import native as n
from shim.engine.http.contract import KINDS
from shim.engine.http.exchange import (
    FINISHED,
    OPEN,
    Answer,
    Body,
    BodyError,
    Exchange,
    IncomingBody,
    Response,
    Trailers,
)
from shim.engine.http.fields import Field, FieldError, Fields

Function = Callable[[Exchange, int, int], None]

FUNCTIONS: dict[str, Function] = {}
_FIELDS = KINDS["fields"]
_METHODS = frozenset(
    (
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
    )
)  # fmt: skip
_VALUE = n.VALUE_BYTES


def provide(name: str) -> Callable[[Function], Function]:
    """Register the function of this name."""

    def register(function: Function) -> Function:
        FUNCTIONS[name] = function
        return function

    return register


@provide("[constructor]fields")
def _fields(x: Exchange, _: int, out: int) -> None:
    x.scratch.put(out, x.add(Fields()), _FIELDS)


@provide("[static]fields.from-list")
def _from_list(x: Exchange, at: int, out: int) -> None:
    fields = Fields()
    try:
        for item in n.items(at):
            name, value = n.pair(item)
            fields.append(n.text(name), n.octets(value))
    except FieldError as error:
        x.scratch.put_error(out, error.case)
    else:
        x.scratch.put_ok(out, x.add(fields), _FIELDS)


@provide("[method]fields.get")
def _get(x: Exchange, at: int, out: int) -> None:
    values = x.get(at).get(n.text(at + _VALUE))
    for place, value in zip(x.scratch.put_list(out, len(values)), values, strict=True):
        x.scratch.put_octets(place, value)


@provide("[method]fields.has")
def _has(x: Exchange, at: int, out: int) -> None:
    found = x.get(at).get(n.text(at + _VALUE))
    x.scratch.put_raw(out, n.TRUE if found else n.FALSE)


@provide("[method]fields.set")
def _set(x: Exchange, at: int, out: int) -> None:
    fields, name = x.get(at), n.text(at + _VALUE)
    values = [n.octets(item) for item in n.items(at + 2 * _VALUE)]
    _try(x, out, lambda: fields.set(name, values))


@provide("[method]fields.delete")
def _delete(x: Exchange, at: int, out: int) -> None:
    fields, name = x.get(at), n.text(at + _VALUE)
    _try(x, out, lambda: fields.delete(name))


@provide("[method]fields.append")
def _append(x: Exchange, at: int, out: int) -> None:
    fields, name, value = x.get(at), n.text(at + _VALUE), n.octets(at + 2 * _VALUE)
    _try(x, out, lambda: fields.append(name, value))


@provide("[method]fields.entries")
def _entries(x: Exchange, at: int, out: int) -> None:
    entries = x.get(at).fields
    for place, (name, value) in zip(x.scratch.put_list(out, len(entries)), entries, strict=True):
        first, second = x.scratch.put_pair(place)
        x.scratch.put_text(first, name)
        x.scratch.put_octets(second, value)


@provide("[method]fields.clone")
def _clone(x: Exchange, at: int, out: int) -> None:
    x.scratch.put(out, x.add(Fields(x.get(at).fields)), _FIELDS)


@provide("[method]incoming-request.method")
def _method(x: Exchange, at: int, out: int) -> None:
    method = x.get(at).method
    if method in _METHODS:
        x.scratch.put_case(out, method.lower())
    else:
        x.scratch.put_case(out, b"other", method)


@provide("[method]incoming-request.path-with-query")
def _target(x: Exchange, at: int, out: int) -> None:
    x.scratch.put_some_text(out, x.get(at).target)


@provide("[method]incoming-request.scheme")
def _scheme(x: Exchange, at: int, out: int) -> None:
    x.get(at)
    x.scratch.put_case(x.scratch.first, b"HTTP")
    x.scratch.put_some(out, x.scratch.first)


@provide("[method]incoming-request.authority")
def _authority(x: Exchange, at: int, out: int) -> None:
    authority = x.get(at).authority
    if authority is None:
        x.scratch.put_raw(out, n.NONE)
    else:
        x.scratch.put_some_text(out, authority)


@provide("[method]incoming-request.headers")
def _request_headers(x: Exchange, at: int, out: int) -> None:
    x.scratch.put(out, x.add(Fields(x.get(at).fields, mutable=False)), _FIELDS)


@provide("[method]incoming-request.consume")
def _consume(x: Exchange, at: int, out: int) -> None:
    # An instance that stays may have kept an earlier request, whose body is gone.
    if x.get(at) is not x.request or x.consumed:
        x.scratch.put_raw(out, n.FAILED)
        return
    x.consumed = True
    x.scratch.put_ok(out, x.add(IncomingBody()), KINDS["incoming-body"])


@provide("[method]incoming-body.stream")
def _stream(x: Exchange, at: int, out: int) -> None:
    body: IncomingBody = x.get(at)
    if body.streamed:
        x.scratch.put_raw(out, n.FAILED)
        return
    body.streamed = True
    if body.call is not None:
        stream = x.calls.stream(body.call)
        if stream is None:
            x.scratch.put_raw(out, n.FAILED)
        else:
            x.scratch.put_native_ok(out, stream)
        return
    x.peer.wants_body()
    x.scratch.put_native_ok(out, x.native("in"))


@provide("[static]incoming-body.finish")
def _finish_incoming(x: Exchange, at: int, out: int) -> None:
    body: IncomingBody = x.take(at)
    x.scratch.put(out, x.add(Trailers(call=body.call)), KINDS["future-trailers"])


@provide("[method]future-trailers.subscribe")
def _subscribe(x: Exchange, at: int, out: int) -> None:
    # Ready at once, or with the answer's header, which is there: it is `get` that waits.
    call = x.get(at).call
    x.scratch.put_native(out, x.native("ready") if call is None else x.calls.ready(call))


@provide("[method]future-trailers.get")
def _trailers(x: Exchange, at: int, out: int) -> None:
    future: Trailers = x.get(at)
    s = x.scratch
    if future.got:
        s.put_raw(s.second, n.FAILED)
        s.put_some(out, s.second)
        return
    future.got = True
    try:
        fields = x.peer.trailers() if future.call is None else x.calls.trailers(future.call)
    except BodyError as error:
        s.put_error(s.second, error.case)
    else:
        if fields is None:
            s.put_raw(s.first, n.NONE)
        else:
            s.put(s.second, x.add(Fields(fields, mutable=False)), _FIELDS)
            s.put_some(s.first, s.second)
        s.put_result(s.second, s.first, ok=True)
    s.put_result(s.first, s.second, ok=True)
    s.put_some(out, s.first)


@provide("[constructor]outgoing-response")
def _response(x: Exchange, at: int, out: int) -> None:
    x.scratch.put(out, x.add(Response(x.take(at))), KINDS["outgoing-response"])


@provide("[method]outgoing-response.status-code")
def _status(x: Exchange, at: int, out: int) -> None:
    x.scratch.put_u16(out, x.get(at).status)


@provide("[method]outgoing-response.set-status-code")
def _set_status(x: Exchange, at: int, out: int) -> None:
    response, status = x.get(at), n.u16(at + _VALUE)
    # A final answer is what comes here; 1xx announce one.
    if not 200 <= status <= 999:
        x.scratch.put_raw(out, n.FAILED)
        return
    response.status = status
    x.scratch.put_raw(out, n.OK)


@provide("[method]outgoing-response.headers")
def _response_headers(x: Exchange, at: int, out: int) -> None:
    _give_headers(x, x.get(at).headers, out)


@provide("[method]outgoing-response.body")
def _response_body(x: Exchange, at: int, out: int) -> None:
    response: Response = x.get(at)
    # Who does not serve has nobody to answer.
    if response.body is not None or x.native is None:
        x.scratch.put_raw(out, n.FAILED)
        return
    response.body = Body(OPEN)
    x.scratch.put_ok(out, x.add(response.body), KINDS["outgoing-body"])


@provide("[method]outgoing-body.write")
def _write(x: Exchange, at: int, out: int) -> None:
    body: Body = x.get(at)
    if body.written or not (body.is_answer or body.call):
        x.scratch.put_raw(out, n.FAILED)
        return
    body.written = True
    x.scratch.put_native_ok(out, x.calls.out(body.call) if body.call else x.native("out"))


@provide("[static]outgoing-body.finish")
def _finish(x: Exchange, at: int, out: int) -> None:
    body: Body = x.take(at)
    if n.is_some(at + _VALUE):
        body.trailers = _copied(x.take(n.some(at + _VALUE)))
    body.state = FINISHED
    if body.call:
        if body.relay is not None:
            body.relay.trailers = body.trailers
        x.calls.finish(body.call)
    x.scratch.put_raw(out, n.OK)


@provide("[static]response-outparam.set")
def _answer(x: Exchange, at: int, _: int) -> None:
    x.take(at)
    result = at + _VALUE
    if n.is_ok(result):
        x.answer = Answer(x.take(n.payload(result)))
    else:
        name, held = n.case(n.payload(result))
        text = n.text(n.some(held)).decode(errors="replace") if _has_text(name, held) else ""
        x.answer = Answer(None, f"{name.decode()}{': ' if text else ''}{text}")
    x.peer.answered()


@provide("http-error-code")
def _error_code(x: Exchange, at: int, out: int) -> None:
    # Streams of bodies fail for reasons of the operating system, not of HTTP.
    x.scratch.drop(at)
    x.scratch.put_raw(out, n.NONE)


def _has_text(name: bytes, held: int) -> bool:
    return name == b"internal-error" and bool(held) and n.is_some(held)


def _copied(fields: Fields) -> Sequence[Field]:
    return tuple(fields.fields)


def _give_headers(x: Exchange, fields: Fields, out: int) -> None:
    x.scratch.put(out, x.add(Fields(fields.fields, mutable=False)), _FIELDS)


def _try(x: Exchange, out: int, change: Callable[[], None]) -> None:
    try:
        change()
    except FieldError as error:
        x.scratch.put_error(out, error.case)
    else:
        x.scratch.put_raw(out, n.OK)
