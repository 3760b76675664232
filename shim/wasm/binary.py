"""Looks into Wasm files without running or compiling them.

Rules: pure; the input is untrusted, every length is checked before use, and nothing but
`InvalidArgumentError` leaves this module. Source: the component model's Binary.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shim.errdefs import InvalidArgumentError
from shim.wasm.reader import Reader

_MAGIC = b"\0asm"
_SPACE_OR_COMMENT = re.compile(rb"(?:[ \t\r\n]+|;;[^\n]*\n)*")
_TEXT_HEAD = re.compile(rb"\(\s*(?:module|component)(?![^\s()\";])")


class Kind(StrEnum):
    """What a file is: a core module, a component, or either of them in the text format.

    Compiled, a component that answers HTTP requests is a SERVICE.
    """

    MODULE = "module"
    COMPONENT = "component"
    SERVICE = "service"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ComponentNames:
    """The names that a component imports and exports at its top level, in file order."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]


def sniff(head: bytes) -> Kind | None:
    """Say what a file is by its first bytes; None where it is no Wasm.

    Args:
        head: the start of the file; 4 KiB are plenty, unless a text begins with a long comment.
    """
    if head.startswith(_MAGIC):
        if len(head) < 8:
            return None
        # bytes 4-5 are the version, 6-7 the layer: a wrong version is wasmtime's to refuse
        return {0: Kind.MODULE, 1: Kind.COMPONENT}.get(int.from_bytes(head[6:8], "little"))
    return Kind.TEXT if _TEXT_HEAD.match(head, _skip_space(head)) else None


def component_names(binary: bytes) -> ComponentNames:
    """Read the top-level import and export names of a component in the binary format.

    Raises:
        InvalidArgumentError: it is not a component, or it is malformed.
    """
    if sniff(binary[:8]) is not Kind.COMPONENT:
        raise InvalidArgumentError("not a component in the binary format")
    reader = Reader(binary, 8, len(binary), "component")
    imports: list[str] = []
    exports: list[str] = []
    while not reader.at_end():
        section, size = reader.byte(), reader.u32()
        body = reader.sub(size)
        if section == _IMPORT_SECTION:
            imports += _entries(body, _skip_extern_type)
        elif section == _EXPORT_SECTION:
            exports += _entries(body, _skip_export)
    return ComponentNames(tuple(imports), tuple(exports))


_IMPORT_SECTION = 10
_EXPORT_SECTION = 11


def _skip_space(head: bytes) -> int:
    """Return the offset of the first byte that is neither white space nor comment."""
    offset = 0
    while True:
        match = _SPACE_OR_COMMENT.match(head, offset)
        offset = match.end() if match else offset
        if not head.startswith(b"(;", offset):
            return offset
        offset = _skip_block_comment(head, offset)


def _skip_block_comment(head: bytes, offset: int) -> int:
    """Return the offset behind the block comment, which may hold others, at `offset`."""
    depth = 0
    for match in re.compile(rb"\(;|;\)").finditer(head, offset):
        depth += 1 if match.group() == b"(;" else -1
        if depth == 0:
            return match.end()
    return len(head)


def _entries(body: Reader, skip_rest: Callable[[Reader], None]) -> list[str]:
    """Read a vector of named entries."""
    names = []
    for _ in range(body.u32()):
        names.append(_name(body))
        skip_rest(body)
    if not body.at_end():
        raise InvalidArgumentError("component has bytes behind the last entry of a section")
    return names


def _name(body: Reader) -> str:
    form = body.byte()
    name = body.text()
    if form in {0, 1}:
        return name
    if form != 2:
        raise InvalidArgumentError(f"component holds a name of the unknown form {form:#x}")
    for _ in range(body.u32()):  # attributes of the name: a tag and a text each
        body.byte()
        body.text()
    return name


def _skip_export(body: Reader) -> None:
    if body.byte() == 0:  # the sort; 0 is a core sort, which is one byte more
        body.byte()
    body.u32()
    if body.byte() == 1:  # an explicit type follows
        _skip_extern_type(body)


def _skip_extern_type(body: Reader) -> None:
    sort = body.byte()
    if sort == 0:  # core module: 0x11 and its type
        body.byte()
        body.u32()
    elif sort in {1, 4, 5}:  # function, component, instance: a type index
        body.u32()
    elif sort == 2:  # value: equal to another, or of a type
        body.byte()
        body.u32()
    elif sort == 3:  # type: equal to another, or a fresh resource
        if body.byte() == 0:
            body.u32()
    else:
        raise InvalidArgumentError(f"component holds an item of the unknown sort {sort:#x}")
