"""The programs of a container that answer its requests by CGI, and what an instance gets of them.

Rules: data and decisions; `shim.pod.cgi_modules` finds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shim.aot.entry import Artefact
from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.routes import Route
from shim.engine.run import Program
from shim.errdefs import InvalidArgumentError
from shim.pod.program import WasmProgram
from shim.stores.options import NOTHING_GIVEN
from shim.wasm.binary import Kind


@dataclass(frozen=True, slots=True)
class CgiProgram:
    """A program for a route: the number of its module, and how that is started."""

    module: int
    route: Route
    function: str | None
    argv: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CgiPrograms:
    """All of a container's: the modules, each once, and the programs that are made of them;
    `is_table` says that a file has them, and not the pod alone."""

    modules: tuple[WasmProgram, ...]
    programs: tuple[CgiProgram, ...]
    is_table: bool

    def handlers(self, artefacts: Sequence[Artefact], program: Program) -> tuple[Handler, ...]:
        """What an instance is to run.

        Args:
            artefacts: of the modules, in their order.
            program: what all of them have from their container.

        Raises:
            InvalidArgumentError: a module answers HTTP by itself.
        """
        for module, artefact in zip(self.modules, artefacts, strict=True):
            if artefact.kind is Kind.SERVICE:
                raise InvalidArgumentError(
                    f"{module.name} exports wasi:http/incoming-handler, so it is no CGI program:"
                    " run it as the entry point of a container of its own"
                )
        own = {entry.partition("=")[0] for entry in program.env}
        handlers = []
        for each in self.programs:
            artefact = artefacts[each.module]
            added = tuple(entry for entry in each.env if entry.partition("=")[0] not in own)
            made = replace(
                program,
                artefact=artefact.path,
                kind=artefact.kind,
                function=each.function,
                env=(*program.env, *added),
                given=NOTHING_GIVEN if artefact.kind is Kind.MODULE else program.given,
            )
            handlers.append(Handler(each.route, made, each.argv))
        return tuple(handlers)
