"""What an image of the node's store comes down to for a run: a module's file, directories for the
guest's root, variables and arguments.

Rules: files are unpacked into the node's cache, where pods that use the same image find them, and
held there until this process ends, so that nobody evicts them under a guest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.cli.loader import node_cache
from shim.cli.node import node_config
from shim.cli.subject import manifest_of
from shim.content import trees
from shim.errdefs import InvalidArgumentError
from shim.images.reference import Reference, parse_reference
from shim.images.store import Store
from shim.oci.artifact import Artifact, Contents, load_artifact
from shim.oci.choose import choose_module
from shim.oci.descriptors import Descriptor
from shim.oci.image_config import parse_config

_FILES = "files"


@dataclass(frozen=True, slots=True)
class Runnable:
    """What to run.

    Attributes:
        module: the module's file, or empty where the entry point is in `layers`.
        function: what to call in it, where the caller's entry point says so.
        name: the guest's first argument, where there is a module.
        entrypoint: a path in the guest's root, with `#function` perhaps; empty with a module.
        args: what follows it.
        env: `NAME=value`.
        layers: directories that make the guest's root, the lowest first.
        workdir: what the image says; empty where it says nothing.
    """

    module: str
    function: str
    name: str
    entrypoint: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    layers: tuple[str, ...]
    workdir: str = ""


def find_runnable(name: str, args: Sequence[str], entrypoint: str) -> Runnable | None:
    """Look an image up; None where no image here has that name.

    Args:
        name: the image's.
        args: for the guest; none means the image's own.
        entrypoint: which module or file of it, where that is not the image's own.

    Raises:
        InvalidArgumentError: it has no entry point, or several modules and none is chosen.
        ShimError: it is malformed, or cannot be unpacked.
    """
    try:
        reference = parse_reference(name)
    except InvalidArgumentError:
        return None
    store = Store(Path(node_config().images.directory))
    target = store.images().get(str(reference))
    if target is None:
        return None
    artifact = load_artifact(target, store.read)
    if artifact:
        return _of_artifact(store, artifact, args, entrypoint)
    return _of_image(store, reference, target, args, entrypoint)


def _of_artifact(
    store: Store, artifact: Artifact, args: Sequence[str], entrypoint: str
) -> Runnable:
    words = (entrypoint, *args) if entrypoint else ()
    choice = choose_module(artifact, words, (), {})
    module = choice.module.descriptor
    store.read(module)
    contents = artifact.contents(choice.module, with_rootfs=True)
    name = choice.module.name or entrypoint or "module.wasm"
    return Runnable(
        module=str(store.path(module.digest)),
        function=choice.function or "",
        name=name,
        entrypoint="",
        args=tuple(args),
        env=choice.env,
        layers=_unpacked(store, contents),
    )


def _of_image(
    store: Store, reference: Reference, target: Descriptor, args: Sequence[str], entrypoint: str
) -> Runnable:
    _, manifest = manifest_of(store, str(reference), target)
    config = parse_config(store.read(manifest.config))
    words = [entrypoint] if entrypoint else [*config.entrypoint]
    words += args or (() if entrypoint else config.cmd)
    if not words or not words[0]:
        raise InvalidArgumentError(
            f"image {reference} has no entry point: choose a file of it with --entrypoint"
        )
    return Runnable(
        module="",
        function="",
        name="",
        entrypoint=words[0],
        args=tuple(words[1:]),
        env=config.env,
        layers=_unpacked(store, Contents(layers=manifest.layers)),
        workdir=config.working_dir,
    )


def _unpacked(store: Store, contents: Contents) -> tuple[str, ...]:
    """Unpack files; of no image, as `BytesSource` has it."""
    cache = node_cache(node_config())
    # The descriptor stays open, which is what holds the tree.
    if trees.make(cache, contents, "", store.open) is None:
        return ()
    return (str(cache.layers.path(contents.key) / _FILES),)
