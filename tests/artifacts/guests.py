"""What the packings carry: guests that say which packing they came from, and end with a status.

The status tells them from each other where there is no output, and from success by accident.
"""

import functools
import tempfile
from pathlib import Path

from tests.support import guests, probe
from tests.support.packing import marked

STATUS = 7
COMPONENT_STATUS = 1


def text_of(name: str, status: int = STATUS) -> str:
    """Text of a module that prints its name on a line and ends with a status."""
    size = f"\\{len(name) + 1:02x}\\00\\00\\00"
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\10\\00\\00\\00{size}")
      (data (i32.const 16) "{name}\\n")
      (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (i32.const {status}))))"""


def module(name: str, status: int = STATUS) -> bytes:
    """The binary of `text_of`."""
    return guests.binary(text_of(name, status))


def component(name: str) -> bytes:
    """A component that ends with COMPONENT_STATUS; its digest is the name's own."""
    return marked(guests.binary(guests.COMPONENT_EXIT), name)


def reader(name: str) -> bytes:
    """The test guest `probe`, which reads files; its digest is the name's own."""
    return marked(guests.compile_c(probe.SOURCE.read_text()).read_bytes(), name)


@functools.cache
def linux() -> tuple[bytes, int]:
    """The probe for Linux, and its mode."""
    with tempfile.TemporaryDirectory(prefix="tandem-probe-") as folder:
        return probe.compile_probe(probe.LINUX, Path(folder, "probe")).read_bytes(), 0o755


def endless() -> bytes:
    """A module of 24 MB, valid and dull, whose compilation takes many seconds."""
    chain = b"\x20\x00" + b"\x20\x00\x6c\x20\x00\x6a" * 2000  # x*x+x, over and over
    body = b"\x00" + chain + b"\x0b"
    count = 2000
    bodies = _leb(count) + (_leb(len(body)) + body) * count
    types = b"\x01\x60\x01\x7f\x01\x7f"
    functions = _leb(count) + b"\x00" * count
    exports = b"\x01\x06_start\x00\x00"
    sections = ((1, types), (3, functions), (7, exports), (10, bodies))
    return b"\0asm\1\0\0\0" + b"".join(
        bytes([number]) + _leb(len(data)) + data for number, data in sections
    )


def _leb(number: int) -> bytes:
    """A number in the form that Wasm's binary format has for it, unsigned LEB128."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
