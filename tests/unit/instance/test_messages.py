"""Messages survive the way; a datagram that is none is an InternalError."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim import errdefs
from shim.instance.messages import (
    MAX_MESSAGE_BYTES,
    Failed,
    Forked,
    Message,
    Ready,
    decode,
    encode,
)

messages = st.one_of(
    st.builds(Forked, st.integers(2, 2**22)),
    st.builds(Ready, st.lists(st.text()).map(tuple)),
    st.builds(Failed, st.sampled_from(["InternalError", "NotFoundError"]), st.text()),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)
members = st.dictionaries(
    st.sampled_from(["kind", "pid", "warnings", "error", "text", "other"]),
    st.one_of(st.sampled_from(["forked", "ready", "failed"]), values),
)


@given(messages)
def test_message_there_and_back(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.one_of(st.binary(), members.map(lambda value: json.dumps(value).encode())))
@example(b"[" * 60_000)
@example(b"null")
@example(b'{"kind": []}')
def test_message_hostile_bytes_are_an_internal_error_or_well_typed(datagram: bytes) -> None:
    try:
        message = decode(datagram)
    except errdefs.InternalError:
        return
    match message:
        case Forked(pid=pid):
            assert type(pid) is int
            assert pid > 1, "a signal to it would reach more than a process"
        case Ready(warnings=warnings):
            assert all(type(warning) is str for warning in warnings)
        case Failed(error=error, text=text):
            assert type(error) is type(text) is str
            assert isinstance(message.exception(), errdefs.ShimError)


@pytest.mark.parametrize("name", ["__doc__", "__name__", "Exception", "nonsense", ""])
def test_failed_with_a_name_that_is_no_error_is_internal(name: str) -> None:
    assert type(Failed(name, "text").exception()) is errdefs.InternalError


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errdefs).values() if isinstance(kind, type)], ids=str
)
def test_failed_keeps_class_and_text(kind: type[errdefs.ShimError]) -> None:
    failed = Failed.of(kind("why"))
    assert type(failed.exception()) is kind
    assert str(failed.exception()) == "why"


def test_failed_of_a_subclass_is_the_nearest_that_both_sides_know() -> None:
    class JailError(errdefs.InternalError):
        pass

    assert type(Failed.of(JailError("why")).exception()) is errdefs.InternalError


def test_failed_of_any_other_error_is_internal_and_names_it() -> None:
    exception = Failed.of(FileNotFoundError(2, "No such file", "/x")).exception()
    assert type(exception) is errdefs.InternalError
    assert "FileNotFoundError" in str(exception)


@pytest.mark.parametrize("letter", ["a", "\0", "é", "\N{CRAB}", '"'])
def test_failed_with_an_endless_text_fits_a_datagram(letter: str) -> None:
    message = Failed.of(errdefs.InternalError(letter * 1_000_000))
    assert len(encode(message)) <= MAX_MESSAGE_BYTES
