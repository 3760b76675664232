"""Requests that a serving guest would like to make: built as it likes, and refused when sent.

Rules: the guest gets an error that it can handle, never a trap; linking does not depend on it.
"""

from shim.engine.http import native as n
from shim.engine.http.contract import KINDS
from shim.engine.http.exchange import OPEN, Body, Exchange, Options, OutgoingRequest
from shim.engine.http.fields import Fields
from shim.engine.http.types import Function, provide

_VALUE = n.VALUE_BYTES
_REFUSAL = b"a component that serves HTTP cannot make requests of its own"
_TIMEOUTS = ("connect-timeout", "first-byte-timeout", "between-bytes-timeout")
# Only a request that was sent makes one of these, so no guest has any to call them on.
UNREACHABLE = (
    "[method]incoming-response.status",
    "[method]incoming-response.headers",
    "[method]incoming-response.consume",
    "[method]future-incoming-response.subscribe",
    "[method]future-incoming-response.get",
)


def refuse(x: Exchange, at: int, out: int) -> None:
    """`outgoing-handler.handle`: an error."""
    x.take(at)
    if n.is_some(at + _VALUE):
        x.take(n.some(at + _VALUE))
    s = x.scratch
    s.put_some_text(s.second, _REFUSAL)
    s.put_case_of(s.first, b"internal-error", s.second)
    s.put_result(out, s.first, ok=False)


@provide("[constructor]outgoing-request")
def _request(x: Exchange, at: int, out: int) -> None:
    x.scratch.put(out, x.add(OutgoingRequest(x.take(at))), KINDS["outgoing-request"])


@provide("[method]outgoing-request.body")
def _body(x: Exchange, at: int, out: int) -> None:
    request: OutgoingRequest = x.get(at)
    if request.body is not None:
        x.scratch.put_raw(out, n.FAILED)
        return
    request.body = Body(OPEN, is_answer=False)
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
