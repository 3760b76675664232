"""What an instance gets of a container's CGI programs."""

from pathlib import Path

import pytest

from shim.aot.entry import Artefact
from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.routes import Route
from shim.engine.guest import Program
from shim.errdefs import InvalidArgumentError
from shim.pod.cgi import CgiProgram, CgiPrograms
from shim.pod.program import WasmFile
from shim.stores.options import NOTHING_GIVEN, GuestOptions
from shim.wasm.binary import Kind

GIVEN = GuestOptions((("greeting", "hello"),))
COMMON = Program(Path("/x"), Kind.MODULE, None, ("app",), ("A=pod", "B=pod"), "/", given=GIVEN)
FILES = (WasmFile(3, "/a.wasm", "i", None, True), WasmFile(4, "/b.wasm", "i", None, True))


def artefact(name: str, kind: Kind) -> Artefact:
    return Artefact(Path(name), kind, "0" * 64)


def test_programs_share_their_container_and_differ_in_what_is_theirs() -> None:
    programs = CgiPrograms(
        FILES,
        (
            CgiProgram(1, Route("/b"), None, ("b", "${ARGS}")),
            CgiProgram(0, Route("/a"), "greet", None, ("A=own", "C=own")),
        ),
        is_table=True,
    )
    artefacts = [artefact("a", Kind.MODULE), artefact("b", Kind.COMPONENT)]
    first, second = programs.handlers(artefacts, COMMON)
    assert first == Handler(Route("/b"), first.program, ("b", "${ARGS}"))
    assert first.program == Program(
        Path("b"), Kind.COMPONENT, None, ("app",), ("A=pod", "B=pod"), "/", given=GIVEN
    )
    assert second.argv is None
    assert second.program == Program(
        Path("a"), Kind.MODULE, "greet", ("app",), ("A=pod", "B=pod", "C=own"), "/",
        given=NOTHING_GIVEN,
    )  # fmt: skip


def test_a_component_that_answers_by_itself_is_none() -> None:
    programs = CgiPrograms(FILES[:1], (CgiProgram(0, Route("/a"), None),), is_table=True)
    with pytest.raises(InvalidArgumentError, match=r"/a\.wasm exports wasi:http/incoming-handler"):
        programs.handlers([artefact("a", Kind.SERVICE)], COMMON)
