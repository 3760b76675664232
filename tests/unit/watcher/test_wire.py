"""Lines from the listener, in whatever pieces they arrive."""

from hypothesis import given
from hypothesis import strategies as st

from shim.watcher.wire import Image, LastLine, Look, decode_look, encode_look

IMAGES = st.builds(
    Image, st.text(), st.text(), st.text(), st.text(), st.integers(0), st.integers(0)
)
LOOKS = st.builds(
    Look, st.integers(0), st.frozensets(st.text()), st.lists(IMAGES, max_size=3).map(tuple)
)


@given(st.lists(LOOKS, min_size=1, max_size=3), st.integers(1, 200))
def test_last_whole_line_is_known_whatever_the_pieces(looks: list[Look], size: int) -> None:
    data = b"".join(map(encode_look, looks))
    last, found = LastLine(), None
    for start in range(0, len(data), size):
        found = last.add(data[start : start + size]) or found
    assert found is not None
    assert decode_look(found) == looks[-1]


def test_half_a_line_is_none() -> None:
    last = LastLine()
    assert last.add(b'{"taken') is None
    assert last.add(b'_ns"}\n{"next') == b'{"taken_ns"}'
    assert last.add(b"") is None
