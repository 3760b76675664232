"""What modules and components have in common when they run: the program, its world, its failure.

Rules: everything is imported before the jail closes, since afterwards the host's files are gone.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from shim.errdefs import InvalidArgumentError, PermissionDeniedError
from shim.outbound.policy import OPEN, Policy
from shim.stores.options import NOTHING_GIVEN, GuestOptions
from shim.wasm.binary import Kind

# the packages that are defined for components, all at 0.2
PROVIDED = ("cli", "clocks", "filesystem", "http", "io", "random", "sockets")


class GuestFailure(Exception):  # noqa: N818 - the guest failed, not the shim
    """The guest could not be linked, or trapped; the text is for whoever reads its logs."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an instance runs: the artefact, the function, and what the guest is told.

    `kind` is MODULE or COMPONENT; `function` None means the module's own entry; `env` holds
    `NAME=value` entries; `cwd` is an absolute path; `given` is what further interfaces offer it,
    `outbound` where its requests may go.
    """

    artefact: Path
    kind: Kind
    function: str | None
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    given: GuestOptions = NOTHING_GIVEN
    outbound: Policy = OPEN


def check_texts(program: Program) -> None:
    """Refuse arguments and variables that no guest can be given.

    Raises:
        InvalidArgumentError: one of them holds a NUL, or is not Unicode.
    """
    for name, texts in (("args", program.args), ("env", program.env)):
        for index, text in enumerate(texts):
            # C strings end at a NUL, so the guest would see another text than the spec says
            if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
                raise InvalidArgumentError(
                    f"process.{name}[{index}] holds a NUL or a lone surrogate: {text!r}"
                )


def new_store(engine: wasmtime.Engine, program: Program) -> wasmtime.Store:
    """Make the store with the guest's world: this process's root directory and stdio.

    The whole file system of the container is one preopen, so that absolute paths mean what they
    mean to a Linux process. WASI has no working directory of its own: wasi-libc starts at `/`,
    whatever is done here (a second preopen named `.` would capture the absolute paths as well);
    Go reads the variable PWD.

    Raises:
        PermissionDeniedError: the root directory cannot be opened.
    """
    wasi = wasmtime.WasiConfig()
    wasi.argv = list(program.args)
    wasi.env = environment(program)
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    try:
        wasi.preopen_dir("/", "/")
    except wasmtime.WasmtimeError as error:
        raise PermissionDeniedError(
            f"user {os.getuid()} cannot open the root directory of the container's rootfs: {error}"
        ) from error
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    return store


def reason_of(error: wasmtime.Trap | wasmtime.WasmtimeError) -> str:
    """Put wasmtime's error, its backtrace included, into words for the guest's logs."""
    # the note advises a variable of a process that whoever reads the logs has no access to
    lines = str(error).strip().splitlines()
    return "\n".join(line for line in lines if "WASMTIME_BACKTRACE_DETAILS" not in line)


def listed(names: Iterable[str]) -> str:
    """Join names for an error text; `nothing` if there are none."""
    return ", ".join(names) or "nothing"


def environment(program: Program) -> list[tuple[str, str]]:
    """Split the program's variables; without PWD among them, the working directory is added."""
    variables = []
    for entry in program.env:
        name, separator, value = entry.partition("=")
        if separator:
            variables.append((name, value))
    if program.cwd != "/" and all(name != "PWD" for name, _ in variables):
        variables.append(("PWD", program.cwd))
    return variables


def is_provided(name: str) -> bool:
    """Whether a component's import is one that all components get."""
    package, _, version = name.removeprefix("wasi:").partition("@")
    return (
        name.startswith("wasi:")
        and package.partition("/")[0] in PROVIDED
        and version.startswith("0.2.")
    )
