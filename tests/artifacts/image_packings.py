"""Images: an image config, with modules in tar layers or as layers of their own.

The shapes are those of docker and buildx, and of runwasi's oci-tar-builder. Each builder gets the
name that the guest prints.
"""

import hashlib

from tests.artifacts import guests
from tests.support import packing
from tests.support.packing import TAR, TAR_GZIP, WASM, Artifact, image_config, tar_layer
from tests.support.registry import Blob

COMPONENT_LAYER = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
CONTENT_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
MOTTO = b"two under one yoke\n"


def _image(
    platform: str, path: str, content: bytes, layer_type: str = TAR, docker: bool = False
) -> Artifact:
    layer = tar_layer({path: content}, layer_type)
    kinds: dict[str, str] = {}
    config_type = packing.CONFIG
    if docker:
        config_type = "application/vnd.docker.container.image.v1+json"
        kinds = {"media_type": "application/vnd.docker.distribution.manifest.v2+json"}
    config = image_config(
        platform, [packing.diff_id(layer)], media_type=config_type, Entrypoint=[path]
    )
    return packing.manifest(config, [layer], **kinds)  # type: ignore[arg-type]


def scratch(name: str) -> Artifact:
    return _image("linux/amd64", "/app.wasm", guests.module(name))


def scratch_no_extension(name: str) -> Artifact:
    return _image("linux/amd64", "/bin/app", guests.module(name))


def scratch_text(name: str) -> Artifact:
    return _image("linux/amd64", "/app.wat", guests.text_of(name).encode())


def scratch_docker(name: str) -> Artifact:
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return _image("linux/amd64", "/app.wasm", guests.module(name), kind, docker=True)


def scratch_variant(name: str) -> Artifact:
    """What crun's documents ask for: an annotation at the manifest, which we do not need."""
    layer = tar_layer({"/app.wasm": guests.module(name)}, TAR_GZIP)
    config = image_config("linux/amd64", [packing.diff_id(layer)], Entrypoint=["/app.wasm"])
    annotations = {"module.wasm.image/variant": "compat"}
    return packing.manifest(config, [layer], annotations=annotations)


def scratch_spin(name: str) -> Artifact:
    """What SpinKube's shim takes beside artifacts: a folder with a spin.toml, and `/` to run."""
    files = {"/spin.toml": b"spin_manifest_version = 2\n", "/app.wasm": guests.module(name)}
    layer = tar_layer(files, TAR_GZIP)
    config = image_config("linux/amd64", [packing.diff_id(layer)], Cmd=["/"])
    return packing.manifest(config, [layer])


def compat_wasip1(name: str) -> Artifact:
    return _image("wasip1/wasm", "/app.wasm", guests.module(name), TAR_GZIP)


def compat_wasi(name: str) -> Artifact:
    return _image("wasi/wasm", "/app.wasm", guests.module(name), TAR_GZIP)


def compat_index(name: str) -> Artifact:
    return packing.index({"wasi/wasm": compat_wasi(name)})


def oci_tar_builder(
    name: str, *layers: Blob, layer_type: str = COMPONENT_LAYER, diff_ids: tuple[str, ...] = ()
) -> Artifact:
    """What runwasi's builder makes of --module, and of --layer."""
    module = Blob(layer_type, guests.module(name))
    digests = "".join(blob.digest.removeprefix("sha256:") for blob in (module, *layers))
    labels = {"containerd.runwasi.layers": hashlib.sha256(digests.encode()).hexdigest()}
    config = image_config("wasip1/wasm", diff_ids, Entrypoint=["app.wasm"], Labels=labels)
    return packing.manifest(config, [module, *layers])


def runwasi(name: str) -> Artifact:
    return oci_tar_builder(name)


def image_wasm_layer(name: str) -> Artifact:
    return oci_tar_builder(name, layer_type=WASM)


def image_content_layer(name: str) -> Artifact:
    return oci_tar_builder(name, layer_type=CONTENT_LAYER)


def image_linux(name: str) -> Artifact:
    """The same with the platform that every containerd takes for its own."""
    layer = Blob(WASM, guests.module(name))
    labels = {"layer": layer.digest}
    config = image_config("linux/amd64", Entrypoint=["app.wasm"], Labels=labels)
    return packing.manifest(config, [layer])


def image_diff_ids(name: str) -> Artifact:
    module = Blob(WASM, guests.module(name))
    return oci_tar_builder(name, layer_type=WASM, diff_ids=(module.digest,))


def mixed(name: str) -> Artifact:
    files = tar_layer({"/etc/motto.txt": MOTTO, f"/{name}": b""}, TAR_GZIP)
    return oci_tar_builder(name, files, diff_ids=(packing.diff_id(files),))


def mixed_linux(name: str) -> Artifact:
    files = tar_layer({"/etc/motto.txt": MOTTO, f"/{name}": b""}, TAR_GZIP)
    module = Blob(WASM, guests.module(name))
    config = image_config("linux/amd64", [packing.diff_id(files)], Entrypoint=["app.wasm"])
    return packing.manifest(config, [module, files])


def mixed_empty(name: str) -> Artifact:
    return oci_tar_builder(name, tar_layer({"/etc/motto.txt": MOTTO, f"/{name}": b""}))
