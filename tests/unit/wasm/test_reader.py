import pytest

from shim.errdefs import InvalidArgumentError
from shim.wasm.reader import Reader


def reader(data: bytes) -> Reader:
    return Reader(data, 0, len(data), "thing")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\0", 0), (b"\x7f", 127), (b"\x80\1", 128), (b"\xff\xff\xff\xff\x0f", 2**32 - 1)],
)
def test_number(data: bytes, expected: int) -> None:
    assert reader(data).u32() == expected


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff\x1f", b"\x80\x80\x80\x80\x80\1"])
def test_number_of_more_than_32_bits(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="thing holds a number of more than 32 bits"):
        reader(data).u32()


def test_section_ends_where_it_says() -> None:
    outer = reader(b"abcd")
    inner = outer.sub(2)
    assert (inner.byte(), inner.byte(), inner.at_end()) == (97, 98, True)
    with pytest.raises(InvalidArgumentError, match="thing ends in the middle"):
        inner.byte()
    assert outer.byte() == 99
    with pytest.raises(InvalidArgumentError):
        outer.sub(2)


def test_number_is_stepped_over() -> None:
    data = reader(b"\x80\x80\1x")
    data.skip_leb(5)
    assert data.byte() == ord("x")
    with pytest.raises(InvalidArgumentError, match="more than 2 bytes"):
        reader(b"\x80\x80\1").skip_leb(2)


def test_name() -> None:
    assert reader("\x02ä".encode()).text() == "ä"
