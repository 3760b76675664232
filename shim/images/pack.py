"""Packs modules and files as an image: the CNCF's Wasm artifact, or an image that runs anywhere.

Rules: the same input has the same bytes, on every machine and at any time, since digests are what
caches, signatures and people compare. Sources: the CNCF's "Wasm OCI Artifact layout" and what the
oci-wasm crate insists on (`created`; `component` for WASI 0.2); the OCI image spec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.images.documents import descriptor_json, encode
from shim.images.store import Store
from shim.images.tar_layer import Addition, write_tar
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import CNCF_CONFIG, OCI_CONFIG, OCI_MANIFEST, OCI_TAR, TITLE, WASM
from shim.wasm.binary import Kind, component_names, sniff

COMPAT_PLATFORM = "linux/amd64"
"""What an image says it is for unless it is told otherwise, on every machine, so that the bytes are
the same: no part of the image depends on the processor, and containerd does not ask of which it
is."""

# Files beside modules. Not the type of an image's layers: containerd 1.7 misses the config's
# diff_ids for each of those, and the first pull fails.
_FILES = "application/vnd.wasm.content.bundle.v1.tar"
_WASI_0_3 = "@0.3."
_SUFFIX = ".wasm"


@dataclass(frozen=True, slots=True)
class Module:
    """A module or component in the binary format, and its file name."""

    name: str
    binary: bytes

    @property
    def is_component(self) -> bool:
        """Whether it is a component, which has WASI 0.2."""
        return sniff(self.binary[:8]) is Kind.COMPONENT


@dataclass(frozen=True, slots=True)
class Settings:
    """What else an image says; those below `annotations` are for images."""

    created_s: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = COMPAT_PLATFORM


def read_module(path: Path) -> Module:
    """Read a module from a file.

    Raises:
        InvalidArgumentError: it cannot be read, or is something else; the text says what.
    """
    try:
        binary = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    kind = sniff(binary[:4096])
    if kind is Kind.TEXT:
        raise InvalidArgumentError(
            f"{path} is Wasm in the text format, which no registry's user expects:"
            " make a binary of it first (wat2wasm)"
        )
    if binary.startswith(b"\x7fELF"):
        raise InvalidArgumentError(
            f"{path} is native code: an artefact that was compiled already (.cwasm) is never taken"
            " from an image; pack the .wasm that it was made from"
        )
    if kind is None:
        raise InvalidArgumentError(f"{path} is no Wasm: it begins with {binary[:8].hex(' ')!r}")
    return Module(path.name, binary)


def warnings(modules: Sequence[Module]) -> list[str]:
    """What can be packed, but will not run here."""
    found = []
    for module in modules:
        if module.is_component:
            names = component_names(module.binary)
            later = [name for name in (*names.imports, *names.exports) if _WASI_0_3 in name]
            if later:
                found.append(
                    f"{module.name} is made for WASI 0.3 ({later[0]}), which Tandem does not have:"
                    " build it for WASI 0.2"
                )
    return found


def pack_artifact(
    store: Store, modules: Sequence[Module], additions: Sequence[Addition], settings: Settings
) -> Descriptor:
    """Add an artifact of the CNCF's layout to a store: a layer for each module, one for files.

    Raises:
        InvalidArgumentError: two modules have one name, or nothing is to be packed.
        UnimplementedError: the settings say what this layout has no place for.
    """
    _check_names(modules)
    if settings.entrypoint or settings.env or settings.labels:
        raise UnimplementedError(
            "a Wasm artifact has no place for an entry point, variables or labels: say --compat to"
            " make an image, or put them into the pod"
        )
    layers = [
        Descriptor(WASM, store.add(each.binary), len(each.binary), {TITLE: each.name})
        for each in modules
    ]
    if additions:
        layers.append(_tar_layer(store, additions, _FILES))
    components = [each for each in modules if each.is_component]
    config: dict[str, Any] = {
        "architecture": "wasm",
        "created": _time(settings.created_s),
        "layerDigests": [layer.digest for layer in layers],
        "os": "wasip2" if components else "wasip1",
    }
    if components:
        names = component_names(components[0].binary)
        config["component"] = {"exports": list(names.exports), "imports": list(names.imports)}
    return _finish(store, CNCF_CONFIG, config, layers, settings)


def pack_image(
    store: Store, modules: Sequence[Module], additions: Sequence[Addition], settings: Settings
) -> Descriptor:
    """Add an image FROM scratch to a store, with the modules as files at its top.

    Raises:
        InvalidArgumentError: two modules have one name, nothing says which of several is the entry
            point, or the platform is none.
    """
    _check_names(modules)
    if not settings.entrypoint:
        if len(modules) > 1:
            raise InvalidArgumentError("several modules: --entrypoint must say which one is run")
        settings = replace(settings, entrypoint=(f"/{modules[0].name}",))
    layers = [_tar_layer(store, additions, OCI_TAR)] if additions else []
    files = [Addition(f"/{module.name}", module.binary) for module in modules]
    layers.append(_tar_layer(store, files, OCI_TAR))
    return finish_image(store, layers, [layer.digest for layer in layers], settings)


def finish_image(
    store: Store, layers: Sequence[Descriptor], diff_ids: Sequence[str], settings: Settings
) -> Descriptor:
    """Add configuration and manifest of an image whose layers are in a store.

    Args:
        store: where they are.
        layers: the layers, the lowest first.
        diff_ids: the digests of their archives before compression.
        settings: what else the image says; it must have an entry point.

    Raises:
        InvalidArgumentError: the platform is none.
    """
    system, _, processor = settings.platform.partition("/")
    if not system or not processor or "/" in processor:
        raise InvalidArgumentError(
            f"platform {settings.platform!r} must be SYSTEM/PROCESSOR, such as wasip1/wasm"
        )
    process: dict[str, Any] = {"Entrypoint": list(settings.entrypoint), "WorkingDir": "/"}
    if settings.env:
        process["Env"] = list(settings.env)
    if settings.labels:
        process["Labels"] = dict(settings.labels)
    config = {
        "architecture": processor,
        "config": process,
        "created": _time(settings.created_s),
        "os": system,
        "rootfs": {"diff_ids": list(diff_ids), "type": "layers"},
    }
    return _finish(store, OCI_CONFIG, config, layers, settings)


def _check_names(modules: Sequence[Module]) -> None:
    if not modules:
        raise InvalidArgumentError("nothing to pack: name a module")
    names = [module.name for module in modules]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"two modules are called {name}: rename one of them")


def _tar_layer(store: Store, additions: Sequence[Addition], media_type: str) -> Descriptor:
    with store.writing() as writer:
        write_tar(additions, cast("IO[bytes]", writer))
        return Descriptor(media_type, writer.finish(), writer.size)


def _finish(
    store: Store,
    config_type: str,
    config: Mapping[str, Any],
    layers: Sequence[Descriptor],
    settings: Settings,
) -> Descriptor:
    document = encode(config)
    described = Descriptor(config_type, store.add(document), len(document))
    manifest: dict[str, Any] = {
        "config": descriptor_json(described),
        "layers": [descriptor_json(layer) for layer in layers],
        "mediaType": OCI_MANIFEST,
        "schemaVersion": 2,
    }
    if settings.annotations:
        manifest["annotations"] = dict(settings.annotations)
    document = encode(manifest)
    return Descriptor(OCI_MANIFEST, store.add(document), len(document))


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        raise InvalidArgumentError(f"{seconds} seconds since 1970 are no time") from None
