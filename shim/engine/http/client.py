"""wasi:http for guests that are not served: what they import of it is ours, so that their requests
go through the same gate as those of any other.

In this order: `outbound_of` before the jail; `check_http` before the guest is linked to what
`define_http` has defined; `begin` once its store is there. A guest that is one of many in a process
has an exchange already: it needs no `begin`, but its exchange `calls`, which are closed at its end.

Rules: a guest without a request of its own has no handle of one, nor of who asked, so nobody looks
at what its exchange says of them. Whoever imports no outgoing handler pays for nothing here.
"""

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import component

from shim.engine.guest import GuestFailure, Program, environment, listed
from shim.engine.http import native as n
from shim.engine.http.contract import OUTGOING, PACKAGE, Declared
from shim.engine.http.exchange import Exchange, Request
from shim.engine.http.linker import LIVE

if TYPE_CHECKING:
    from shim.engine.http.calls import Outbound

_NO_REQUEST = Request(b"", b"", None, (), None, b"", b"")
_NOBODY: Any = SimpleNamespace(stop=None, living=None)


def outbound_of(
    program: Program, guest: component.Component, engine: wasmtime.Engine
) -> "Outbound | None":
    """What a component needs that can make requests, or None; called before the jail."""
    if not any(name.startswith(OUTGOING) for name in guest.type.imports(engine)):
        return None
    # The daemon's entry for it makes an import fail: shim/daemon/unneeded.py.
    if sys.modules.get("ssl", sys) is None:
        del sys.modules["ssl"]
    from shim.engine.http.calls import Outbound  # noqa: PLC0415 (it brings TLS and threads)

    return Outbound(program.outbound, dict(environment(program)), engine)


def check_http(imports: Mapping[str, Any], engine: wasmtime.Engine) -> bool:
    """Compare what a component imports of wasi:http with what we have; whether it imports any.

    Raises:
        GuestFailure: it wants something that nobody provides, or in another type.
    """
    if not any(name.startswith(PACKAGE) for name in imports):
        return False
    declared = Declared(imports, engine)
    if missing := declared.unknown():
        raise GuestFailure(f"component imports {listed(missing)}, which nobody provides to it")
    declared.check_imports()
    return True


def begin(context: int, outbound: "Outbound | None") -> None:
    """Let the one guest of this process, whose store has this context, use wasi:http, and where
    there is `outbound`, make requests."""
    LIVE[n.context_data(context)] = exchange = Exchange(_NO_REQUEST, _NOBODY, _NOBODY)
    exchange.scratch.context = context
    if outbound is not None:
        exchange.calls = outbound.calls(context, lambda: False)
