"""wasi:http for guests that are not served: what they import of it is ours, so that their requests
go through the same gate as those of any other.

For each guest, in this order: `outbound_of` before the jail; `check_http` before it is linked to
what `define_http` has defined; `lend` once its store is there, with its exchange in `LIVE` by the
number that the store carries. When it ends, its `calls` are to be closed.

Rules: a guest without a request of its own has no handle of one, nor of who asked, so nobody looks
at what its exchange says of them. Whoever imports no outgoing handler pays for nothing here.
"""

import sys
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import wasmtime

from shim.engine.guest import GuestFailure, Program, environment, listed
from shim.engine.http.contract import OUTGOING, PACKAGE, Declared
from shim.engine.http.exchange import Exchange, Request

if TYPE_CHECKING:
    from shim.engine.http.calls import Outbound

_NO_REQUEST = Request(b"", b"", None, (), None, b"", b"")
_NOBODY: Any = SimpleNamespace(stop=None)


def outbound_of(
    program: Program, imports: Iterable[str], engine: wasmtime.Engine
) -> "Outbound | None":
    """What a component needs that can make requests, or None; called before the jail."""
    if not any(name.startswith(OUTGOING) for name in imports):
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


def lend(exchange: Exchange, outbound: "Outbound | None", context: int) -> None:
    """Let the guest whose store has this context use wasi:http, and where there is `outbound`, make
    requests."""
    exchange.scratch.context = context
    if outbound is not None:
        exchange.calls = outbound.calls(context, lambda: exchange.peer.stop is not None)


def new_exchange() -> Exchange:
    """That of a guest which nobody asks for anything."""
    return Exchange(_NO_REQUEST, _NOBODY)
