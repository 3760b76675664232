"""The Wasm files that an ordinary image runs, taken from its layers before anybody unpacks them.

For who compiles ahead: what is found here has the digest that the file will have in a root file
system. Rules: only what the image's config names, as an absolute path or below its working
directory, and only plain files; anything cleverer is left to the first start. Layers are not
trusted: see `shim.unpack`.
"""

import platform
import posixpath
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shim.aot.cache import Artefact, Cache
from shim.aot.source import JSON, Loaded, too_large
from shim.content.source import Origin, Target
from shim.errdefs import InvalidArgumentError, NotFoundError, ShimError
from shim.oci.descriptors import Descriptor, Manifest, Platform, Read, parse_index, parse_manifest
from shim.oci.entrypoint import parse_entrypoint
from shim.oci.image_config import MAX_CONFIG_BYTES, ImageConfig, parse_config
from shim.oci.indexes import find_manifest
from shim.oci.media_types import is_image_config, is_index, is_unpacked_by_containerd
from shim.oci.modules import is_modules_file, parse_modules
from shim.unpack.streams import Budget, VerifiedBlob, decompressed
from shim.unpack.tar import TarReader, Type
from shim.unpack.tree import OpenBlob

if TYPE_CHECKING:
    from shim.content.client import Client

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SUFFIXES = (".wasm", ".wat")
_MAX_BYTES = 4 << 30
# Whoever reads it knows better what is too large.
_MAX_TABLE_BYTES = 16 << 20
_MAX_ENTRIES = 200_000
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Program:
    """What an image runs: a path in its layers, relative and normal, the lowest layer first.

    `folder` is the working directory, in the same form.
    """

    digest: str
    layers: tuple[Descriptor, ...]
    path: str
    folder: str = ""

    @property
    def is_table(self) -> bool:
        """Whether the path is that of a `modules.toml`."""
        return is_modules_file(self.path)


def find_program(target: Descriptor, read: Read) -> Program | None:
    """The Wasm file that an image's config names; None where that is none.

    Raises:
        NotFoundError: a document is not there.
        InvalidArgumentError: a document is malformed.
    """
    found = find_manifest(target, read) or _for_this_machine(target, read)
    if found is None:
        return None
    digest, manifest = found
    config = manifest.config
    if not is_image_config(config.media_type) or config.size > MAX_CONFIG_BYTES:
        return None
    said = parse_config(read(config))
    path = _path(said)
    layers = [each for each in manifest.layers if is_unpacked_by_containerd(each.media_type)]
    folder = _normal(said.working_dir)
    return Program(digest, tuple(layers), path, folder) if path else None


def extract(program: Program, open_blob: OpenBlob, max_bytes: int) -> bytes:
    """The file.

    Raises:
        NotFoundError: no layer has it as a plain file, or a blob is missing.
        ResourceExhaustedError: it has more than `max_bytes`.
        InvalidArgumentError: a layer is not what its digest says, malformed, or hostile.
    """
    for layer in reversed(program.layers):
        stream = open_blob(layer)
        try:
            blob = VerifiedBlob(layer, stream)
            budget = Budget(_MAX_BYTES, _MAX_ENTRIES)
            tar = TarReader(decompressed(blob, budget), budget)
            found = _in_layer(tar, program.path, max_bytes)
            blob.finish()
        finally:
            stream.close()
        if found is not None:
            return found
    raise NotFoundError(f"/{program.path} is in no layer of the image")


def programs_of(program: Program, open_blob: OpenBlob) -> tuple[Program, ...]:
    """The files that a `modules.toml` names, each once, in its order.

    Raises:
        ShimError: from `extract`, or it says what it cannot mean.
    """
    data = extract(program, open_blob, _MAX_TABLE_BYTES)
    paths = [_normal(program.folder, each.module) for each in parse_modules(data, program.path)]
    return tuple(replace(program, path=path) for path in dict.fromkeys(paths))


