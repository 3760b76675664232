import pytest

from shim.errdefs import InternalError
from shim.images.documents import descriptor_json, encode, index_entry, read_entries
from shim.oci.descriptors import Descriptor

DIGEST = "sha256:" + "a" * 64
TARGET = Descriptor("application/vnd.oci.image.manifest.v1+json", DIGEST, 2)


def test_documents_have_one_form() -> None:
    assert encode({"b": [1, "ä"], "a": {"d": None, "c": True}}) == (
        '{"a":{"c":true,"d":null},"b":[1,"ä"]}'.encode()
    )


def test_descriptor_says_annotations_only_where_it_has_some() -> None:
    assert set(descriptor_json(TARGET)) == {"mediaType", "digest", "size"}
    assert descriptor_json(Descriptor("t", DIGEST, 1, {"a": "b"}))["annotations"] == {"a": "b"}


def test_index_is_read_back() -> None:
    entries = [index_entry("registry.example/a:1", TARGET), descriptor_json(TARGET)]
    index = encode({"schemaVersion": 2, "manifests": entries})
    assert read_entries(index) == {"registry.example/a:1": TARGET, DIGEST: TARGET}


@pytest.mark.parametrize("index", [b"", b"{", b"[]", b'{"manifests": 1}', b'{"manifests": [{}]}'])
def test_unusable_index_is_an_error(index: bytes) -> None:
    with pytest.raises(InternalError, match="unusable"):
        read_entries(index)
