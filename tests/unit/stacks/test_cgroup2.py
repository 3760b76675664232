import pytest

from tests.stacks.cgroup2 import MARKER, status


@pytest.mark.parametrize(
    ("last_words", "expected"),
    [
        (f"{MARKER} exit status 0", 0),
        (f"{MARKER} exit status 2", 2),
        (f"{MARKER} init failed", 1),
        (f"{MARKER} exit status ", 1),
        ("", 1),
    ],
)
def test_only_the_guest_says_that_its_tests_passed(last_words: str, expected: int) -> None:
    assert status(last_words) == expected
