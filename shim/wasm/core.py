"""The outside of a core module: what it imports and exports.

Rules: pure; the input is untrusted, and nothing but `InvalidArgumentError` leaves this module.
Source: the WebAssembly specification, binary format, with the threads, memory64, reference type and
exception proposals, as far as they show in imports.
"""

from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError
from shim.wasm.binary import Kind, sniff
from shim.wasm.reader import Reader

_IMPORTS = 2
_MEMORIES = 5
_EXPORTS = 7
_SORTS = ("func", "table", "memory", "global", "tag")
# A reference type that says what it refers to is two bytes and a number; the others are one byte.
_REFERENCES_WITH_TYPE = frozenset({0x63, 0x64})
_HAS_MAXIMUM, _SHARED = 1, 2


@dataclass(frozen=True, slots=True)
class Import:
    """One import; `sort` is func, table, memory, global or tag."""

    module: str
    name: str
    sort: str


@dataclass(frozen=True, slots=True)
class Export:
    """One export; `sort` as for imports."""

    name: str
    sort: str


@dataclass(frozen=True, slots=True)
class ModuleNames:
    """Imports and exports in file order, and whether a memory is shared between threads."""

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    shared_memory: bool


def module_names(binary: bytes) -> ModuleNames:
    """Read the imports and exports of a core module in the binary format.

    Raises:
        InvalidArgumentError: it is not a core module, or it is malformed.
    """
    if sniff(binary[:8]) is not Kind.MODULE:
        raise InvalidArgumentError("not a core module in the binary format")
    reader = Reader(binary, 8, len(binary), "module")
    imports: list[Import] = []
    exports: list[Export] = []
    shared = False
    while not reader.at_end():
        section, size = reader.byte(), reader.u32()
        body = reader.sub(size)
        if section == _IMPORTS:
            for _ in range(body.u32()):
                module, name = body.text(), body.text()
                sort = _sort(body.byte())
                shared |= _skip_type(body, sort)
                imports.append(Import(module, name, sort))
        elif section == _MEMORIES:
            for _ in range(body.u32()):
                shared |= _skip_limits(body)
        elif section == _EXPORTS:
            for _ in range(body.u32()):
                name = body.text()
                exports.append(Export(name, _sort(body.byte())))
                body.u32()
    return ModuleNames(tuple(imports), tuple(exports), shared)


def _sort(byte: int) -> str:
    if byte >= len(_SORTS):
        raise InvalidArgumentError(f"module holds an item of the unknown sort {byte:#x}")
    return _SORTS[byte]


def _skip_type(body: Reader, sort: str) -> bool:
    """Step over an import's type; whether it is a shared memory."""
    match sort:
        case "func":
            body.u32()
        case "table":
            _skip_value_type(body)
            _skip_limits(body)
        case "memory":
            return _skip_limits(body)
        case "global":
            _skip_value_type(body)
            body.byte()
        case _:
            body.byte()
            body.u32()
    return False


def _skip_value_type(body: Reader) -> None:
    if body.byte() in _REFERENCES_WITH_TYPE:
        body.skip_leb(5)


def _skip_limits(body: Reader) -> bool:
    flags = body.byte()
    body.skip_leb(10)
    if flags & _HAS_MAXIMUM:
        body.skip_leb(10)
    return bool(flags & _SHARED)
