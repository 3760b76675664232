"""Descriptions of artefacts, there and back, and what is none."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shim.aot.entry import Description, decode_description, encode_description
from shim.wasm.binary import Kind

DESCRIPTIONS = st.builds(
    Description,
    kind=st.sampled_from([Kind.MODULE, Kind.COMPONENT]),
    sha256=st.text(),
    size=st.integers(0),
    module_size=st.integers(0),
    images=st.lists(st.text(), max_size=3).map(tuple),
    created=st.integers(),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(DESCRIPTIONS)
def test_description_there_and_back(description: Description) -> None:
    assert decode_description(encode_description(description)) == description


@given(DESCRIPTIONS, st.sampled_from(["kind", "sha256", "size", "images", "created"]), JSON)
def test_description_with_one_wrong_member_is_none_or_well_formed(
    description: Description, name: str, value: object
) -> None:
    members = json.loads(encode_description(description)) | {name: value}
    found = decode_description(json.dumps(members).encode())
    assert found is None or decode_description(encode_description(found)) == found


@given(st.binary())
def test_any_bytes_are_no_description(text: bytes) -> None:
    assert decode_description(text) is None


def test_newest_image_is_last_and_the_oldest_are_forgotten() -> None:
    description = Description(Kind.MODULE, "", 1, 1, ("a", "b"), 0)
    assert description.with_image("a").images == ("b", "a")
    for number in range(300):
        description = description.with_image(str(number))
    assert description.images == tuple(str(number) for number in range(44, 300))
