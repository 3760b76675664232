"""The kinds of error, and the texts that the code gives them."""

import ast
from pathlib import Path

import pytest

import shim
from shim import errdefs

KINDS = [kind for kind in vars(errdefs).values() if isinstance(kind, type)]
SOURCES = sorted(
    path for path in Path(shim.__file__).parent.rglob("*.py") if "api" not in path.parts
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_error_kind_is_a_shim_error_and_says_when(kind: type[BaseException]) -> None:
    assert issubclass(kind, errdefs.ShimError)
    assert kind.__name__.endswith("Error")
    assert kind.__doc__


def ends_of_text(call: ast.Call) -> tuple[str, str]:
    """The begin and the end of a raised error's text, where they stand in the source."""
    if not call.args:
        return "", ""
    argument = call.args[0]
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    begin, end = (
        part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""
        for part in (parts[0], parts[-1])
    )
    return begin, end


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_error_texts_begin_in_lower_case_and_end_without_a_stop(source: Path) -> None:
    names = {kind.__name__ for kind in KINDS}
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            begin, end = ends_of_text(node)
            assert not end.endswith("."), (node.lineno, end)
            word = (begin.split() or [""])[0]
            is_name = any(letter.isupper() for letter in word[1:])
            assert is_name or not word[:1].isupper(), (node.lineno, begin)
