"""A core module with WASI preview 1: commands, reactors, and named functions."""

import wasmtime

from shim.engine.guest import GuestFailure, Program, listed, new_store, reason_of
from shim.engine.linkers import WASI_P1, GuestExit, module_linker


class ModuleGuest:
    """One module, from its artefact to its exit status."""

    def __init__(self, engine: wasmtime.Engine, program: Program) -> None:
        self._program = program
        self._engine = engine
        self._module = wasmtime.Module.deserialize_file(engine, str(program.artefact))

    def prepare(self) -> None:
        """Build linker and store; runs no guest code."""
        self._store = new_store(self._engine, self._program)
        self._linker = module_linker(self._engine)

    def run(self) -> int:
        """Instantiate, call the function, and return the exit status.

        Raises:
            GuestFailure: it cannot be linked, has no such function, or trapped.
        """
        try:
            return self._run()
        except GuestExit as end:
            return end.status
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise GuestFailure(reason_of(error)) from error

    def _run(self) -> int:
        exports = self._instantiate().exports(self._store)
        name = self._program.function or "_start"
        function = exports.get(name)
        if not isinstance(function, wasmtime.Func):
            names = listed(export.name for export in self._module.exports if _is_function(export))
            raise GuestFailure(f"module exports no function {name!r}; it exports {names}")
        parameters = len(function.type(self._store).params)
        if parameters:
            raise GuestFailure(
                f"function {name!r} takes {parameters} parameters; only functions"
                " without parameters can be started"
            )
        initialize = exports.get("_initialize")
        if isinstance(initialize, wasmtime.Func) and name not in {"_start", "_initialize"}:
            initialize(self._store)
        function(self._store)
        return 0

    def _instantiate(self) -> wasmtime.Instance:
        try:
            return self._linker.instantiate(self._store, self._module)
        except wasmtime.WasmtimeError as error:
            unknown = self._unknown_imports()
            if not unknown:
                raise
            raise GuestFailure(
                f"module imports {listed(unknown)}, which nobody provides;"
                f" Tandem provides {WASI_P1} to modules"
            ) from error

    def _unknown_imports(self) -> list[str]:
        return [
            f"{entry.module}.{entry.name} ({_sort(entry.type)})"
            for entry in self._module.imports
            if not self._provides(entry.module, entry.name or "")
        ]

    def _provides(self, module: str, name: str) -> bool:
        try:
            self._linker.get(self._store, module, name)
        except wasmtime.WasmtimeError:
            return False
        return True


def _is_function(export: wasmtime.ExportType) -> bool:
    return isinstance(export.type, wasmtime.FuncType)


def _sort(item: object) -> str:
    """Name what an import is in the words of the text format: func, memory, global, table, tag."""
    return type(item).__name__.removesuffix("Type").lower()
