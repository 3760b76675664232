"""The end of a run as bytes: whole, in parts, and with what comes before it."""

import pytest

from shim.runner import wire


@pytest.mark.parametrize("before", [b"", wire.TAKEN, wire.TAKEN + wire.RUNNING])
@pytest.mark.parametrize(("status", "text"), [(0, ""), (255, "ä\n"), (1, "x" * 40_000)])
def test_end(before: bytes, status: int, text: str) -> None:
    whole = before + wire.pack_end(status, text)
    assert wire.unpack_end(whole) == (status, text.encode())
    for size in (*range(len(before) + 4), len(whole) - 1):
        if size < len(whole):
            assert wire.unpack_end(whole[:size]) is None
    assert wire.is_final(whole)


def test_long_text_is_cut() -> None:
    end = wire.unpack_end(wire.pack_end(125, "x" * 100_000))
    assert end is not None
    assert len(end[1]) == 0xFFFF


@pytest.mark.parametrize(
    ("answer", "final", "not_understood"),
    [
        (b"", False, False),
        (wire.TAKEN, False, False),
        (b"\1\0\0\0", False, False),
        (wire.RUNNING, True, False),
        (wire.TAKEN + wire.RUNNING, True, False),
        (wire.NOT_UNDERSTOOD, True, True),
        (wire.TAKEN + wire.NOT_UNDERSTOOD, True, True),
    ],
)
def test_what_may_be_repeated(answer: bytes, final: bool, not_understood: bool) -> None:
    assert wire.is_final(answer) is final
    assert wire.is_not_understood(answer) is not_understood
