"""Adds a function to a WASI module that writes one byte to stdout: its first instructions, visible.

When an unchanged program has executed its first instruction cannot be seen from outside. So the
module gets one more function, exported as `first_byte`, of ten instructions; everything else of it
stays, byte for byte: it is compiled, mapped, linked and instantiated as a whole before the function
runs. Format: WebAssembly core specification, binary format.
"""

from collections.abc import Iterator
from dataclasses import dataclass

EXPORT = "first_byte"
BYTE = b"!"

_TYPE, _IMPORT, _FUNCTION, _EXPORT, _CODE = 1, 2, 3, 7, 10
_HEAD = b"\0asm\x01\0\0\0"
_FUNC_TYPE, _END = 0x60, 0x0B
_WRITE = (b"wasi_snapshot_preview1", b"fd_write")


@dataclass
class _Reader:
    data: bytes
    at: int = 0

    def u32(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self) -> bytes:
        return self.data[self.at :]


def add_first_byte(module: bytes) -> bytes:
    """The module with the function.

    Raises:
        ValueError: it is no module, or does not import fd_write.
    """
    if module[:8] != _HEAD:
        raise ValueError("not a WebAssembly module")
    sections = list(_sections(module))
    bodies = dict(sections)
    imported, fd_write = _imported_functions(bodies[_IMPORT])
    type_index = _Reader(bodies[_TYPE]).u32()
    index = imported + _Reader(bodies[_FUNCTION]).u32()
    name = EXPORT.encode()
    export = _u32(len(name)) + name + b"\0" + _u32(index)
    added = {
        _TYPE: bytes([_FUNC_TYPE, 0, 0]),
        _FUNCTION: _u32(type_index),
        _EXPORT: export,
        _CODE: _code(fd_write),
    }
    parts = [_HEAD]
    for kind, body in sections:
        new = _append(body, added[kind]) if kind in added else body
        parts += [bytes([kind]), _u32(len(new)), new]
    return b"".join(parts)


def _code(fd_write: int) -> bytes:
    """The body: fd_write(1, iov = 16, 1, 24), where iov is one byte at 32."""
    body = b"".join(
        (
            b"\0",  # no locals
            _store(32, BYTE[0]),
            _store(16, 32),
            _store(20, 1),
            *(_const(value) for value in (1, 16, 1, 24)),
            b"\x10" + _u32(fd_write),  # call
            b"\x1a",  # drop
            bytes([_END]),
        )
    )
    return _u32(len(body)) + body


def _store(address: int, value: int) -> bytes:
    return _const(address) + _const(value) + b"\x36\x02\0"  # i32.store align=2 offset=0


def _const(value: int) -> bytes:
    if not 0 <= value < 0x40:
        raise ValueError(f"{value} does not fit into one byte of signed LEB128")
    return bytes([0x41, value])


def _append(section: bytes, entry: bytes) -> bytes:
    """A section is a vector: a count and its entries."""
    reader = _Reader(section)
    return _u32(reader.u32() + 1) + reader.rest() + entry


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(module, len(_HEAD))
    while reader.at < len(module):
        kind = reader.take(1)[0]
        yield kind, reader.take(reader.u32())


def _imported_functions(section: bytes) -> tuple[int, int]:
    """How many functions are imported, and the index of fd_write."""
    reader = _Reader(section)
    functions, fd_write = 0, -1
    for _ in range(reader.u32()):
        name = (reader.take(reader.u32()), reader.take(reader.u32()))
        if reader.take(1) != b"\0":
            raise ValueError(f"{name} is imported and no function")
        reader.u32()
        if name == _WRITE:
            fd_write = functions
        functions += 1
    if fd_write < 0:
        raise ValueError("the module does not import fd_write")
    return functions, fd_write


def _u32(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
