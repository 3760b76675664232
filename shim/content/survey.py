"""What images a containerd has: which of them hold Wasm, and which digests they keep alive.

Rules: for leaves alone, as the client is; what was read once of an image is not asked for again.
All or nothing: half of the images would make the others seem gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shim.content.client import Client
from shim.content.rootfs import find_program
from shim.content.source import Target
from shim.errdefs import InvalidArgumentError, NotFoundError, UnimplementedError
from shim.oci.artifact import load_artifact
from shim.oci.descriptors import Descriptor, Read, parse_index
from shim.oci.media_types import is_index

_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class WasmImage:
    """An image that is a Wasm artifact with `modules` modules, or, with none, an ordinary one that
    runs a Wasm file."""

    namespace: str
    target: Target
    modules: int


@dataclass(frozen=True, slots=True)
class Survey:
    """All images of one moment.

    Attributes:
        alive: the digests of their manifests, and of the indexes that lead there.
        wasm: those that have something to compile.
    """

    alive: frozenset[str]
    wasm: tuple[WasmImage, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    digests: frozenset[str]
    is_wasm: bool
    modules: int = 0


class Surveyor:
    """Asks the containerd at `address`, again and again."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._known: dict[str, _Known] = {}

    def look(self) -> Survey:
        """All images of all namespaces.

        Raises:
            ShimError: containerd cannot tell.
        """
        alive: set[str] = set()
        wasm: list[WasmImage] = []
        known: dict[str, _Known] = {}
        with Client(self._address, "default") as client:
            namespaces = client.namespaces()
        for namespace in namespaces:
            with Client(self._address, namespace) as client:
                for name, descriptor in client.images().items():
                    facts = self._known.get(descriptor.digest) or _facts(descriptor, client.read)
                    if facts is None:
                        # not all of it is here, perhaps not yet
                        alive.add(descriptor.digest)
                        continue
                    known[descriptor.digest] = facts
                    alive |= facts.digests
                    if facts.is_wasm:
                        target = Target(name, descriptor)
                        wasm.append(WasmImage(namespace, target, facts.modules))
        self._known = known
        return Survey(frozenset(alive), tuple(wasm))


def _facts(target: Descriptor, read: Read) -> _Known | None:
    """What an image comes down to; None where some of it is missing."""
    try:
        digests = frozenset(_digests(target, read))
    except NotFoundError:
        return None
    except InvalidArgumentError:
        return _Known(frozenset({target.digest}), is_wasm=False)
    try:
        artifact = load_artifact(target, read)
        if artifact is None:
            return _Known(digests, find_program(target, read) is not None)
    except NotFoundError:
        return None
    except (InvalidArgumentError, UnimplementedError):
        # what nobody can run is an ordinary image here: whoever tries is told
        return _Known(digests, is_wasm=False)
    return _Known(digests, bool(artifact.modules), len(artifact.modules))


def _digests(target: Descriptor, read: Read, depth: int = 0) -> Iterator[str]:
    yield target.digest
    if not is_index(target.media_type) or depth > _MAX_DEPTH:
        return
    try:
        entries = parse_index(read(target)).manifests
    except (NotFoundError, InvalidArgumentError):
        if depth == 0:
            raise
        # another platform's, which need not have been pulled
        return
    for entry in entries:
        yield from _digests(entry, read, depth + 1)
