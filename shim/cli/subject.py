"""What a person names, a module, a directory, an archive or an image, come down to its modules.

Rules: reads only, and only what is here: no registry is asked, nothing is compiled or run. Images
are not trusted: what is read of them is bounded and verified.
"""

import hashlib
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from shim.content.rootfs import Program, extract
from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.images.archive import open_archive
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.images.transfer import find_here
from shim.oci.artifact import Artifact, load_artifact
from shim.oci.descriptors import Descriptor, Manifest, parse_manifest
from shim.oci.entrypoint import parse_entrypoint
from shim.oci.image_config import ImageConfig, parse_config
from shim.oci.indexes import find_manifest
from shim.oci.media_types import is_index, is_unpacked_by_containerd
from shim.wasm.binary import sniff

MAX_MODULE_BYTES = 1 << 30
_TAR_MAGIC = (257, b"ustar")


class Form(StrEnum):
    """What was named."""

    FILE = "file"
    DIRECTORY = "directory"
    ARTIFACT = "artifact"  # Wasm layers, of whatever packing
    IMAGE = "image"  # files that containerd unpacks


@dataclass(frozen=True, slots=True)
class Found:
    """One module."""

    name: str
    digest: str
    size: int
    binary: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything about what was named.

    `packing` is `shim.oci.artifact.Packing`'s for artifacts, else the form. `problem` says why no
    module was found in it.
    """

    form: Form
    packing: str
    modules: tuple[Found, ...]
    name: str = ""
    digest: str = ""
    size: int = 0
    config: ImageConfig = field(default_factory=ImageConfig)
    files: int = 0
    problem: str = ""


class Blobs(Protocol):
    """Where an image's blobs are."""

    def images(self) -> dict[str, Descriptor]:
        """What is there, by name."""

    def read(self, blob: Descriptor) -> bytes:
        """A blob, whole and verified."""

    def open(self, blob: Descriptor) -> BinaryIO:
        """A blob, for who verifies it."""


def load_subject(text: str, open_store: Callable[[], Store]) -> Subject:
    """Look at a path, or at the name of an image in the store.

    Raises:
        NotFoundError: there is nothing of that name.
        InvalidArgumentError: it is malformed.
        ShimError: see `load_artifact` and `Store`.
    """
    path = Path(text)
    if path.is_dir() and not (path / "oci-layout").exists():
        return _directory(path)
    if path.is_dir() or _is_tar(path):
        with open_archive(path) as archive:
            return _image_in(archive, text)
    if path.is_file():
        return _file(path)
    if text.startswith(("/", "./", "../")):
        raise NotFoundError(f"{text} does not exist")
    store = open_store()
    reference = parse_reference(text)
    return load_image(store, str(reference), store.resolve(reference))


def load_image(blobs: Blobs, name: str, target: Descriptor) -> Subject:
    """Look at an image.

    Raises:
        ShimError: as `load_subject`.
    """
    artifact = load_artifact(target, blobs.read)
    if artifact:
        return _artifact(blobs, name, target, artifact)
    digest, manifest = manifest_of(blobs, name, target)
    config = parse_config(blobs.read(manifest.config))
    size = manifest.config.size + sum(layer.size for layer in manifest.layers)
    module, problem = _entry_point(blobs, digest, manifest, config)
    modules = (module,) if module else ()
    return Subject(Form.IMAGE, "image", modules, name, digest, size, config, problem=problem)


def manifest_of(blobs: Blobs, name: str, target: Descriptor) -> tuple[str, Manifest]:
    """The manifest that an image leads to here, for Wasm or else for this machine, with its digest.

    Raises:
        NotFoundError: it has none for us.
        InvalidArgumentError: it is malformed.
    """
    found = find_manifest(target, blobs.read)
    if found:
        return found
    entry = find_here(blobs.read(target))
    if entry is None or is_index(entry.media_type):
        raise NotFoundError(f"image {name} has no manifest for Wasm, and none for this machine")
    return entry.digest, parse_manifest(blobs.read(entry))


def _artifact(blobs: Blobs, name: str, target: Descriptor, artifact: Artifact) -> Subject:
    modules = []
    for each in artifact.modules:
        _check_size(each.name, each.descriptor.size)
        binary = blobs.read(each.descriptor)
        digest = each.descriptor.digest
        modules.append(Found(each.name or digest, digest, len(binary), binary))
    problem = ""
    if not modules:
        problem = "it holds native code alone, which is never taken from an image"
    config = artifact.config
    sizes = [config.size, *(each.size for each in modules)]
    sizes += [layer.descriptor.size for layer in artifact.layers]
    parsed = parse_config(blobs.read(config))
    files = len(artifact.files) + len(artifact.layers)
    return Subject(
        Form.ARTIFACT,
        artifact.packing,
        tuple(modules),
        name,
        artifact.digest or target.digest,
        sum(sizes),
        parsed,
        files,
        problem,
    )


def _entry_point(
    blobs: Blobs, digest: str, manifest: Manifest, config: ImageConfig
) -> tuple[Found | None, str]:
    args = (*config.entrypoint, *config.cmd)
    if not args or not args[0]:
        return None, "the image has no entry point: the pod must say a command"
    path = posixpath.join("/", config.working_dir, parse_entrypoint(args).path)
    layers = [each for each in manifest.layers if is_unpacked_by_containerd(each.media_type)]
    program = Program(digest, tuple(layers), posixpath.normpath(path).lstrip("/"))
    try:
        binary = extract(program, blobs.open, MAX_MODULE_BYTES)
    except NotFoundError as error:
        return None, str(error)
    if sniff(binary[:4096]) is None:
        return None, f"entry point {path[:200]} is no Wasm: a Linux container"
    digest = f"sha256:{hashlib.sha256(binary).hexdigest()}"
    return Found(path, digest, len(binary), binary), ""


def _image_in(archive: Blobs, text: str) -> Subject:
    images = archive.images()
    if len(images) != 1:
        names = ", ".join(images) or "none"
        raise InvalidArgumentError(f"{text} must hold one image, and holds: {names[:400]}")
    name, target = next(iter(images.items()))
    return load_image(archive, name, target)


def _directory(path: Path) -> Subject:
    found = [_read(each) for each in sorted(path.iterdir()) if each.is_file() and _is_wasm(each)]
    problem = "" if found else "no file at its top is Wasm"
    return Subject(Form.DIRECTORY, "directory", tuple(found), str(path), problem=problem)


def _file(path: Path) -> Subject:
    module = _read(path)
    problem = ""
    if module.binary.startswith(b"\x7fELF"):
        problem = "it is native code: nothing of Wasm, or compiled already"
    elif sniff(module.binary[:4096]) is None:
        problem = f"it is no Wasm: it begins with {module.binary[:8].hex(' ')!r}"
    modules = () if problem else (module,)
    return Subject(Form.FILE, "file", modules, str(path), size=module.size, problem=problem)


def _read(path: Path) -> Found:
    _check_size(str(path), path.stat().st_size)
    binary = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(binary).hexdigest()}"
    return Found(path.name, digest, len(binary), binary)


def _is_wasm(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(4096)) is not None


def _is_tar(path: Path) -> bool:
    offset, magic = _TAR_MAGIC
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(offset + len(magic))[offset:] == magic


def _check_size(name: str, size: int) -> None:
    if size > MAX_MODULE_BYTES:
        raise InvalidArgumentError(
            f"module {name[:200]} has {size} bytes, and {MAX_MODULE_BYTES} are the most"
        )
