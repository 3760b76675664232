"""Turns a Wasm binary into an artefact: native code as wasmtime stores it.

Rules: only the loader process calls this. Compiling starts threads that stay for the life of the
process, and a process that has them must never fork again.
"""

from dataclasses import dataclass

import wasmtime
from wasmtime import component

from shim.engine.code import Code
from shim.engine.config import new_compiler
from shim.errdefs import InvalidArgumentError, ResourceExhaustedError, UnimplementedError
from shim.wasm.binary import ComponentNames, Kind, component_names, sniff

# what a component that serves HTTP exports
HANDLER = "wasi:http/incoming-handler@0.2."


@dataclass(frozen=True, slots=True)
class Compiled:
    """An artefact, and whether it is a module, a component, or a component that serves HTTP."""

    kind: Kind
    artefact: bytes | bytearray


def compile_module(binary: bytes, code: Code = Code.PLAIN) -> Compiled:
    """Compile a module or component, in the binary or the text format.

    Args:
        binary: it.
        code: which kind of native code it is to become.

    Raises:
        InvalidArgumentError: it is no Wasm, or wasmtime refuses it; the text says why.
        UnimplementedError: it is a component for WASI 0.3.
        ResourceExhaustedError: the kernel gives this process no more memory.
    """
    try:
        return _compile(binary, code)
    except wasmtime.WasmtimeError as error:
        reason = str(error).strip()
        if "os error 12" in reason:
            raise ResourceExhaustedError(f"no memory to compile the module: {reason}") from error
        raise InvalidArgumentError(f"wasmtime refuses the module: {reason}") from error


def _compile(binary: bytes, code: Code) -> Compiled:
    kind = sniff(binary)
    if kind is Kind.TEXT:
        binary = bytes(wasmtime.wat2wasm(binary))
        kind = sniff(binary)
    if kind is None:
        raise InvalidArgumentError("the file is no Wasm module, no component and no .wat text")
    if kind is Kind.MODULE:
        return Compiled(kind, wasmtime.Module(new_compiler(code.program), binary).serialize())
    names = component_names(binary)
    _refuse_wasi_0_3(names)
    checks = code.program
    if any(name.startswith(HANDLER) for name in names.exports):
        kind, checks = Kind.SERVICE, code.service
    return Compiled(kind, component.Component(new_compiler(checks), binary).serialize())


def _refuse_wasi_0_3(names: ComponentNames) -> None:
    # wasmtime's C API compiles them, and ends the whole process when a stream or future is used
    for name in (*names.imports, *names.exports):
        if name.startswith("wasi:") and "@0.3." in name:
            raise UnimplementedError(
                f"the component uses {name}: WASI 0.3 is not supported; build it for WASI 0.2"
            )
