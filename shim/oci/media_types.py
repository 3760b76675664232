"""The media types under which people keep Wasm in registries, and what each one is.

Rules: pure; a type is judged by its name alone, without parameters and whatever its case.
Sources: OCI image-spec (media-types.md); containerd's images/mediatypes.go; the CNCF's Wasm OCI
artifact; runwasi's containerd-shim-wasm; Spin's oci crate; wasm-to-oci; solo-io's
wasm-image-spec; ORAS.
"""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar"
OCI_TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

CNCF_CONFIG = "application/vnd.wasm.config.v0+json"
WASM = "application/wasm"

SPIN_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
SPIN_DATA = "application/vnd.wasm.content.layer.v1+data"
SPIN_ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"

TITLE = "org.opencontainers.image.title"
# ORAS marks a directory that it has packed with this annotation.
ORAS_UNPACK = "io.deis.oras.content.unpack"

_WASM_CONFIGS = frozenset(
    {
        CNCF_CONFIG,
        "application/vnd.wasm.config.v1+json",  # wasm-to-oci, krustlet
        "application/vnd.module.wasm.config.v1+json",  # wasm-image-spec
    }
)
_UNPACKED_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_WASM_WITHOUT_SUFFIX = frozenset({WASM, "application/vnd.wasm.component.v1"})
# What containerd unpacks into a root file system, where the config's type lets it.
_OCI_LAYERS = "application/vnd.oci.image.layer."
_DOCKER_LAYERS = "application/vnd.docker.image.rootfs."
_TAR_ENDINGS = ("tar", "tar+gzip", "tar+zstd", "tar.gzip", "tar.zstd", "diff.tar.gz")
_NATIVE_WORDS = ("cwasm", "precompiled", "+elf")


def base_type(media_type: str) -> str:
    """The type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def is_index(media_type: str) -> bool:
    """Whether it names other manifests."""
    return base_type(media_type) in {OCI_INDEX, DOCKER_INDEX}


def is_wasm_config(media_type: str) -> bool:
    """Whether an artifact with a config of this type says of itself that it is Wasm."""
    return base_type(media_type) in _WASM_CONFIGS


def is_image_config(media_type: str) -> bool:
    """Whether containerd unpacks the tar layers of an image with a config of this type."""
    return base_type(media_type) in _UNPACKED_CONFIGS


def is_wasm(media_type: str) -> bool:
    """Whether a layer of this type is a module or component as it is, not in an archive."""
    name = base_type(media_type)
    return (name in _WASM_WITHOUT_SUFFIX or name.endswith("+wasm")) and not is_native(media_type)


def is_native(media_type: str) -> bool:
    """Whether a layer of this type is said to be compiled already."""
    name = base_type(media_type)
    return any(word in name for word in _NATIVE_WORDS)


def is_tar(media_type: str) -> bool:
    """Whether a layer of this type is a tar archive, compressed or not."""
    return base_type(media_type).endswith(_TAR_ENDINGS)


def is_unpacked_by_containerd(media_type: str) -> bool:
    """Whether containerd takes a layer of this type for a part of a root file system."""
    return base_type(media_type).startswith((_OCI_LAYERS, _DOCKER_LAYERS))
