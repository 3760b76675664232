"""Artifacts: a config that is not an image's, or an image's that only Spin reads, and layers.

The shapes are those of oci-wasm (which wkg and oci-tar-builder use), wasm-to-oci over oras-go 0.x,
the ORAS command, Solo's wasm-image-spec, and Spin's oci crate over rust-oci-client. Each builder
gets the name that the guest prints.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping

from tests.artifacts import guests
from tests.artifacts.image_packings import CONTENT_LAYER, MOTTO, compat_wasi
from tests.support import packing
from tests.support.images import Content
from tests.support.packing import TAR, TAR_GZIP, WASM, Artifact, image_config, json_blob, tar_layer
from tests.support.registry import Blob

CNCF_CONFIG = "application/vnd.wasm.config.v0+json"
# Tars that are not for a root file system: containerd fetches those of an image's own type only
# where it unpacks them, which it does for an image's config alone.
FILES = "application/vnd.wasm.content.bundle.v1.tar"
LARGE = MOTTO * 20


def _cncf(
    layer: Blob, component: Mapping[str, object] | None, *files: Blob, **more: object
) -> Artifact:
    config = {
        "created": "2026-11-25T12:00:00.000000000Z",
        "author": None,
        "architecture": "wasm",
        "os": "wasip2" if component else "wasip1",
        "layerDigests": [each.digest for each in (layer, *files)],
        "component": component,
    }
    return packing.manifest(json_blob(CNCF_CONFIG, config), [layer, *files], **more)  # type: ignore[arg-type]


def cncf_module(name: str) -> Artifact:
    return _cncf(Blob(WASM, guests.module(name)), None)


def cncf_files(name: str) -> Artifact:
    module = Blob(WASM, guests.reader(name))
    return _cncf(module, None, tar_layer({"/texts/large.txt": LARGE}, FILES))


def cncf_component(name: str) -> Artifact:
    exports = {"exports": [], "imports": ["wasi:cli/exit@0.2.0"], "target": None}
    return _cncf(Blob(WASM, guests.component(name)), exports)


def wkg(name: str) -> Artifact:
    """What `wkg oci push` adds to the above: annotations out of the component's metadata."""
    exports = {
        "exports": ["wasi:cli/run@0.2.0"],
        "imports": ["wasi:cli/exit@0.2.0"],
        "target": None,
    }
    annotations = {
        "org.opencontainers.image.version": "0.1.0",
        "org.opencontainers.image.description": name,
    }
    return _cncf(Blob(WASM, guests.component(name)), exports, annotations=annotations)


def wasm_to_oci(name: str) -> Artifact:
    config = Blob("application/vnd.wasm.config.v1+json", b"{}")
    layer = Blob(CONTENT_LAYER, guests.module(name))
    return packing.manifest(config, [layer], annotated=packing.titled("app.wasm"), mediaType=None)


def wasm_image_spec(name: str) -> Artifact:
    """Solo's: its config is JSON about the module."""
    config = json_blob("application/vnd.module.wasm.config.v1+json", {"type": "wasi", "name": name})
    layer = Blob("application/vnd.module.wasm.content.layer.v1+wasm", guests.module(name))
    return packing.manifest(config, [layer], annotated=packing.titled("app.wasm"))


def oras(name: str) -> Artifact:
    """`oras push --artifact-type ... app.wasm:application/wasm`, from 1.1 on."""
    empty = Blob("application/vnd.oci.empty.v1+json", b"{}")
    layer = Blob(WASM, guests.module(name))
    return packing.manifest(
        empty,
        [layer],
        annotated=packing.titled("app.wasm"),
        artifactType="application/vnd.unknown.artifact.v1",
        inline=True,
        annotations={"org.opencontainers.image.created": "2026-11-25T12:00:00Z"},
    )


def oras_tar_type(name: str) -> Artifact:
    """`oras push ... app.wasm` without a type: the file itself, called a tar."""
    config = Blob("application/vnd.unknown.config.v1+json", b"{}")
    layer = Blob(TAR, guests.module(name))
    return packing.manifest(config, [layer], annotated=packing.titled("app.wasm"))


def oras_files(name: str) -> Artifact:
    """`oras push ... app.wasm:application/wasm texts/`: ORAS packs a folder and says so."""
    config = Blob("application/vnd.unknown.config.v1+json", b"{}")
    files = tar_layer({"/texts/large.txt": LARGE}, TAR_GZIP)
    folder = {packing.TITLE: "texts", "io.deis.oras.content.unpack": "true"}
    module = Blob(WASM, guests.reader(name))
    annotated = [*packing.titled("app.wasm"), folder]
    return packing.manifest(config, [module, files], annotated=annotated)


