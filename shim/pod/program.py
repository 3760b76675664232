"""Finds what a container's entry point names, and says whether it is Wasm or Linux's business.

Rules: the image is not trusted: every look-up stays inside the rootfs or volume it began in
(openat2 RESOLVE_IN_ROOT), and nothing but a regular file is read; a file is what its first bytes
say, whatever it is called. Order: a Linux program or script wins over the text format, as in
runwasi.
"""

import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shim.aot.source import FileSource, ModuleSource
from shim.errdefs import InvalidArgumentError
from shim.kernel.libc import LINUX, Kernel
from shim.oci.entrypoint import parse_entrypoint
from shim.oci.modules import is_modules_file
from shim.oci.spec import Mount, Spec
from shim.wasm.binary import sniff

CONTAINER_TYPE, SANDBOX = "io.kubernetes.cri.container-type", "sandbox"

_HEAD_BYTES = 4096
LINUX_HEADS = (b"\x7fELF", b"#!")
_WASM_SUFFIXES = (".wasm", ".wat")
# Annotations by which the peers' users say that a container is Wasm.
_WASM_ANNOTATIONS = {
    ("module.wasm.image/variant", "compat"),
    ("run.oci.handler", "wasm"),
}


class WasmProgram(Protocol):
    """A module to run, wherever it comes from; `name` is what errors call it."""

    @property
    def name(self) -> str:
        """For an error's text."""

    @property
    def source(self) -> ModuleSource:
        """Where the loader gets it."""

    @property
    def function(self) -> str | None:
        """What to call in it; None is its own entry."""


@dataclass(frozen=True, slots=True)
class WasmFile:
    """A Wasm file, open for reading; `identity` names its place for the cache's memo.

    `is_in_image` is false for a file of a volume; `ask_image` tells a loader the image.
    """

    fd: int
    path: str
    identity: str
    function: str | None
    is_in_image: bool
    ask_image: Callable[[], str | None] | None = None
    named_by: str = "entry point"

    @property
    def name(self) -> str:
        """For an error's text."""
        return f"{self.named_by} {self.path[:200]}"

    @property
    def source(self) -> FileSource:
        """The file."""
        return FileSource(self.fd, self.identity, self.ask_image)


@dataclass(frozen=True, slots=True)
class NotThere:
    """The process names no regular file, so that the image itself may have to be the module.

    `problem` is what is wrong if it is not; empty where the OCI runtime has the words for it.
    """

    problem: str


def find_wasm(
    spec: Spec, rootfs: Path, rootfs_identity: str, kernel: Kernel = LINUX
) -> WasmFile | NotThere | None:
    """The Wasm file that the container's process names, or None for a Linux container.

    Raises:
        InvalidArgumentError: it names a file that is not Wasm, though it has to be.
    """
    if spec.annotations.get(CONTAINER_TYPE) == SANDBOX:
        return None
    said_to_be_wasm = any(spec.annotations.get(name) == value for name, value in _WASM_ANNOTATIONS)
    path, function = _path_and_function(spec)
    if not path:
        return NotThere(
            f"entry point {spec.process.args[0][:200]!r} names no file, and the image is no module"
            " that it could be in: write path#function"
        )
    by_suffix = path.endswith(_WASM_SUFFIXES) or is_modules_file(path)
    by_name = said_to_be_wasm or function is not None or by_suffix
    for candidate in candidates(path, spec):
        fd, identity = open_file(candidate, spec.mounts, rootfs, rootfs_identity, kernel)
        if fd is None:
            continue
        head = head_of(fd)
        if not head.startswith(LINUX_HEADS) and sniff(head) is not None:
            is_in_image = is_of_rootfs(identity, rootfs_identity, candidate)
            return WasmFile(fd, candidate, identity, function, is_in_image)
        os.close(fd)
        if by_name and not head.startswith(LINUX_HEADS):
            raise InvalidArgumentError(f"entry point {no_wasm(candidate, head)}")
        return None
    if by_name:
        return NotThere(
            f"entry point {path[:200]} is not in the image or a volume: it names no regular file"
        )
    return NotThere("")


def has_modules_file(spec: Spec) -> bool:
    """Whether the container's entry point says that it runs the modules of a `modules.toml`."""
    args = spec.process.args
    # With a function behind it, it is an error that says so.
    return bool(args) and is_modules_file(args[0].partition("#")[0])


def is_there(spec: Spec, rootfs: Path, kernel: Kernel = LINUX) -> bool:
    """Whether the container's process names any regular file at all."""
    for candidate in candidates(spec.process.args[0], spec):
        fd, _ = open_file(candidate, spec.mounts, rootfs, "", kernel)
        if fd is not None:
            os.close(fd)
            return True
    return False


def is_of_rootfs(identity: str, rootfs_identity: str, path: str) -> bool:
    """Whether what `open_file` has opened at `path` is a file of the rootfs, and of no volume."""
    return identity == f"{rootfs_identity}\0{path}"


def head_of(fd: int) -> bytes:
    """The first bytes of an open file; none where it cannot be read."""
    try:
        return os.pread(fd, _HEAD_BYTES, 0)
    except OSError:
        return b""


def _path_and_function(spec: Spec) -> tuple[str, str | None]:
    args = spec.process.args
    if not args or not args[0]:
        raise InvalidArgumentError(
            "config.json: process.args is empty or begins with nothing to run"
        )
    entrypoint = parse_entrypoint(args)
    return entrypoint.path, entrypoint.function


def candidates(path: str, spec: Spec) -> Iterator[str]:
    """Absolute paths in the container: bare names by PATH and then the working directory."""
    cwd = spec.process.cwd or "/"
    if "/" not in path:
        for entry in spec.process.env:
            if entry.startswith("PATH="):
                for directory in entry[5:].split(":"):
                    yield posixpath.normpath(posixpath.join("/", cwd, directory, path))
    yield posixpath.normpath(posixpath.join("/", cwd, path))


def open_file(
    path: str, mounts: tuple[Mount, ...], rootfs: Path, rootfs_identity: str, kernel: Kernel = LINUX
) -> tuple[int | None, str]:
    """Open a regular file of a container by its absolute path: its descriptor, or None, and its
    identity for the cache's memo."""
    root, inside, identity = os.fspath(rootfs), path, rootfs_identity
    for mount in mounts:
        destination = posixpath.normpath(mount.destination)
        # A later mount hides an earlier one; both binds and only binds have files to read now.
        if not _is_below(path, destination) or not mount.source.startswith("/"):
            continue
        root, inside, identity = mount.source, path[len(destination) :], mount.source
    identity = f"{identity}\0{inside}"
    try:
        if not inside.strip("/"):
            fd = os.open(root, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = kernel.open_in_root(root_fd, inside, os.O_RDONLY | os.O_NONBLOCK)
            finally:
                os.close(root_fd)
    except OSError:
        return None, identity
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None, identity
    return fd, identity


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def no_wasm(path: str, head: bytes) -> str:
    """Say of a file's first bytes that they are none of Wasm's."""
    wanted = "not with 00 61 73 6d and a known version"
    problem = f"it begins with {head[:8].hex(' ')}, {wanted}" if head else "it is empty"
    return f"{path[:200]} is not a Wasm file: {problem}"
