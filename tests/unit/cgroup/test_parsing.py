import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.api import cgroups_v2_pb2 as pb
from shim.cgroup.parsing import (
    UNLIMITED,
    fill,
    huge_page_sizes,
    number_in,
    read_number,
    read_pairs,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0\n", 0),
        ("9223372036854771712\n", 9223372036854771712),
        ("18446744073709551615", UNLIMITED),
        ("18446744073709551616", None),
        ("max\n", UNLIMITED),
        ("-1", None),
        ("1_000", None),
        ("٣", None),
        ("", None),
        ("1" * 10_000, None),
    ],
)
def test_numbers_have_64_bits(text: str, number: int | None) -> None:
    assert read_number(text) == number


def test_pairs_pass_over_what_they_do_not_know() -> None:
    text = "low 0\nmax 3\n\nodd\nwords 1 2\nbelow -1\noom_kill 2\n"
    assert read_pairs(text) == {"low": 0, "max": 3, "oom_kill": 2}


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    assert all(0 <= value <= UNLIMITED for value in read_pairs(text).values())


def test_a_file_that_is_not_there_says_zero() -> None:
    texts = {"pids.max": "max\n", "pids.current": "7\n"}
    assert number_in(texts, "pids.current") == 7
    assert (number_in(texts, "pids.max"), number_in(texts, "pids.max", unlimited=0)) == (
        UNLIMITED,
        0,
    )
    assert number_in(texts, "memory.max") == 0


def test_only_numbers_are_filled_in() -> None:
    message = pb.MemoryStat()
    fill(message, {"anon": 5, "psi": 6, "unknown": 7})
    assert message == pb.MemoryStat(anon=5)


def test_huge_pages_are_known_by_their_files() -> None:
    names = ("hugetlb.2MB.max", "hugetlb.1GB.max", "hugetlb.2MB.events", "hugetlb.2MB.rsvd.max")
    assert huge_page_sizes((*names, "memory.max")) == ["1GB", "2MB"]
