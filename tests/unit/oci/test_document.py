"""JSON that nobody vouches for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.document import Node, load_foreign_json, load_json


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b'{"a": 1, "a": 2}', "a member twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "a member twice"),
        (b"[" * 50_000 + b"]" * 50_000, "not valid JSON"),
        (b"1" * 5000, "not valid JSON"),
        (b"[1", "not valid JSON"),
        (b" " * 101 + b"{}", "103 bytes, and 100 are the most"),
    ],
)
def test_foreign_document_is_refused(document: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^thing .*{problem}"):
        load_foreign_json(document, "thing", 100 if b"{}" in document else 1 << 20)


def test_last_member_of_a_name_counts_for_documents_of_the_node() -> None:
    assert load_json(b'{"a": 1, "a": 2}', "thing") == {"a": 2}


def test_members_and_their_names() -> None:
    node = Node({"a": {"b": [{"c": "x"}]}, "n": None, "i": 3}, "", "thing: ")
    assert "a" in node
    assert "n" not in node
    (inner,) = node.node("a").nodes("b")
    assert inner.get("c", str, "") == "x"
    assert (inner.name("c"), node.optional_int("i"), node.optional_int("n")) == (
        "thing: a.b[0].c",
        3,
        None,
    )
    with pytest.raises(InvalidArgumentError, match=r"^thing: a\.b\[0\]\.c is not an int$"):
        inner.get("c", int, 0)


@given(st.binary())
def test_any_bytes(document: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        load_json(document, "x")
    with contextlib.suppress(InvalidArgumentError):
        load_foreign_json(document, "x", 99)
