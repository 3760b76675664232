"""The module of an image as a loader's source: from containerd's content store, or known already.

Rules: the pod shim asks only what files on the node tell; containerd is asked in the loader, the
one place where gRPC is imported.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shim.aot.cache import Artefact, Cache
from shim.aot.source import JSON, Loaded, too_large
from shim.content import trees
from shim.content.documents import Documents
from shim.errdefs import NoArtifactError, ShimError, UnavailableError
from shim.oci.artifact import Artifact, Contents, load_artifact
from shim.oci.choose import Choice, check_head
from shim.oci.descriptors import Descriptor, Read

if TYPE_CHECKING:
    from shim.content.client import Client

_HEAD_BYTES = 4096

Choose = Callable[[Artifact], Choice]


@dataclass(frozen=True, slots=True)
class Origin:
    """A container, and the containerd that knows its image; or an image, whoever runs it."""

    address: str
    namespace: str
    container_id: str = ""
    image: str = ""


def unreachable(address: str, why: str) -> UnavailableError:
    """Containerd cannot be asked."""
    return UnavailableError(
        f"the containerd at {address} does not answer: {why}; is that its gRPC socket, and does"
        " this process see it?"
    )


@dataclass(frozen=True, slots=True)
class Target:
    """An image of containerd's: its name, and what that leads to."""

    image: str
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a container's image comes down to, for the module that was chosen."""

    target: Target
    artifact: Artifact
    choice: Choice

    @property
    def contents(self) -> Contents:
        """The files that the guest sees beside those of the root file system."""
        return self.artifact.contents(self.choice.module, with_rootfs=False)


class ImageSource:
    """One module of a container's image."""

    kept_fds: tuple[int, ...] = ()
    is_cgi = False

    def __init__(
        self,
        origin: Origin,
        choose: Choose,
        cache: Cache,
        target: Target | None = None,
        *,
        with_files: bool = True,
    ) -> None:
        """Name it.

        Args:
            origin: whose image it is.
            choose: which module of it.
            cache: where artefacts, documents and files are.
            target: what the image is, where containerd has told it before.
            with_files: whether what the image brings beside its modules is wanted, too.
        """
        self._origin = origin
        self._choose = choose
        self._documents = Documents(cache.directory)
        self._cache = cache
        self._target = target
        self._with_files = with_files
        # Whoever names the target names it in what he says of our errors, too.
        self._is_named = target is not None
        self._resolved: Resolved | None = None
        self._client: Client | None = None

    def find(self, cache: Cache) -> Loaded | None:
        """The artefact of a module whose image's documents were read before.

        Raises:
            NoArtifactError: the image is none.
            ShimError: the image is one that cannot be run.
        """
        if self._target is None:
            return None
        try:
            resolved = self._resolved or self._resolve(self._target, self._documents.read)
        except FileNotFoundError:
            return None
        digest = self.digest
        artefact = cache.lookup(digest, self.image) if digest else None
        if artefact is None:
            return None
        if self._with_files and not trees.is_there(cache, resolved.contents):
            return None
        return Loaded(artefact, self.facts())

    def prepare(self) -> None:
        """Ask containerd what the image is, and have its files unpacked.

        Raises:
            NoArtifactError: it is no artifact.
            ShimError: containerd cannot be asked, or the image cannot be run.
        """
        # The daemon keeps it out (shim/daemon/unneeded.py); here its absence would be an error.
        sys.modules.pop("ssl", None)
        from shim.content.client import Client  # noqa: PLC0415 (gRPC is for leaves alone)

        self._client = client = Client(self._origin.address, self._origin.namespace)
        target = self._target
        if target is None:
            image = self._origin.image or client.image_of(self._origin.container_id)
            target = Target(image, client.target_of(image))
        try:
            resolved = self._resolve(target, self._read)
            if self._with_files:
                # Held as long as this process lives, so that its own eviction spares the files.
                trees.make(self._cache, resolved.contents, resolved.artifact.digest, client.open)
        except ShimError as error:
            raise self._named(error, target) from error

    @property
    def resolved(self) -> Resolved:
        """After `find` found something, after `prepare`, or after `adopt`."""
        if self._resolved is None:
            raise RuntimeError("the image is not read yet")
        return self._resolved

    @property
    def digest(self) -> str | None:
        """Sha256 of the module in hex: its layer's digest, unless that is of another kind."""
        algorithm, _, digest = self.resolved.choice.module.descriptor.digest.partition(":")
        return digest if algorithm == "sha256" else None

    @property
    def image(self) -> str | None:
        """The digest of the image's manifest."""
        return self.resolved.artifact.digest

    def read(self, max_bytes: int) -> bytes:
        """The module, verified.

        Raises:
            ResourceExhaustedError: it has more bytes than that.
            ShimError: it cannot be had, or is not what it was said to be.
        """
        module = self.resolved.choice.module
        if self._client is None:
            raise RuntimeError("not prepared")
        if module.descriptor.size > max_bytes:
            raise too_large(module.descriptor.size, max_bytes)
        try:
            binary = self._client.read(module.descriptor)
            check_head(module, binary[:_HEAD_BYTES])
        except ShimError as error:
            raise self._named(error, self.resolved.target) from error
        return binary

    def remember(self, cache: Cache, artefact: Artefact) -> None:
        """Nothing: the documents are kept already."""

    def facts(self) -> dict[str, JSON]:
        """Which image it is."""
        target = self.resolved.target
        descriptor = target.descriptor
        return {
            "image": target.image,
            "media_type": descriptor.media_type,
            "digest": descriptor.digest,
            "size": descriptor.size,
        }

    def adopt(self, loaded: Loaded) -> Resolved:
        """In the pod shim: know what the loader has found out.

        Raises:
            ShimError: what it has read is gone already.
        """
        if self._resolved is None:
            facts = cast("dict[str, Any]", loaded.facts)
            descriptor = Descriptor(facts["media_type"], facts["digest"], facts["size"])
            try:
                self._resolve(Target(facts["image"], descriptor), self._documents.read)
            except FileNotFoundError as error:
                raise UnavailableError(
                    f"image {facts['image']}: its documents have just been evicted from the cache;"
                    " a retry reads it again"
                ) from error
        return self.resolved

    def _named(self, error: ShimError, target: Target) -> ShimError:
        return error if self._is_named else type(error)(f"image {target.image}: {error}")

    def _resolve(self, target: Target, read: Read) -> Resolved:
        artifact = load_artifact(target.descriptor, read)
        if artifact is None:
            raise NoArtifactError(f"image {target.image} is no Wasm artifact")
        self._target = target
        self._resolved = Resolved(target, artifact, self._choose(artifact))
        return self._resolved

    def _read(self, descriptor: Descriptor) -> bytes:
        try:
            return self._documents.read(descriptor)
        except FileNotFoundError:
            pass
        if self._client is None:
            raise RuntimeError("not prepared")
        document = self._client.read(descriptor)
        self._documents.add(descriptor, document)
        return document
