"""What `process.args[0]` asks for: a Wasm file and, after the first `#`, one of its functions.

Rules: no I/O, and no opinion on whether the file exists or is Wasm at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError, UnimplementedError


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """The file to run, and the function to call in it; None is the module's own entry."""

    path: str
    function: str | None


def parse_entrypoint(args: Sequence[str]) -> Entrypoint:
    """Read the entry point from the arguments of a container's process.

    Raises:
        InvalidArgumentError: there are no arguments, or nothing is named before or after `#`.
        UnimplementedError: `#function` alone, which names no file.
    """
    if not args or not args[0]:
        raise InvalidArgumentError("process.args names no file to run")
    path, separator, function = args[0].partition("#")
    if not separator:
        return Entrypoint(path, None)
    if not function:
        raise InvalidArgumentError(f"entry point {args[0]!r} names no function after the '#'")
    if not path:
        raise UnimplementedError(
            f"entry point {args[0]!r} names no file: a function alone needs an image whose layer"
            " is a module, which is not supported; write path#function"
        )
    return Entrypoint(path, function)
