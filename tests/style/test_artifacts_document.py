"""docs/artifacts.md says what the tests of artifacts hold."""

from tests.artifacts.expectations import CRI, CTR, LINES, Way, outcomes, shapes
from tests.artifacts.packings import PACKINGS
from tests.style.test_tree import read

DOCUMENT = "docs/artifacts.md"


def test_tables_are_those_of_the_tests() -> None:
    text = read(DOCUMENT)
    assert shapes() in text
    assert outcomes() in text


def test_every_packing_has_an_outcome_in_each_line() -> None:
    names = {packing.name for packing in PACKINGS}
    assert set(CRI) == set(CTR) == names
    assert {len(row) for table in (CRI, CTR) for row in table.values()} == {len(LINES)}


def test_ways_round_are_explained() -> None:
    text = read(DOCUMENT)
    words = {word for way in Way for word in way.split(", ")}
    assert [word for word in words if f"| {word} | " not in text] == []