def oras_no_config(name: str) -> Artifact:
    """`oras push --config /dev/null:...`, as older instructions say."""
    config = Blob("application/vnd.wasm.config.v1+json", b"")
    return packing.manifest(
        config, [Blob(CONTENT_LAYER, guests.module(name))], annotated=packing.titled("app.wasm")
    )


def several(name: str) -> Artifact:
    """Two modules with titles: the second prints the name."""
    other = Blob(WASM, guests.module(f"not-{name}", 9))
    module = Blob(WASM, guests.module(name))
    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "layerDigests": [other.digest, module.digest],
    }
    annotated = packing.titled("other.wasm", "app.wasm")
    return packing.manifest(json_blob(CNCF_CONFIG, config), [other, module], annotated=annotated)


def locked_app(
    name: str, components: Mapping[str, tuple[Blob, list[dict[str, object]]]], kind: str = "command"
) -> Blob:
    """Spin's description of an application.

    Args:
        name: its own.
        components: a module and its files for each id.
        kind: of the trigger that each of them has.
    """
    document = {
        "spin_lock_version": 1,
        "metadata": {"name": name},
        "triggers": [
            {"id": f"trigger--{each}", "trigger_type": kind, "trigger_config": {"component": each}}
            for each in components
        ],
        "components": [
            {
                "id": each,
                "metadata": {},
                "source": {"content_type": WASM, "digest": source.digest},
                "env": {"COLOUR": "blue"},
                "files": files,
            }
            for each, (source, files) in components.items()
        ],
    }
    return json_blob("application/vnd.fermyon.spin.application.v1+config", document)


def spin_app(app: Blob, *layers: Blob) -> Artifact:
    """A Spin application as it is pushed: its description is the last layer."""
    labels = {"com.fermyon.spin.lockedAppDigest": app.digest}
    config = image_config("Wasip1/wasm", Labels=labels)
    return packing.manifest(config, [*layers, app], mediaType=None)


def spin(name: str) -> Artifact:
    module = Blob(CONTENT_LAYER, guests.reader(name))
    data = Blob("application/vnd.wasm.content.layer.v1+data", LARGE)
    inline = {"inline": base64.b64encode(MOTTO).decode(), "digest": _digest(MOTTO)}
    files: list[dict[str, object]] = [
        {**inline, "path": "motto.txt"},
        {"digest": data.digest, "path": "texts/large.txt"},
    ]
    return spin_app(locked_app(name, {"app": (module, files)}), module, data)


def spin_archive(name: str) -> Artifact:
    module = Blob(CONTENT_LAYER, guests.reader(name))
    archive = tar_layer({"/motto.txt": MOTTO, "/texts/large.txt": LARGE}, f"{FILES}+gzip")
    files: list[dict[str, object]] = [
        {"digest": _digest(MOTTO), "path": "motto.txt"},
        {"digest": _digest(LARGE), "path": "texts/large.txt"},
    ]
    return spin_app(locked_app(name, {"app": (module, files)}), module, archive)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _linux(name: str) -> Artifact:
    """An image for Linux beside the Wasm one, which prints that it is."""
    files: dict[str, Content] = {"/app": guests.linux()}
    layer = tar_layer(files, TAR_GZIP)
    command = ["/app", "say", "linux", "--", "exit", "3"]
    labels = {"name": name}
    config = image_config(
        "linux/amd64", [packing.diff_id(layer)], Entrypoint=command, Labels=labels
    )
    return packing.manifest(config, [layer])


def _beside_linux(name: str, platform: str, entry: Callable[[str], Artifact]) -> Artifact:
    return packing.index({"linux/amd64": _linux(name), platform: entry(name)})


def index_wasi(name: str) -> Artifact:
    return _beside_linux(name, "wasi/wasm", compat_wasi)


def index_wasip1(name: str) -> Artifact:
    return _beside_linux(name, "wasip1/wasm", cncf_module)


def index_wasip2(name: str) -> Artifact:
    return _beside_linux(name, "wasip2/wasm", cncf_component)


def index_alone(name: str) -> Artifact:
    return packing.index({"wasip2/wasm": cncf_component(name)})
