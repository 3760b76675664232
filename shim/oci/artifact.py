"""What an image comes down to for us: modules, and the files that they see.

Rules: pure; documents come from the caller's `read`, verified. An image without a Wasm layer is
nobody's artifact (None): containerd has unpacked it, and its files speak for themselves.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from shim.errdefs import InvalidArgumentError
from shim.oci.descriptors import Descriptor, Manifest, Read
from shim.oci.indexes import find_manifest
from shim.oci.layers import Kind, Packing, kind_of, packing_of, spin_application
from shim.oci.media_types import is_image_config, is_unpacked_by_containerd
from shim.oci.paths import safe_path
from shim.oci.spin import MAX_APPLICATION_BYTES, Content, Trigger, parse_application

MAX_LAYERS = 500
"""Spin's own bound, and that of some registries."""
MAX_TOTAL_BYTES = 16 << 30
MAX_TITLE = 1024


@dataclass(frozen=True, slots=True)
class File:
    """One file at `path`, relative and safe: a blob, or inline, or (neither) in an archive.

    `digest` is that of its bytes in every case.
    """

    path: str
    digest: str
    blob: Descriptor | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A module or component; `name` is its title or its id in a Spin application, or empty.

    `env` (`NAME=value`) is what the artifact asks for; the container's own variables win.
    """

    descriptor: Descriptor
    name: str = ""
    env: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    is_component_of_spin: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar; `in_rootfs` says that containerd unpacks it into the root file system itself."""

    descriptor: Descriptor
    in_rootfs: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """The files that a module's guest sees beside containerd's: tars in order, then single files.

    `archives` hold those files that are neither blobs nor inline.
    """

    layers: tuple[Descriptor, ...] = ()
    files: tuple[File, ...] = ()
    archives: tuple[Descriptor, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to unpack."""
        return not self.layers and not self.files

    @property
    def key(self) -> str:
        """64 hex digits that name exactly these files: a directory's name."""
        lines = [f"layer {layer.digest}" for layer in self.layers]
        lines += [f"file {file.digest} {file.path}" for file in self.files]
        # no path holds a NUL
        return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image with at least one Wasm layer; `digest` is its manifest's.

    `native` are layers that claim to be compiled already, which are never run (decision 3).
    `config` is read by nobody here: see `shim.oci.image_config`.
    """

    digest: str
    packing: Packing
    config: Descriptor
    modules: tuple[Module, ...]
    native: tuple[Module, ...] = ()
    layers: tuple[Layer, ...] = ()
    files: tuple[File, ...] = ()
    archives: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def contents(self, module: Module, *, with_rootfs: bool) -> Contents:
        """The files for `module`'s guest.

        Args:
            module: one of `modules`.
            with_rootfs: take the layers along that containerd unpacks into a root file system,
                because no containerd is there.
        """
        layers = [layer.descriptor for layer in self.layers if with_rootfs or not layer.in_rootfs]
        files = (*self.files, *module.files)
        in_archives = any(file.blob is None and file.content is None for file in files)
        return Contents(tuple(layers), files, self.archives if in_archives else ())


def load_artifact(target: Descriptor, read: Read) -> Artifact | None:
    """Follow an image's target through indexes to its artifact; None is an ordinary image.

    Raises:
        InvalidArgumentError: a document is malformed, too large or too deep, or the artifact is
            one that nobody can run; the text says why.
        NotFoundError: a document is not there.
        UnimplementedError: it needs something that Tandem does not have.
    """
    found = find_manifest(target, read)
    return read_artifact(*found, read) if found else None


def read_artifact(digest: str, manifest: Manifest, read: Read) -> Artifact | None:
    """What the manifest with this digest comes down to; None is an ordinary image.

    Raises: as `load_artifact`.
    """
    packing = packing_of(manifest)
    kinds: dict[Kind, list[Descriptor]] = {kind: [] for kind in Kind}
    for layer in manifest.layers:
        kinds[kind_of(layer, packing)].append(layer)
    application = spin_application(manifest)
    if not application and not kinds[Kind.WASM] and not kinds[Kind.NATIVE]:
        if packing is Packing.CNCF:
            raise InvalidArgumentError(_no_module(digest, manifest))
        return None
    _check_sizes(digest, manifest)
    modules = _named(kinds[Kind.WASM])
    if application:
        modules = _components(manifest, application, read)
    return Artifact(
        digest=digest,
        packing=packing,
        config=manifest.config,
        modules=modules,
        native=_named(kinds[Kind.NATIVE]),
        layers=tuple(_layer(layer, manifest.config) for layer in kinds[Kind.TAR]),
        files=tuple(_file(layer) for layer in kinds[Kind.FILE]),
        archives=tuple(kinds[Kind.ARCHIVE]),
        annotations=manifest.annotations,
    )


def _named(layers: Iterable[Descriptor]) -> tuple[Module, ...]:
    """Modules by their titles; the same one twice is one."""
    modules = {(layer.digest, layer.title): Module(layer, layer.title) for layer in layers}
    return tuple(modules.values())


def _layer(layer: Descriptor, config: Descriptor) -> Layer:
    in_rootfs = is_image_config(config.media_type) and is_unpacked_by_containerd(layer.media_type)
    return Layer(layer, in_rootfs)


def _file(layer: Descriptor) -> File:
    return File(safe_path(layer.title, f"layer {layer.digest}"), layer.digest, layer)


def _components(manifest: Manifest, descriptor: Descriptor, read: Read) -> tuple[Module, ...]:
    if descriptor.size > MAX_APPLICATION_BYTES:
        raise InvalidArgumentError(
            f"spin application {descriptor.digest} has {descriptor.size} bytes, and"
            f" {MAX_APPLICATION_BYTES} are the most that are read"
        )
    application = parse_application(read(descriptor))
    blobs = {layer.digest: layer for layer in manifest.layers}
    has_archives = any(kind_of(each, Packing.SPIN) is Kind.ARCHIVE for each in manifest.layers)
    modules = []
    for component in application.components:
        layer = blobs.get(component.digest)
        if layer is None:
            raise InvalidArgumentError(
                f"spin component {component.id!r}: no layer has its digest {component.digest}"
            )
        files = [_content(each, blobs) for each in component.files]
        triggers = [each for each in application.triggers if each.component == component.id]
        module = Module(layer, component.id, component.env, tuple(files), tuple(triggers))
        modules.append(replace(module, is_component_of_spin=True))
        lost = [file for file in files if file.blob is None and file.content is None]
        if lost and not has_archives:
            raise InvalidArgumentError(
                f"spin component {component.id!r}: no layer has the digest {lost[0].digest} of its"
                f" file {lost[0].path[:200]!r}"
            )
    return tuple(modules)


def _content(content: Content, blobs: Mapping[str, Descriptor]) -> File:
    if content.inline is not None:
        return File(content.path, content.digest, content=content.inline)
    return File(content.path, content.digest, blobs.get(content.digest))


def _check_sizes(digest: str, manifest: Manifest) -> None:
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidArgumentError(
            f"artifact {digest} has {len(manifest.layers)} layers, and {MAX_LAYERS} are the most;"
            " put files into one tar"
        )
    total = sum(layer.size for layer in manifest.layers)
    if total > MAX_TOTAL_BYTES:
        raise InvalidArgumentError(
            f"artifact {digest} says that its layers have {total} bytes, and {MAX_TOTAL_BYTES} are"
            " the most"
        )
    for layer in manifest.layers:
        if len(layer.title) > MAX_TITLE:
            raise InvalidArgumentError(
                f"artifact {digest}: the title of layer {layer.digest} has more than {MAX_TITLE}"
                " characters"
            )


def _no_module(digest: str, manifest: Manifest) -> str:
    types = sorted({layer.media_type for layer in manifest.layers})
    found = ", ".join(types[:10]) if types else "there is none"
    return f"artifact {digest} has a Wasm config, and no layer that is a module: {found}"
