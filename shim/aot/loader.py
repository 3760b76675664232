"""The loader: a forked child that compiles one module into the cache and exits."""

from dataclasses import dataclass
from typing import NoReturn

from shim.aot.cache import Artefact, Cache
from shim.errdefs import InternalError, ShimError, UnimplementedError


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What a loader may use: bytes of memory, and seconds of wall time."""

    memory_bytes: int
    timeout_s: float


def run_loader(
    module_fd: int, identity: str, cache: Cache, limits: CompileLimits, report_fd: int
) -> NoReturn:
    """Be the loader: find or compile the module's artefact, report it as JSON, exit."""
    raise UnimplementedError(f"not there yet: {module_fd} {identity} {cache} {limits} {report_fd}")


def parse_report(status: int, output: bytes) -> Artefact:
    """Read all that a loader wrote to its report fd, with its wait status, into its result.

    Raises:
        ShimError: the loader's own error, or the description of its death.
    """
    raise describe_loader_death(status, output)


def describe_loader_death(status: int, stderr_tail: bytes) -> ShimError:
    """Say why a loader died without a report, from its wait status and its last words."""
    return InternalError(f"loader died: {status} {stderr_tail!r}")
