"""A component that answers HTTP requests: each by an instance of its own, unless it may stay.

Rules: everything that all requests share is made before the first; a request costs a store, an
instance and its callbacks. `handle` may be called by any number of threads at the same time. What
limits a guest is set anew for each request, also where its instance has stayed.
"""

import ctypes
import itertools
import re
from collections.abc import Iterable
from typing import Any

import wasmtime
from wasmtime import (
    _bindings,  # type: ignore[attr-defined,unused-ignore]
    component,
)

from shim.engine.code import Checks
from shim.engine.guest import (
    PROVIDED,
    GuestFailure,
    Program,
    environment,
    is_provided,
    listed,
    reason_of,
)
from shim.engine.http import native as n
from shim.engine.http.client import outbound_of
from shim.engine.http.contract import HANDLE, HANDLER, KINDS, Declared
from shim.engine.http.exchange import Census, Exchange
from shim.engine.http.helper import EXPORTS
from shim.engine.http.linker import LIVE, serving_host
from shim.engine.http.pool import Living
from shim.engine.http.wasi import Texts, Wasi
from shim.engine.interfaces.provider import INTERFACES, Provider, stores_of
from shim.errdefs import StaleArtefactError

_TOO_SMALL = re.compile(r"memory minimum size of \d+ pages exceeds memory limits\s*").fullmatch


