"""What each media type is."""

import pytest

from shim.oci import media_types as m


@pytest.mark.parametrize(
    ("media_type", "is_wasm", "is_native", "is_tar", "by_containerd"),
    [
        ("application/wasm", True, False, False, False),
        ("application/vnd.wasm.content.layer.v1+wasm", True, False, False, False),
        ("application/vnd.module.wasm.content.layer.v1+wasm", True, False, False, False),
        (
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
            True,
            False,
            False,
            False,
        ),
        ("application/vnd.wasm.component.v1", True, False, False, False),
        ("APPLICATION/WASM ; charset=x", True, False, False, False),
        ("application/vnd.example.cwasm", False, True, False, False),
        ("application/vnd.example.precompiled+wasm", False, True, False, False),
        ("application/vnd.oci.image.layer.v1.tar", False, False, True, True),
        ("application/vnd.oci.image.layer.v1.tar+zstd", False, False, True, True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", False, False, True, True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", False, False, True, True),
        ("application/vnd.wasm.content.bundle.v1.tar+gzip", False, False, True, False),
        ("application/x-tar", False, False, True, False),
        ("application/vnd.wasm.content.layer.v1+data", False, False, False, False),
        ("text/plain", False, False, False, False),
        ("", False, False, False, False),
    ],
)
def test_layers(
    media_type: str, is_wasm: bool, is_native: bool, is_tar: bool, by_containerd: bool
) -> None:
    assert m.is_wasm(media_type) is is_wasm
    assert m.is_native(media_type) is is_native
    assert m.is_tar(media_type) is is_tar
    assert m.is_unpacked_by_containerd(media_type) is by_containerd


@pytest.mark.parametrize(
    ("media_type", "is_index", "is_wasm_config", "is_image_config"),
    [
        (m.OCI_INDEX, True, False, False),
        (m.DOCKER_INDEX, True, False, False),
        (m.OCI_MANIFEST, False, False, False),
        (m.CNCF_CONFIG, False, True, False),
        ("application/vnd.wasm.config.v1+json", False, True, False),
        (m.OCI_CONFIG, False, False, True),
        (m.DOCKER_CONFIG, False, False, True),
        ("application/vnd.oci.empty.v1+json", False, False, False),
    ],
)
def test_documents(
    media_type: str, is_index: bool, is_wasm_config: bool, is_image_config: bool
) -> None:
    assert m.is_index(media_type) is is_index
    assert m.is_wasm_config(media_type) is is_wasm_config
    assert m.is_image_config(media_type) is is_image_config
