"""What `process.args[0]` asks for: a Wasm file and, after the first `#`, one of its functions.

Rules: no I/O, and no opinion on whether the file exists or is Wasm at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """The file to run, and the function to call in it; None is the module's own entry.

    `path` is empty for `#function` alone, which is enough where the image is the module.
    """

    path: str
    function: str | None


def parse_entrypoint(args: Sequence[str]) -> Entrypoint:
    """Read the entry point from the arguments of a container's process.

    Raises:
        InvalidArgumentError: there are no arguments, or nothing is named after `#`.
    """
    if not args or not args[0]:
        raise InvalidArgumentError("process.args names no file to run")
    path, separator, function = args[0].partition("#")
    if not separator:
        return Entrypoint(path, None)
    if not function:
        raise InvalidArgumentError(f"entry point {args[0]!r} names no function after the '#'")
    return Entrypoint(path, function)
