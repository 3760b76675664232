"""The Wasm programs of the benchmarks, and the root file systems that hold them."""

from pathlib import Path

import wasmtime

WASM_PATH = "/app.wasm"

_SOURCES = Path(__file__).parent / "guests"


def assemble(name: str) -> bytes:
    """The binary of guests/NAME.wat."""
    return bytes(wasmtime.wat2wasm((_SOURCES / f"{name}.wat").read_text()))


def make_wasm_rootfs(directory: Path, module: bytes) -> Path:
    """Make a root file system that holds nothing but a module, as an image FROM scratch does."""
    directory.mkdir(parents=True)
    (directory / WASM_PATH.lstrip("/")).write_bytes(module)
    return directory