class Service:
    """One component, from its artefact to its answers."""

    def __init__(self, program: Program, memory_bytes: int, reuse: int = 1, fuel: int = 0) -> None:
        """Map the artefact.

        Args:
            program: what is served; its function is not used.
            memory_bytes: what each linear memory of an instance may grow to.
            reuse: how many requests an instance may answer, one after the other.
            fuel: how many instructions a request may take, where the artefact counts them; 0 where
                it does not.

        Raises:
            StaleArtefactError: wasmtime refuses the artefact, or it is gone.
        """
        self._host = serving_host(Checks.FUEL if fuel else Checks.STOP)
        self._engine = self._host.engine
        try:
            self._component = component.Component.deserialize_file(
                self._engine, str(program.artefact)
            )
        except wasmtime.WasmtimeError as error:
            raise StaleArtefactError(
                f"cannot load the artefact {program.artefact}: {error}; it has to be compiled again"
            ) from error
        self._stores = stores_of(program, self._component, self._engine)
        self._outbound = outbound_of(program, self._component, self._engine)
        self._program = program
        self._reuse = reuse
        self._fuel = fuel
        self.census: Census | None = None
        self._numbers = itertools.count(1)
        self._wasi = Wasi(self._host, memory_bytes)
        self._texts = Texts(
            [argument.encode() for argument in program.args],
            [(name.encode(), value.encode()) for name, value in environment(program)],
        )

    def prepare(self) -> None:
        """Link everything that is the same for all requests; runs no guest code.

        Raises:
            GuestFailure: the component imports what nobody provides, or something of wasi:http
                in another type, or exports the handler in another.
        """
        kind = self._component.type
        imports = kind.imports(self._engine)
        declared = Declared(imports, self._engine)
        if missing := [*_missing(imports), *declared.unknown()]:
            raise GuestFailure(
                f"component imports {listed(missing)}, which nobody provides;"
                f" Tandem provides WASI 0.2 ({listed(PROVIDED)})"
            )
        declared.check_imports()
        self._host.send_prints_to_stderr(imports)
        self._provider = Provider(self._program.given, environment(self._program), self._stores)
        self._provider.link(self._host.linker, imports, self._engine)
        if self._outbound is not None:
            self._outbound.conduit()
        exports = kind.exports(self._engine)
        parent = next(name for name in exports if name.startswith(HANDLER))
        declared.check_handler(parent, exports[parent])
        index = self._component.get_export_index(HANDLE, self._component.get_export_index(parent))
        self._handle_index = index
        host = self._host
        self._at = _Addresses(
            engine=n.address(self._engine),
            linker=n.address(host.linker),
            component=n.address(self._component),
            handle=n.address(index),
            helper_linker=n.address(host.helper_linker),
            helper=n.address(host.helper),
            exports=dict(zip(EXPORTS, map(n.address, host.exports), strict=True)),
        )

    def handle(self, exchange: Exchange) -> None:
        """Run a guest for one request; what became of it is in the exchange.

        Without an answer or a whole body when this returns, there is none.
        """
        living: Living | None = exchange.seat.living
        if living is None:
            number = next(self._numbers)
            living = Living(number, n.store_new(self._at.engine, number, None), exchange)
        else:
            exchange.seat.living = None
            living.begin(exchange)
        LIVE[living.number] = exchange
        stays = False
        try:
            try:
                if living.function is None:
                    self._wasi.furnish(living.store, living.number, exchange.request, self._texts)
                exchange.peer.opened()
                n.set_epoch_deadline(living.context, 1)
                if self._fuel:
                    n.check(n.set_fuel(living.context, self._fuel))
                if living.function is None:
                    living.function = self._instantiate(living)
                    if self.census is not None:
                        self.census.made()
                self._call(living.function, living.context, exchange)
            except wasmtime.WasmtimeError as error:
                exchange.trap = reason_of(error)
                if self._fuel and n.fuel_of(living.context) == 0:
                    exchange.over = "fuel"
            # Before the instance is taken apart, which takes a while.
            exchange.peer.ended()
            stays = living.may_stay(self._reuse)
        finally:
            if exchange.calls is not None:
                exchange.calls.close()
            del LIVE[living.number]
            if stays:
                exchange.seat.living = living
            else:
                self.end(living)

    def end(self, living: Living) -> None:
        """Take an instance apart that no request has."""
        living.exchange.forget_guest()
        self._provider.forget(living.number)
        n.store_delete(living.store)
        if living.function is not None and self.census is not None:
            self.census.gone()

    def tick(self) -> None:
        """Let every running guest look whether it must stop."""
        self._engine.increment_epoch()

    def _instantiate(self, living: Living) -> Any:
        """Make the instance of the store; its function that answers."""
        at, context, exchange = self._at, living.context, living.exchange
        helper = _bindings.wasmtime_component_instance_t()
        n.check(n.instantiate(at.helper_linker, context, at.helper, ctypes.addressof(helper)))
        exchange.native = _Streams(context, helper, at.exports)
        if self._outbound is not None:
            exchange.calls = self._outbound.calls(
                context, lambda: living.exchange.peer.stop is not None
            )
        instance = _bindings.wasmtime_component_instance_t()
        failed = n.instantiate(at.linker, context, at.component, ctypes.addressof(instance))
        try:
            n.check(failed)
        except wasmtime.WasmtimeError as error:
            # Without a backtrace it is wasmtime who says so. A guest whose memory cannot grow hears
            # of it alone: nobody can tell why it traps then.
            if _TOO_SMALL(str(error)):
                exchange.over = "memory_bytes"
            raise
        function = _bindings.wasmtime_component_func_t()
        n.get_function(ctypes.addressof(instance), context, at.handle, ctypes.addressof(function))
        return function

    def _call(self, function: Any, context: int, exchange: Exchange) -> None:
        arguments = (ctypes.c_uint8 * (2 * n.VALUE_BYTES))()
        first = ctypes.addressof(arguments)
        second = first + n.VALUE_BYTES
        scratch = exchange.scratch
        scratch.put(first, exchange.add(exchange.request), KINDS["incoming-request"])
        scratch.put(second, exchange.add(exchange), KINDS["response-outparam"])
        try:
            n.check(n.call(ctypes.addressof(function), context, first, 2, None, 0))
        finally:
            n.value_delete(first)
            n.value_delete(second)


def _missing(imports: Iterable[str]) -> list[str]:
    return [name for name in imports if name not in INTERFACES and not is_provided(name)]


class _Streams:
    """Makes streams for one guest, by the helper's instance in its store."""

    def __init__(self, context: int, helper: Any, exports: dict[str, int]) -> None:
        self._context = context
        self._helper = helper
        self._exports = exports

    def __call__(self, name: str) -> int:
        """A new one of those that `helper.EXPORTS` names; whoever gets it has to give it away."""
        function = _bindings.wasmtime_component_func_t()
        at = ctypes.addressof(function)
        n.get_function(ctypes.addressof(self._helper), self._context, self._exports[name], at)
        result = (ctypes.c_uint8 * n.VALUE_BYTES)()
        n.check(n.call(at, self._context, None, 0, ctypes.addressof(result), 1))
        return n.payload_resource(ctypes.addressof(result))


class _Addresses:
    """Of the C objects that every request needs."""

    def __init__(self, **addresses: Any) -> None:
        self.engine: int = addresses["engine"]
        self.linker: int = addresses["linker"]
        self.component: int = addresses["component"]
        self.handle: int = addresses["handle"]
        self.helper_linker: int = addresses["helper_linker"]
        self.helper: int = addresses["helper"]
        self.exports: dict[str, int] = addresses["exports"]
