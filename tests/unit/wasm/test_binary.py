"""Looking into Wasm files: kinds by content, and a component's names."""

import contextlib

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.wasm.binary import Kind, component_names, sniff
from tests.support import guests

MANY_SORTS = """(component
  (import "module" (core module (export "f" (func))))
  (import "function" (func))
  (type $u32 u32)
  (import "number" (type $n (eq $u32)))
  (import "resource" (type $r (sub resource)))
  (import "inner" (component (export "x" (func))))
  (import "acme:a/b@1.2.3" (instance $i (export "go" (func))))
  (core module $m (func (export "f")))
  (export "core" (core module $m))
  (export "again" (instance $i))
  (export "typed" (instance $i) (instance (export "go" (func))))
  (export "kind" (type $r)))"""


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0asm\1\0\0\0", Kind.MODULE),
        (b"\0asm\x0d\0\1\0", Kind.COMPONENT),
        (b"\0asm\x63\0\0\0", Kind.MODULE),
        (b"\0asm\1\0\2\0", None),
        (b"\0asm\1\0\0", None),
        (b"(module)", Kind.TEXT),
        (b" \n;; text\n(; a (; nested ;) one ;)\n( component $x", Kind.TEXT),
        (b'(module"x"', Kind.TEXT),
        (b"(modules)", None),
        (b"(; no end (module)", None),
        (b";; no end", None),
        (b"#!/bin/sh\n(module)", None),
        (b"\x7fELF\2\1\1\0", None),
        (b"", None),
    ],
)
def test_sniff_by_content(head: bytes, kind: Kind | None) -> None:
    assert sniff(head) is kind


def test_names_of_every_sort() -> None:
    names = component_names(guests.binary(MANY_SORTS))
    imports = ("module", "function", "number", "resource", "inner", "acme:a/b@1.2.3")
    assert names.imports == imports
    assert names.exports == ("core", "again", "typed", "kind")


def test_names_are_those_of_the_top_level() -> None:
    inner = '(component (component (import "inner" (func))) (import "outer" (func)))'
    assert component_names(guests.binary(inner)).imports == ("outer",)


def test_names_agree_with_wasmtime() -> None:
    text = guests.COMPONENT_EXIT
    names = component_names(guests.binary(text))
    assert names.imports == ("wasi:cli/exit@0.2.0",)
    assert names.exports == ("wasi:cli/run@0.2.0",)


@pytest.mark.parametrize("data", [b"", b"\0asm\1\0\0\0", b"(component)"])
def test_names_of_what_is_no_binary_component(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        component_names(data)


WHOLE = guests.binary(MANY_SORTS)


def test_names_of_a_cut_component() -> None:
    for length in range(8, len(WHOLE) - 1):
        # cut between two sections it is a shorter component; no other error leaves the parser
        with contextlib.suppress(InvalidArgumentError):
            component_names(WHOLE[:length])


HEAD = WHOLE[:8]


@given(st.binary())
def test_names_of_any_bytes(body: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        component_names(HEAD + body)


@given(st.integers(8, len(WHOLE) - 1), st.integers(0, 255))
def test_names_of_a_damaged_component(offset: int, value: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[offset] = value
    with contextlib.suppress(InvalidArgumentError):
        component_names(bytes(damaged))


@given(st.sampled_from([10, 11]), st.binary(max_size=64))
def test_names_of_damaged_sections(section: int, body: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        component_names(HEAD + bytes([section, len(body)]) + body)


@given(st.binary())
def test_sniff_takes_any_bytes(head: bytes) -> None:
    sniff(head)
    sniff(b"(;" + head)


def test_names_with_attributes() -> None:
    # form 2 of a name: the name, a count, and per attribute a tag and a text
    name = b"\x02\x01a\x01\x00\x05b:c/d"
    section = b"\x01" + name + b"\x05\x00"
    assert component_names(HEAD + bytes([10, len(section)]) + section).imports == ("a",)


def test_text_that_wasmtime_takes_is_text() -> None:
    for text in (guests.HELLO, guests.COMPONENT_OK):
        assert sniff(text.encode()) is Kind.TEXT
        assert wasmtime.wat2wasm(text)
