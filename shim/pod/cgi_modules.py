"""What a container runs for each request: its one program, where an annotation says so, or the
modules of a `modules.toml`, where that is its entry point.

Rules: those of `shim.pod.program`. All of it is found and read before anything is compiled or
forked; of what is wrong, the file and the module are named.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from shim.engine.cgi.routes import Route, cgi_route
from shim.errdefs import InvalidArgumentError
from shim.oci.entrypoint import parse_entrypoint
from shim.oci.modules import MAX_BYTES, CgiModule, parse_modules
from shim.oci.spec import Spec
from shim.pod.cgi import CgiProgram, CgiPrograms
from shim.pod.container_request import ContainerRequest
from shim.pod.images import WasmImage
from shim.pod.program import (
    LINUX_HEADS,
    WasmFile,
    WasmProgram,
    candidates,
    has_modules_file,
    head_of,
    is_of_rootfs,
    no_wasm,
    open_file,
)
from shim.wasm.binary import sniff


@dataclass(frozen=True, slots=True)
class ModulesFile:
    """A `modules.toml`, read; `path` is its place in the container."""

    path: str
    modules: tuple[CgiModule, ...]


def find_modules_file(spec: Spec, rootfs: Path) -> ModulesFile | None:
    """The `modules.toml` that the container's entry point names; None where there is no such file,
    or it is a Linux program.

    Raises:
        InvalidArgumentError: it says what it cannot mean.
    """
    entrypoint = parse_entrypoint(spec.process.args)
    for path in candidates(entrypoint.path, spec):
        fd, _ = open_file(path, spec.mounts, rootfs, "")
        if fd is None:
            continue
        try:
            if head_of(fd).startswith(LINUX_HEADS):
                return None
            if entrypoint.function is not None:
                raise InvalidArgumentError(
                    f"entry point {path[:200]}#{entrypoint.function[:80]} names a function of a"
                    " table of modules; a module there has its entrypoint"
                )
            data = os.pread(fd, MAX_BYTES + 1, 0)
            return ModulesFile(path, parse_modules(data, path[:200]))
        except OSError as error:
            raise InvalidArgumentError(
                f"entry point {path[:200]} cannot be read: {error.strerror}"
            ) from error
        finally:
            os.close(fd)
    return None


def what_runs(
    container: ContainerRequest,
    program: WasmFile | WasmImage | ModulesFile,
    known: Callable[[WasmFile], WasmFile],
    opened: ExitStack,
) -> WasmFile | WasmImage | CgiPrograms:
    """What a container runs: its program once, or what answers requests.

    Args:
        container: its rootfs has all the files of its image.
        program: what its entry point names.
        known: lets the loader of a file know the image.
        opened: closes the files that are opened here.

    Raises:
        InvalidArgumentError: a module is not there, or is none.
    """
    spec = container.spec
    if isinstance(program, WasmImage) and has_modules_file(spec):
        file = find_modules_file(spec, container.rootfs)
        if file is None:
            raise InvalidArgumentError(
                f"{program.name}: its files have no {spec.process.args[0][:200]}, which is the"
                " container's entry point"
            )
        return _of_table(container, file, known, opened, program)
    if isinstance(program, ModulesFile):
        return _of_table(container, program, known, opened)
    route = cgi_route(spec.annotations)
    if route is None:
        return program
    return CgiPrograms((program,), (CgiProgram(0, route, program.function),), is_table=False)


def _of_table(
    container: ContainerRequest,
    file: ModulesFile,
    known: Callable[[WasmFile], WasmFile],
    opened: ExitStack,
    image: WasmImage | None = None,
) -> CgiPrograms:
    numbers: dict[str, int] = {}
    modules: list[WasmProgram] = []
    programs = []
    for each in file.modules:
        if each.module not in numbers:
            where = f"{file.path[:200]}: route {each.route[:80]}: module"
            found = _module_of_image(container, image, each.module) if image else None
            numbers[each.module] = len(modules)
            modules.append(found or known(_file(container, each.module, where, opened)))
        number = numbers[each.module]
        programs.append(CgiProgram(number, Route(each.route), each.entrypoint, each.argv, each.env))
    return CgiPrograms(tuple(modules), tuple(programs), is_table=True)


def _module_of_image(container: ContainerRequest, image: WasmImage, name: str) -> WasmImage | None:
    return image.executing(replace(container.spec.process, args=(name,)))


def _file(container: ContainerRequest, name: str, where: str, opened: ExitStack) -> WasmFile:
    spec, identity = container.spec, container.rootfs_identity
    path = os.path.normpath(os.path.join("/", spec.process.cwd, name))  # noqa: PTH118 (a text)
    fd, found = open_file(path, spec.mounts, container.rootfs, identity)
    if fd is None:
        raise InvalidArgumentError(
            f"{where} {path[:200]} is not in the image or a volume: it names no regular file"
        )
    opened.callback(os.close, fd)
    head = head_of(fd)
    if head.startswith(LINUX_HEADS) or sniff(head) is None:
        raise InvalidArgumentError(f"{where} {no_wasm(path, head)}")
    return WasmFile(fd, path, found, None, is_of_rootfs(found, identity, path), named_by=where)
