"""A component with WASI 0.2: commands (`wasi:cli/run`) and named functions."""

from collections.abc import Iterable

import wasmtime
from wasmtime import component

from shim.engine.guest import (
    PROVIDED,
    GuestFailure,
    Program,
    environment,
    is_provided,
    listed,
    new_store,
    reason_of,
)
from shim.engine.http import native as n
from shim.engine.http.client import begin, check_http, outbound_of
from shim.engine.interfaces.provider import INTERFACES, Provider, stores_of
from shim.engine.linkers import component_linker, new_component_linker
from shim.wasm.binary import Kind

_RUN = "wasi:cli/run@0.2."
_NEVER = 1 << 62


class ComponentGuest:
    """One component, from its artefact to its exit status."""

    def __init__(self, engine: wasmtime.Engine, program: Program) -> None:
        self._program = program
        self._engine = engine
        self._component = component.Component.deserialize_file(engine, str(program.artefact))
        self._stores = stores_of(program, self._component, engine)
        self._outbound = outbound_of(program, self._component, engine)

    def prepare(self) -> None:
        """Build linker and store; runs no guest code."""
        self._store = new_store(self._engine, self._program)
        if self._program.kind is Kind.SERVICE:
            # One of its functions, by name: nobody interrupts it.
            self._store.set_epoch_deadline(_NEVER)
        self._linker = component_linker(self._engine)

    def run(self) -> int:
        """Instantiate, call the function, and return the exit status.

        Raises:
            GuestFailure: it cannot be linked, has no such function, or trapped.
        """
        try:
            return self._run()
        except wasmtime.ExitTrap as end:
            return end.code
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise GuestFailure(reason_of(error)) from error

    def _run(self) -> int:
        exports = self._component.type.exports(self._engine)
        interface = None if self._program.function else self._interface(tuple(exports))
        instance = self._instantiate()
        name = self._program.function or "run"
        parent = interface and instance.get_export_index(self._store, interface)
        index = instance.get_export_index(self._store, name, parent or None)
        function = index and instance.get_func(self._store, index)
        if not function:
            raise GuestFailure(
                f"component exports no function {name!r}; it exports {listed(exports)}"
            )
        return self._call(name, function)

    def _interface(self, exports: tuple[str, ...]) -> str:
        """Find the export that makes the component a command."""
        for name in exports:
            if name.startswith(_RUN):
                return name
        raise GuestFailure(
            f"component is no command: it exports {listed(exports)} and not {_RUN}x;"
            " name one of its functions with path#function"
        )

    def _call(self, name: str, function: component.Func) -> int:
        signature = function.type(self._store)
        if signature.params:
            raise GuestFailure(
                f"function {name!r} takes {len(signature.params)} parameters; only functions"
                " without parameters can be started"
            )
        if isinstance(signature.result, component.FutureType | component.StreamType):
            # the C API ends the process when it has to convert one
            raise GuestFailure(
                f"function {name!r} returns a future or stream, which needs WASI 0.3"
            )
        result = function(self._store)
        failed = isinstance(result, component.Variant) and result.tag == "err"
        return 1 if failed and not self._program.function else 0

    def _instantiate(self) -> component.Instance:
        imports = self._component.type.imports(self._engine)
        if check_http(imports, self._engine):
            begin(n.store_context(n.address(self._store)), self._outbound)
        try:
            return self._linker.instantiate(self._store, self._component)
        except wasmtime.WasmtimeError as error:
            # Only who imports an interface of `INTERFACES` pays for them: by this first attempt,
            # which ends before anything of the guest runs.
            if not INTERFACES.keys() & imports.keys():
                self._refuse_unknown(imports, error)
                raise
        linker = new_component_linker(self._engine)
        self._provider = Provider(self._program.given, environment(self._program), self._stores)
        self._provider.link(linker, imports, self._engine)
        try:
            return linker.instantiate(self._store, self._component)
        except wasmtime.WasmtimeError as error:
            self._refuse_unknown(imports, error)
            raise

    def _refuse_unknown(self, imports: Iterable[str], error: wasmtime.WasmtimeError) -> None:
        unknown = [name for name in imports if name not in INTERFACES and not is_provided(name)]
        if unknown:
            raise GuestFailure(
                f"component imports {listed(unknown)}, which nobody provides; Tandem provides"
                f" WASI 0.2 ({listed(PROVIDED)}) and drafts of wasi:config and wasi:keyvalue:"
                f" {reason_of(error)}"
            ) from error
