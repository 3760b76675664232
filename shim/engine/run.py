"""Runs one Wasm program in the instance process: load, enter the jail, prepare, run.

Rules: the process is a leaf, it never forks again once `run` was called.
"""

from dataclasses import dataclass
from pathlib import Path

import wasmtime

from shim.errdefs import FailedPreconditionError, UnimplementedError
from shim.wasm.binary import Kind


class StaleArtefactError(FailedPreconditionError):
    """The cached artefact cannot be loaded; drop it from the cache and compile again."""


@dataclass(frozen=True, slots=True)
class Program:
    """What an instance runs: the artefact, the function, and what the guest is told."""

    artefact: Path
    kind: Kind
    function: str | None
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str


class Instance:
    """One program in one process."""

    @classmethod
    def load(cls, engine: wasmtime.Engine, program: Program) -> "Instance":
        """Map the artefact; before the jail, because it lies on the host.

        Raises:
            StaleArtefactError: wasmtime refuses the artefact, or it is gone.
        """
        raise UnimplementedError(f"not there yet: {engine} {program}")

    def prepare(self) -> None:
        """Build everything that the guest will see; in the jail, and without running guest code."""

    def run(self) -> int:
        """Run the guest and return its exit status; 137 with the reason on stderr if it failed."""
        return 137
