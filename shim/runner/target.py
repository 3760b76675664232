"""What a run is to run: a file of this machine, or one of the guest's root.

Rules: nothing but a regular file is read, and a file is what its first bytes say.
"""

import os
import stat
from pathlib import Path

from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.oci.spec import Spec
from shim.pod.program import NotThere, WasmFile, find_wasm
from shim.runner.options import RunOptions
from shim.wasm.binary import sniff

_HEAD_BYTES = 4096
_SUFFIXES = (".wasm", ".wat")


def split_function(target: str) -> tuple[str, str]:
    """The path and the function that a target names: `path#function`, unless a file has that very
    name."""
    if "#" not in target or Path(target).exists():
        return target, ""
    path, _, function = target.partition("#")
    return path, function


def open_module(path: str, function: str) -> WasmFile:
    """Open a module of this machine.

    Raises:
        NotFoundError: there is no such file; maybe an image has that name.
        InvalidArgumentError: it cannot be read, or is no Wasm.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path[:200]}: no such file or directory") from error
    except OSError as error:
        raise InvalidArgumentError(f"{path[:200]}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        _require_wasm(path, status, fd)
    except BaseException:
        os.close(fd)
        raise
    identity = f"run\0{status.st_dev}\0{Path(path).resolve()}"
    return WasmFile(fd, path, identity, function or None, is_in_image=False)


def only_module(directory: str) -> str:
    """The path in the guest of the one Wasm file that lies in a directory.

    Raises:
        InvalidArgumentError: there is none, or more than one.
    """
    names = sorted(file.name for file in Path(directory).iterdir() if file.suffix in _SUFFIXES)
    if len(names) == 1:
        return f"/{names[0]}"
    found = f"several ({', '.join(names[:5])})" if names else "none"
    raise InvalidArgumentError(
        f"directory {directory[:200]} should hold one Wasm file, and holds {found}: choose with"
        " --entrypoint"
    )


def find_in_root(options: RunOptions, spec: Spec, rootfs: Path, identity: str) -> WasmFile:
    """The Wasm file that the guest's first argument names in its root.

    Raises:
        InvalidArgumentError: there is none.
    """
    wasm = find_wasm(spec, rootfs, identity)
    if isinstance(wasm, NotThere) and wasm.problem:
        raise InvalidArgumentError(wasm.problem)
    if wasm is None or isinstance(wasm, NotThere):
        name = spec.process.args[0][:200]
        raise InvalidArgumentError(
            f"entry point {name} of {options.target[:200] or 'the image'} is no Wasm file:"
            " `tandem run` runs Wasm, Linux programs need a container"
        )
    return wasm


def _require_wasm(path: str, status: os.stat_result, fd: int) -> None:
    name = path[:200]
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"{name} is neither a file nor a directory")
    head = os.pread(fd, _HEAD_BYTES, 0)
    if head.startswith(b"\x7fELF"):
        raise InvalidArgumentError(
            f"{name} is a Linux program: `tandem run` runs Wasm; start the program itself, or in"
            " a pod"
        )
    if head.startswith(b"#!"):
        raise InvalidArgumentError(f"{name} is a script for Linux: `tandem run` runs Wasm")
    if sniff(head) is None:
        begin = f"begins with {head[:8].hex(' ')}" if head else "is empty"
        raise InvalidArgumentError(
            f"{name} is not Wasm: it {begin}; a module begins with 00 61 73 6d, a text with"
            " (module or (component"
        )
