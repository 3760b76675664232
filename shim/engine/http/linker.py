"""What a component's imports of wasi:http are linked to: made once, before any fork.

Rules: callbacks hold no state of a guest; they find its exchange by the number that its store
carries. Making all this starts no thread: the engine compiles in the calling thread, and only our
helper.
"""

import ctypes
import functools
from collections.abc import Iterable
from typing import Any

from wasmtime import component

from shim.engine.code import Checks
from shim.engine.config import serving_engine
from shim.engine.http import native as n
from shim.engine.http import outgoing
from shim.engine.http.contract import (
    GET_STDOUT,
    HANDLE,
    KINDS,
    OUTGOING,
    STDOUT,
    TYPES,
)
from shim.engine.http.exchange import Exchange
from shim.engine.http.helper import EXPORTS, TEXT
from shim.engine.http.types import FUNCTIONS, Function

# wasmtime finds them under every 0.2.x
_TYPES, _OUTGOING = f"{TYPES}0", f"{OUTGOING}0"

# The exchanges whose guests run, by the number in their store.
LIVE: dict[int, Exchange] = {}


class Host:
    """Engine, linkers and helper of every serving component."""

    def __init__(self, checks: Checks) -> None:
        self.engine = serving_engine(checks)
        self._get_stdout = n.FUNCTION(_callback(_get_stdout))
        self.helper = component.Component(self.engine, TEXT)
        self.helper_linker = component.Linker(self.engine)
        self.helper_linker.add_wasip2()
        self.exports = [self.helper.get_export_index(name) for name in EXPORTS]
        self.linker = component.Linker(self.engine)
        self.linker.allow_shadowing = True
        self.linker.add_wasip2()
        self.epoch = n.EPOCH(_epoch)
        define_http(self.linker)

    def send_prints_to_stderr(self, imports: Iterable[str]) -> None:
        """Let what a component prints, by the name of its import, go where no body is."""
        with self.linker.root() as root:
            for name in imports:
                if name.startswith(STDOUT):
                    with root.add_instance(name) as stdout:
                        _add_function(stdout, GET_STDOUT, self._get_stdout)


@functools.cache
def serving_host(checks: Checks) -> Host:
    """The one of this process and of those that it forks, for artefacts with these checks."""
    return Host(checks)


def define_http(linker: component.Linker) -> None:
    """Define wasi:http/types and its outgoing handler, for guests whose exchange is in `LIVE`."""
    callbacks = _callbacks()
    with linker.root() as root:
        with root.add_instance(_TYPES) as types:
            for name, kind in KINDS.items():
                _add_resource(types, name, kind, callbacks.destructor)
            for name, callback in callbacks.types.items():
                _add_function(types, name, callback)
        with root.add_instance(_OUTGOING) as handler:
            _add_function(handler, HANDLE, callbacks.send)


class _Callbacks:
    """What wasmtime calls, for as long as any linker lives."""

    def __init__(self) -> None:
        self.types = {name: n.FUNCTION(_callback(function)) for name, function in FUNCTIONS.items()}
        self.send = n.FUNCTION(_callback(outgoing.send))
        self.destructor = n.DESTRUCTOR(_drop)


@functools.cache
def _callbacks() -> _Callbacks:
    return _Callbacks()


def _add_function(instance: Any, name: str, callback: Any) -> None:
    encoded, pointer = name.encode(), ctypes.cast(callback, ctypes.c_void_p)
    n.check(n.add_function(n.address(instance), encoded, len(encoded), pointer, None, None))


def _add_resource(instance: Any, name: str, kind: int, callback: Any) -> None:
    resource, encoded = component.ResourceType.host(kind), name.encode()
    destructor = ctypes.cast(callback, ctypes.c_void_p)
    n.check(
        n.add_resource(
            n.address(instance), encoded, len(encoded), n.address(resource), destructor, None, None
        )
    )


def _callback(function: Function) -> Any:
    live, data, error_new = LIVE, n.context_data, n.error_new

    def call(
        _: int, context: int, __: int, arguments: int, ___: int, results: int, ____: int
    ) -> int | None:
        try:
            exchange = live[data(context)]
            if exchange.peer.stop is not None:
                return error_new(exchange.peer.stop.encode(errors="replace")) or None
            function(exchange, arguments, results)
        except Exception as error:  # noqa: BLE001 (the last Python frame: wasmtime gets the text)
            return error_new(f"{type(error).__name__}: {error}".encode(errors="replace")) or None
        return None

    return call


def _drop(_: int, context: int, number: int) -> None:
    exchange = LIVE.get(n.context_data(context))
    if exchange is not None:
        exchange.drop(number)


def _epoch(_: int, data: int, ticks: int, kind: int) -> int | None:
    exchange = LIVE.get(data)
    if exchange is not None and exchange.peer.stop is not None:
        return n.error_new(exchange.peer.stop.encode(errors="replace")) or None
    ctypes.c_uint64.from_address(ticks).value = 1
    ctypes.c_uint8.from_address(kind).value = 0
    return None


def _get_stdout(x: Exchange, _: int, out: int) -> None:
    x.scratch.put_native(out, x.native("err"))