def _in_layer(tar: TarReader, path: str, max_bytes: int) -> bytes | None:
    """The last file of that name; it is an error where the layer hides what is below."""
    found: bytes | None = None
    hidden = {posixpath.join(folder, _OPAQUE) for folder in _folders(path)}
    hidden |= {
        posixpath.join(posixpath.dirname(each), _WHITEOUT + posixpath.basename(each))
        for each in (path, *_folders(path)[:-1])
    }
    hides = False
    for member in tar:
        name = posixpath.normpath("/" + member.name).lstrip("/")
        hides = hides or name in hidden
        is_link = member.type in {Type.SYMLINK, Type.HARDLINK}
        if is_link and (name == path or name in _folders(path)):
            raise NotFoundError(f"/{path}: /{name[:200]} is a link")
        if name != path or member.type is not Type.FILE:
            continue
        if member.size > max_bytes:
            raise too_large(member.size, max_bytes)
        found = b"".join(iter(lambda: tar.read(1 << 20), b""))
    if found is None and hides:
        raise NotFoundError(f"/{path} is removed by a layer of the image")
    return found


def _folders(path: str) -> list[str]:
    """Those that a path goes through, from the innermost to the root, which is empty."""
    folders = []
    while path:
        path = posixpath.dirname(path)
        folders.append(path)
    return folders


def _for_this_machine(target: Descriptor, read: Read) -> tuple[str, Manifest] | None:
    if not is_index(target.media_type):
        return None
    machine = platform.machine()
    wanted = Platform("linux", _ARCHITECTURES.get(machine, machine))
    for entry in parse_index(read(target)).manifests:
        if entry.platform == wanted and not is_index(entry.media_type):
            return entry.digest, parse_manifest(read(entry))
    return None


def _path(config: ImageConfig) -> str:
    args = (*config.entrypoint, *config.cmd)
    if not args or not args[0]:
        return ""
    try:
        path = parse_entrypoint(args).path
    except InvalidArgumentError:
        return ""
    known = path.endswith(_SUFFIXES) or is_modules_file(path)
    return _normal(config.working_dir, path) if known or "wasm" in config.architecture else ""


def _normal(*parts: str) -> str:
    return posixpath.normpath(posixpath.join("/", *parts)).lstrip("/")


class RootfsSource:
    """The Wasm file that an ordinary image runs, as a loader's source; or file `number` of those
    that its `modules.toml` names, counted from 0.

    A loader's facts say how many there are (`modules`).
    """

    kept_fds: tuple[int, ...] = ()
    digest = None
    is_cgi = False

    def __init__(self, origin: Origin, target: Target, number: int = 0) -> None:
        self._origin = origin
        self._target = target
        self._number = number
        self._count = 1
        self._client: Client | None = None
        self._program: Program | None = None

    def find(self, cache: Cache) -> Loaded | None:  # noqa: ARG002 (of a Protocol)
        """Nothing: whoever starts the file has the file."""
        return None

    def prepare(self) -> None:
        """Ask containerd which file it is.

        Raises:
            NotFoundError: the image runs no Wasm file, or not all of it is there.
            ShimError: containerd cannot be asked.
        """
        # The daemon keeps it out (shim/daemon/unneeded.py); here its absence would be an error.
        sys.modules.pop("ssl", None)
        from shim.content.client import Client  # noqa: PLC0415 (gRPC is for leaves alone)

        self._client = Client(self._origin.address, self._origin.namespace)
        self._program = find_program(self._target.descriptor, self._client.read)
        if self._program is None:
            raise NotFoundError(f"image {self._target.image} runs no Wasm file")
        self.is_cgi = self._program.is_table
        if self.is_cgi:
            try:
                programs = programs_of(self._program, self._client.open)
            except ShimError as error:
                raise type(error)(f"image {self._target.image}: {error}") from error
            self._count = len(programs)
            self._program = programs[self._number]

    @property
    def image(self) -> str | None:
        """The digest of the image's manifest."""
        return self._program.digest if self._program else None

    def read(self, max_bytes: int) -> bytes:
        """The file, from verified layers.

        Raises:
            ShimError: from `extract`.
        """
        if self._client is None or self._program is None:
            raise RuntimeError("not prepared")
        try:
            return extract(self._program, self._client.open, max_bytes)
        except ShimError as error:
            raise type(error)(f"image {self._target.image}: {error}") from error

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Nothing."""

    def facts(self) -> dict[str, JSON]:
        """How many files there are."""
        return {"modules": self._count}
