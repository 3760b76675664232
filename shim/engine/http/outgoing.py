"""Requests that a guest makes, and their answers; `calls` carries them.

Rules: the guest gets an error that it can handle, never a trap; linking does not depend on whether
it may make any. Nothing is looked at before the request is sent.
"""

from shim.engine.http import native as n
from shim.engine.http.contract import KINDS
from shim.engine.http.exchange import (
    OPEN,
    Body,
    CallError,
    Exchange,
    Future,
    IncomingBody,
    IncomingResponse,
    Options,
    OutgoingRequest,
)
from shim.engine.http.fields import Fields
from shim.engine.http.types import Function, provide

_VALUE = n.VALUE_BYTES
_TIMEOUTS = ("connect-timeout", "first-byte-timeout", "between-bytes-timeout")


def send(x: Exchange, at: int, out: int) -> None:
    """`outgoing-handler.handle`: the future of an answer, or an error."""
    request: OutgoingRequest = x.take(at)
    options: Options | None = x.take(n.some(at + _VALUE)) if n.is_some(at + _VALUE) else None
    try:
        call = x.calls.send(request, options)
    except CallError as error:
        _put_code(x, out, error.case)
    else:
        x.scratch.put_ok(out, x.add(Future(call)), KINDS["future-incoming-response"])


@provide("[method]future-incoming-response.subscribe")
def _subscribe(x: Exchange, at: int, out: int) -> None:
    x.scratch.put_native(out, x.calls.ready(x.get(at).call))


@provide("[method]future-incoming-response.get")
def _get(x: Exchange, at: int, out: int) -> None:
    future: Future = x.get(at)
    s, relay = x.scratch, future.call.relay
    if not relay.answered.is_set():
        s.put_raw(out, n.NONE)
        return
    if future.got:
        s.put_raw(s.second, n.FAILED)
        s.put_some(out, s.second)
        return
    future.got = True
    if relay.status:
        s.put_ok(s.second, x.add(IncomingResponse(future.call)), KINDS["incoming-response"])
    else:
        _put_code(x, s.second, relay.failed)
    s.put_result(s.first, s.second, ok=True)
    s.put_some(out, s.first)


@provide("[method]incoming-response.status")
def _status(x: Exchange, at: int, out: int) -> None:
    x.scratch.put_u16(out, x.get(at).call.relay.status)


@provide("[method]incoming-response.headers")
def _answer_headers(x: Exchange, at: int, out: int) -> None:
    fields = Fields(x.get(at).call.relay.fields, mutable=False)
    x.scratch.put(out, x.add(fields), KINDS["fields"])


@provide("[method]incoming-response.consume")
def _consume(x: Exchange, at: int, out: int) -> None:
    response: IncomingResponse = x.get(at)
    if response.consumed:
        x.scratch.put_raw(out, n.FAILED)
        return
    response.consumed = True
    x.scratch.put_ok(out, x.add(IncomingBody(call=response.call)), KINDS["incoming-body"])


@provide("[constructor]outgoing-request")
def _request(x: Exchange, at: int, out: int) -> None:
    x.scratch.put(out, x.add(OutgoingRequest(x.take(at))), KINDS["outgoing-request"])


@provide("[method]outgoing-request.body")
def _body(x: Exchange, at: int, out: int) -> None:
    request: OutgoingRequest = x.get(at)
    # Who does not import the handler has nobody to send it.
    if request.body is not None or x.calls is None:
        x.scratch.put_raw(out, n.FAILED)
        return
    try:
        call = x.calls.new()
    except CallError:
        x.scratch.put_raw(out, n.FAILED)
        return
    request.body = Body(OPEN, is_answer=False, call=call)
    x.scratch.put_ok(out, x.add(request.body), KINDS["outgoing-body"])


@provide("[method]outgoing-request.method")
def _method(x: Exchange, at: int, out: int) -> None:
    x.scratch.put_case(out, *x.get(at).method)


@provide("[method]outgoing-request.set-method")
def _set_method(x: Exchange, at: int, out: int) -> None:
    x.get(at).method = _case(at + _VALUE)
    x.scratch.put_raw(out, n.OK)


@provide("[method]outgoing-request.scheme")
def _scheme(x: Exchange, at: int, out: int) -> None:
    scheme = x.get(at).scheme
    if scheme is None:
        x.scratch.put_raw(out, n.NONE)
        return
    x.scratch.put_case(x.scratch.first, *scheme)
    x.scratch.put_some(out, x.scratch.first)


@provide("[method]outgoing-request.set-scheme")
def _set_scheme(x: Exchange, at: int, out: int) -> None:
    held = at + _VALUE
    x.get(at).scheme = _case(n.some(held)) if n.is_some(held) else None
    x.scratch.put_raw(out, n.OK)


@provide("[method]outgoing-request.path-with-query")
def _target(x: Exchange, at: int, out: int) -> None:
    _give_text(x, x.get(at).target, out)


@provide("[method]outgoing-request.set-path-with-query")
def _set_target(x: Exchange, at: int, out: int) -> None:
    x.get(at).target = _optional_text(at + _VALUE)
    x.scratch.put_raw(out, n.OK)


@provide("[method]outgoing-request.authority")
def _authority(x: Exchange, at: int, out: int) -> None:
    _give_text(x, x.get(at).authority, out)


@provide("[method]outgoing-request.set-authority")
def _set_authority(x: Exchange, at: int, out: int) -> None:
    x.get(at).authority = _optional_text(at + _VALUE)
    x.scratch.put_raw(out, n.OK)


@provide("[method]outgoing-request.headers")
def _headers(x: Exchange, at: int, out: int) -> None:
    fields = Fields(x.get(at).headers.fields, mutable=False)
    x.scratch.put(out, x.add(fields), KINDS["fields"])


@provide("[constructor]request-options")
def _options(x: Exchange, _: int, out: int) -> None:
    x.scratch.put(out, x.add(Options()), KINDS["request-options"])


def _getter(name: str) -> Function:
    def get(x: Exchange, at: int, out: int) -> None:
        timeout = x.get(at).timeouts.get(name)
        if timeout is None:
            x.scratch.put_raw(out, n.NONE)
            return
        x.scratch.put_u64(x.scratch.first, timeout)
        x.scratch.put_some(out, x.scratch.first)

    return get


def _setter(name: str) -> Function:
    def change(x: Exchange, at: int, out: int) -> None:
        timeouts, held = x.get(at).timeouts, at + _VALUE
        if n.is_some(held):
            timeouts[name] = n.u64(n.some(held))
        else:
            timeouts.pop(name, None)
        x.scratch.put_raw(out, n.OK)

    return change


for _name in _TIMEOUTS:
    provide(f"[method]request-options.{_name}")(_getter(_name))
    provide(f"[method]request-options.set-{_name}")(_setter(_name))


def _put_code(x: Exchange, at: int, case: bytes) -> None:
    """A result that failed with this case, and with nothing in the option that some hold."""
    s = x.scratch
    if case == b"DNS-error":
        s.put_options(at, (b"rcode", b"info-code"))
        s.put_case_of(s.first, case, at)
    else:
        s.put_case(s.first, case)
    s.put_result(at, s.first, ok=False)


def _case(at: int) -> tuple[bytes, bytes | None]:
    name, held = n.case(at)
    return name, n.text(held) if held else None


def _optional_text(at: int) -> bytes | None:
    return n.text(n.some(at)) if n.is_some(at) else None


def _give_text(x: Exchange, text: bytes | None, out: int) -> None:
    if text is None:
        x.scratch.put_raw(out, n.NONE)
    else:
        x.scratch.put_some_text(out, text)
