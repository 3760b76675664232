"""A CGI program in a store of one request: a module of WASI 0.1, or a component of WASI 0.2.

Rules: everything that all requests share is made before the first. `run` may be called by any
number of threads at the same time. Exits are wasmtime's own, which knows statuses below 126, and
call no Python.
"""

import ctypes
from typing import Protocol

import wasmtime
from wasmtime import (
    _bindings,  # type: ignore[attr-defined,unused-ignore]
    component,
)

from shim.engine.guest import GuestFailure, Program, environment, is_provided, listed, reason_of
from shim.engine.http import native as n
from shim.engine.http.client import check_http, outbound_of
from shim.engine.http.exchange import Exchange
from shim.engine.http.linker import define_http
from shim.engine.interfaces.provider import INTERFACES, Provider, stores_of
from shim.engine.linkers import WASI_P1

_RUN = "wasi:cli/run@0.2."


class Guest(Protocol):
    """A program, from its artefact to its end."""

    def prepare(self) -> None:
        """Link what is the same for all requests.

        Raises:
            GuestFailure: it cannot be linked, or is no program.
        """

    def run(self, context: int, exchange: Exchange) -> str | None:
        """Run it in a store, for a request; why it failed, or None."""

    def forget(self, store: int) -> None:
        """The store of this number is gone."""


class ModuleProgram:
    """A core module: `_start`, or a function that the container names."""

    def __init__(self, engine: wasmtime.Engine, program: Program) -> None:
        """Map the artefact; raises `wasmtime.WasmtimeError` where wasmtime refuses it."""
        self._engine = engine
        self._name = program.function or "_start"
        self._module = wasmtime.Module.deserialize_file(engine, str(program.artefact))

    def prepare(self) -> None:
        """See `Guest`."""
        exports = {export.name: export.type for export in self._module.exports}
        signature = exports.get(self._name)
        if not isinstance(signature, wasmtime.FuncType):
            names = (name for name, kind in exports.items() if isinstance(kind, wasmtime.FuncType))
            raise GuestFailure(
                f"module exports no function {self._name!r}; it exports {listed(names)}"
            )
        if signature.params or signature.results:
            raise GuestFailure(
                f"function {self._name!r} has parameters or results; a CGI program has none"
            )
        unknown = [
            f"{entry.module}.{entry.name}"
            for entry in self._module.imports
            if entry.module != WASI_P1
        ]
        if unknown:
            raise GuestFailure(
                f"module imports {listed(unknown)}, which nobody provides;"
                f" Tandem provides {WASI_P1} to modules"
            )
        self._calls = [self._name.encode()]
        if "_initialize" in exports and self._name not in {"_start", "_initialize"}:
            self._calls.insert(0, b"_initialize")
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()
        self._linker_at, self._module_at = n.address(self._linker), n.address(self._module)

    def run(self, context: int, _: Exchange) -> str | None:
        """See `Guest`."""
        instance, trap = _bindings.wasmtime_instance_t(), ctypes.c_void_p()
        at, trap_at = ctypes.addressof(instance), ctypes.addressof(trap)
        error = n.module_instantiate(self._linker_at, context, self._module_at, at, trap_at)
        failure = _failure(error, trap)
        item = _bindings.wasmtime_extern_t()
        for name in self._calls:
            if failure is None:
                n.module_export(context, at, name, len(name), ctypes.addressof(item))
                function = ctypes.addressof(item.of)
                error = n.module_call(context, function, None, 0, None, 0, trap_at)
                failure = _failure(error, trap)
        return failure

    def forget(self, store: int) -> None:
        """See `Guest`."""


class ComponentProgram:
    """A component that is a command."""

    def __init__(self, engine: wasmtime.Engine, program: Program) -> None:
        """Map the artefact; raises `wasmtime.WasmtimeError` where wasmtime refuses it."""
        self._engine = engine
        self._program = program
        self._component = component.Component.deserialize_file(engine, str(program.artefact))
        self._stores = stores_of(program, self._component, engine)
        self._outbound = outbound_of(program, self._component, engine)

    def prepare(self) -> None:
        """See `Guest`."""
        kind = self._component.type
        imports, exports = kind.imports(self._engine), kind.exports(self._engine)
        parent = next((name for name in exports if name.startswith(_RUN)), None)
        if parent is None or self._program.function is not None:
            raise GuestFailure(
                f"a component that is a CGI program exports {_RUN}x, and is started by it alone;"
                f" this one exports {listed(exports)}"
            )
        unknown = [name for name in imports if name not in INTERFACES and not is_provided(name)]
        if unknown:
            raise GuestFailure(f"component imports {listed(unknown)}, which no CGI program gets")
        self._linker = component.Linker(self._engine)
        self._linker.add_wasip2()
        if check_http(imports, self._engine):
            define_http(self._linker)
        if self._outbound is not None:
            self._outbound.conduit()
        self._provider = Provider(self._program.given, environment(self._program), self._stores)
        self._provider.link(self._linker, imports, self._engine)
        index = self._component.get_export_index("run", self._component.get_export_index(parent))
        if index is None:
            raise GuestFailure(f"component exports {parent} without its function run")
        self._index = index
        self._linker_at, self._component_at = n.address(self._linker), n.address(self._component)
        self._index_at = n.address(index)

    def run(self, context: int, exchange: Exchange) -> str | None:
        """See `Guest`."""
        exchange.scratch.context = context
        if self._outbound is not None:
            exchange.calls = self._outbound.calls(context, lambda: exchange.peer.stop is not None)
        instance = _bindings.wasmtime_component_instance_t()
        at = ctypes.addressof(instance)
        n.check(n.instantiate(self._linker_at, context, self._component_at, at))
        function = _bindings.wasmtime_component_func_t()
        function_at = ctypes.addressof(function)
        n.get_function(at, context, self._index_at, function_at)
        result = (ctypes.c_uint8 * n.VALUE_BYTES)()
        result_at = ctypes.addressof(result)
        error = n.call(function_at, context, None, 0, result_at, 1)
        if error:
            return _failure(error, ctypes.c_void_p())
        return None if n.is_ok(result_at) else "the program failed: its run returned an error"

    def forget(self, store: int) -> None:
        """See `Guest`."""
        self._provider.forget(store)


def _failure(error: int | None, trap: ctypes.c_void_p) -> str | None:
    """What a call of the C API says of the guest; frees it."""
    if trap.value:
        text = n.take_trap(trap.value)
        trap.value = None
    elif not error:
        return None
    else:
        status = n.take_exit_status(error)
        if status is not None:
            return f"the program ended with exit status {status}" if status else None
        text = n.take_error(error)
    return reason_of(wasmtime.WasmtimeError(text))
