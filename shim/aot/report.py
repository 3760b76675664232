"""What a loader tells its forker: the report, and the reading of one, or of its absence.

Rules: pure. The report is the last line of what a loader writes; what comes before it is what its
libraries wrote to stderr, since a crash of native code explains itself nowhere else.
"""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from shim import errdefs
from shim.aot.entry import Artefact
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.wasm.binary import Kind

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

_MAX_ERROR_CHARS = 8192
_MAX_TAIL_BYTES = 2048
# what wasmtime, its threads and the kernel say when RLIMIT_DATA is reached
_OUT_OF_MEMORY = ("memory allocation of", "os error 12", "os error 11", "ThreadPoolBuildError")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An artefact, and what its loader and source had to say.

    Attributes:
        artefact: to be loaded.
        facts: see `ModuleSource.facts`.
        is_new: it was compiled just now.
        removed: which files of the cache were not believed, and why.
    """

    artefact: Artefact
    facts: Mapping[str, JSON]
    is_new: bool = False
    removed: tuple[str, ...] = ()


def modules_of(loaded: Loaded) -> int:
    """How many modules the image has from which this one came, where the source says so; else 1."""
    count = loaded.facts.get("modules")
    return count if isinstance(count, int) else 1


def encode_report(loaded: Loaded) -> bytes:
    """The report of a success."""
    artefact = loaded.artefact
    return _encode(
        {
            "path": str(artefact.path),
            "kind": artefact.kind,
            "digest": artefact.digest,
            "facts": dict(loaded.facts),
            "is_new": loaded.is_new,
            "removed": list(loaded.removed),
        }
    )


def encode_error(error: ShimError) -> bytes:
    """The report of a failure."""
    return _encode({"error": str(error)[:_MAX_ERROR_CHARS], "class": type(error).__name__})


def parse_report(status: int, output: bytes) -> Loaded:
    """Turn what a loader wrote to its report fd, until the end of the file, into its result.

    Args:
        status: its wait status, as waitpid returns it.
        output: all that it wrote.

    Raises:
        ShimError: the loader's own error, or the description of its death.
    """
    try:
        report = json.loads(output.rpartition(b"\n")[2])
        if "error" in report:
            error = getattr(errdefs, report["class"], InternalError)(report["error"])
        else:
            artefact = Artefact(Path(report["path"]), Kind(report["kind"]), report["digest"])
            removed = tuple(report["removed"])
            return Loaded(artefact, report["facts"], report["is_new"], removed)
    except (ValueError, KeyError, TypeError):
        error = describe_loader_death(status, output[-_MAX_TAIL_BYTES:])
    raise error


def describe_loader_death(status: int, stderr_tail: bytes) -> ShimError:
    """Say why a loader ended without a report.

    Args:
        status: its wait status; an exit code, negative for a signal, is understood as well.
        stderr_tail: the end of what it wrote.
    """
    code = os.waitstatus_to_exitcode(status) if status >= 0 else status
    lines = stderr_tail.decode(errors="replace").strip().splitlines()
    for line in lines:
        if any(text in line for text in _OUT_OF_MEMORY):
            return ResourceExhaustedError(
                "compiling the module needs more memory than [compile] memory_bytes allows"
                f" ({line})"
            )
    if -code in {signal.SIGALRM, signal.SIGXCPU}:
        return DeadlineExceededError(
            "compiling the module took longer than [compile] timeout_s allows"
        )
    if -code == signal.SIGKILL:
        return UnavailableError(
            "the loader was killed (signal 9) while it compiled the module; most likely the node"
            " ran out of memory"
        )
    words = " ".join(lines) or "it said nothing"
    how = f"died by signal {-code}" if code < 0 else f"exited with {code}"
    return InternalError(f"the loader {how} while it compiled the module: {words}")


def _encode(members: dict[str, JSON]) -> bytes:
    return b"\n" + json.dumps(members).encode()
