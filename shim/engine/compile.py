"""Turns a Wasm binary into an artefact: native code as wasmtime stores it.

Rules: only the loader process calls this. Compiling starts threads that stay for the life of the
process, and a process that has them must never fork again.
"""

from dataclasses import dataclass

from shim.errdefs import UnimplementedError
from shim.wasm.binary import Kind


@dataclass(frozen=True, slots=True)
class Compiled:
    """An artefact, and whether it is a module or a component."""

    kind: Kind
    artefact: bytes | bytearray


def compile_module(binary: bytes) -> Compiled:
    """Compile a module or component, in the binary or the text format.

    Raises:
        InvalidArgumentError: it is no Wasm, or wasmtime refuses it; the text says why.
        UnimplementedError: it is a component for WASI 0.3.
    """
    raise UnimplementedError(f"not there yet: {len(binary)}")
