"""Header fields: what a guest may set, and how it is kept."""

import pytest

from shim.engine.http.fields import FieldError, Fields


def test_names_are_lower_case_and_order_is_kept() -> None:
    fields = Fields()
    fields.append(b"X-One", b"1")
    fields.append(b"two", b"2")
    fields.append(b"x-one", b"\xff3")
    assert fields.fields == [(b"x-one", b"1"), (b"two", b"2"), (b"x-one", b"\xff3")]
    assert fields.get(b"X-ONE") == [b"1", b"\xff3"]
    fields.set(b"x-one", [b"4", b"5"])
    assert fields.fields == [(b"two", b"2"), (b"x-one", b"4"), (b"x-one", b"5")]
    fields.delete(b"Two")
    assert fields.get(b"two") == []


@pytest.mark.parametrize(
    ("name", "value", "case"),
    [
        (b"", b"", b"invalid-syntax"),
        (b"a b", b"", b"invalid-syntax"),
        (b"a:", b"", b"invalid-syntax"),
        (b"\xe9", b"", b"invalid-syntax"),
        (b"a", b"1\r\nx: 2", b"invalid-syntax"),
        (b"a", b"\0", b"invalid-syntax"),
        (b"Transfer-Encoding", b"chunked", b"forbidden"),
        (b"connection", b"close", b"forbidden"),
        (b"host", b"x", b"forbidden"),
    ],
)
def test_what_is_refused(name: bytes, value: bytes, case: bytes) -> None:
    fields = Fields()
    with pytest.raises(FieldError) as caught:
        fields.append(name, value)
    assert caught.value.case == case
    assert fields.fields == []


def test_fields_of_a_request_do_not_change() -> None:
    fields = Fields([(b"a", b"1")], mutable=False)
    for values in ([], [b"2"]):
        with pytest.raises(FieldError) as caught:
            fields.set(b"a", values)
        assert caught.value.case == b"immutable"
    with pytest.raises(FieldError):
        fields.append(b"b", b"")
    with pytest.raises(FieldError):
        fields.delete(b"a")
    assert Fields(fields.fields).mutable
