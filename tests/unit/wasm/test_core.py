import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.wasm.core import Export, Import, ModuleNames, module_names
from tests.support import guests

HEAD = b"\0asm\1\0\0\0"


def names(text: str) -> ModuleNames:
    return module_names(guests.binary(text))


def test_imports_of_every_sort_are_read() -> None:
    found = names(
        """(module
        (import "a" "f" (func (param i32) (result i64)))
        (import "a" "t" (table 1 2 funcref))
        (import "b" "m" (memory 1))
        (import "b" "g" (global (mut f64)))
        (import "b" "e" (tag (param i32)))
        (import "" "last" (func)))"""
    )
    assert found.imports == (
        Import("a", "f", "func"),
        Import("a", "t", "table"),
        Import("b", "m", "memory"),
        Import("b", "g", "global"),
        Import("b", "e", "tag"),
        Import("", "last", "func"),
    )
    assert not found.shared_memory


def test_exports_are_read_in_order() -> None:
    found = names(
        """(module (memory (export "memory") 1) (table (export "t") 1 funcref)
        (global (export "g") i32 (i32.const 0)) (func (export "_start")))"""
    )
    assert found.exports == (
        Export("memory", "memory"),
        Export("t", "table"),
        Export("g", "global"),
        Export("_start", "func"),
    )


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ('(module (import "env" "memory" (memory 1 2 shared)))', True),
        ("(module (memory 1 2 shared))", True),
        ("(module (memory 1 2))", False),
        ("(module (memory i64 1))", False),
    ],
)
def test_shared_memory_is_seen(text: str, *, shared: bool) -> None:
    assert names(text).shared_memory is shared


def test_import_behind_a_typed_reference_is_read() -> None:
    text = """(module (type $f (func)) (import "a" "t" (table 1 (ref null $f)))
    (import "a" "g" (global (ref null $f))) (import "a" "x" (func)))"""
    assert [each.name for each in names(text).imports] == ["t", "g", "x"]


def test_empty_module_has_nothing() -> None:
    assert module_names(HEAD) == ModuleNames((), (), shared_memory=False)


@pytest.mark.parametrize(
    ("binary", "expected"),
    [
        (b"", "not a core module"),
        (b"\0asm\x0d\0\1\0", "not a core module"),
        (HEAD + b"\2", "ends in the middle"),
        (HEAD + b"\2\x05\1", "ends in the middle"),
        (HEAD + b"\7\4\1\1a\x09\0", "unknown sort 0x9"),
        (HEAD + b"\2\x06\xff\xff\xff\xff\x0f\0", "ends in the middle"),
        (HEAD + b"\2\x07\1\1\xff\1a\0\0", "not UTF-8"),
    ],
)
def test_malformed_module_is_refused(binary: bytes, expected: str) -> None:
    with pytest.raises(InvalidArgumentError, match=expected):
        module_names(binary)


@given(st.binary(max_size=64))
def test_nothing_but_our_error_leaves(body: bytes) -> None:
    for section in b"\2\5\7":
        try:
            module_names(HEAD + bytes([section, len(body)]) + body)
        except InvalidArgumentError:
            continue
