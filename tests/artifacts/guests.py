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
