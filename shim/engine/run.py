"""Runs one Wasm program in the instance process: load, enter the jail, prepare, run.

Rules: the process is a leaf; once `run` was called it has threads and must never fork. Nobody
reads an exception here, so whatever ends the guest is told on its stderr, where logs show it.
"""

import os
from typing import Protocol

import wasmtime

from shim.engine.code import Checks
from shim.engine.component import ComponentGuest
from shim.engine.config import serving_engine
from shim.engine.guest import GuestFailure, Program, check_texts
from shim.engine.module import ModuleGuest
from shim.errdefs import StaleArtefactError
from shim.wasm.binary import Kind

__all__ = ["Instance", "Program", "StaleArtefactError"]

EXIT_STATUS_FAILED = 137


class _Guest(Protocol):
    def prepare(self) -> None: ...

    def run(self) -> int: ...


class Instance:
    """One program in one process."""

    def __init__(self, guest: _Guest) -> None:
        self._guest = guest

    @classmethod
    def load(cls, engine: wasmtime.Engine, program: Program) -> "Instance":
        """Map the artefact; before the jail, because it lies on the host.

        A component that serves HTTP is run for one of its functions here; `shim.serve` serves it.

        Raises:
            InvalidArgumentError: an argument or variable cannot be given to a guest.
            StaleArtefactError: wasmtime refuses the artefact, or it is gone.
        """
        check_texts(program)
        try:
            if program.kind is Kind.SERVICE:
                return cls(ComponentGuest(serving_engine(Checks.STOP), program))
            if program.kind is Kind.COMPONENT:
                return cls(ComponentGuest(engine, program))
            return cls(ModuleGuest(engine, program))
        except wasmtime.WasmtimeError as error:
            raise StaleArtefactError(
                f"cannot load the artefact {program.artefact}: {error}; it has to be compiled again"
            ) from error

    def prepare(self) -> None:
        """Build everything that the guest will see; in the jail, and without running guest code."""
        self._guest.prepare()

    def run(self) -> int:
        """Run the guest and return its exit status; 137 with the reason on stderr if it failed."""
        try:
            return self._guest.run()
        except GuestFailure as failure:
            _tell(f"tandem: {failure}\n")
            return EXIT_STATUS_FAILED


def _tell(text: str) -> None:
    data = text.encode(errors="replace")
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        # nobody reads the guest's stderr any more; its exit status still tells
        return
