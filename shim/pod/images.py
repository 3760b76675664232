"""Containers whose image is itself the module: a Wasm artifact of containerd's content store.

Rules: asked only where the process names no file, or an annotation chooses a module; the image that
Create found is the one that every exec runs, whatever its name leads to later.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from shim.aot.cache import Cache
from shim.aot.source import ModuleSource
from shim.content import trees
from shim.content.quick import ask_digest, ask_target
from shim.content.source import Choose, ImageSource, Origin, Resolved
from shim.engine.cgi.routes import cgi_route
from shim.engine.code import Code
from shim.errdefs import InvalidArgumentError, NoArtifactError, ShimError
from shim.oci.artifact import Artifact
from shim.oci.choose import MODULE_ANNOTATION, Choice, choose_module
from shim.oci.spec import Process, Spec
from shim.pod.container_request import ContainerRequest
from shim.pod.node import Node
from shim.pod.program import CONTAINER_TYPE, SANDBOX, WasmFile, has_modules_file
from shim.pod.wasm import WasmInstances
from shim.rootfs import lay_over

_SCRATCH = "tandem-overlay"


def chooses_module(spec: Spec) -> bool:
    """Whether an annotation says that the image is an artifact, whatever the process names."""
    annotations = spec.annotations
    # A pod's annotations reach its pause container, too.
    is_pause = annotations.get(CONTAINER_TYPE) == SANDBOX
    return bool(annotations.get(MODULE_ANNOTATION)) and not is_pause


def known_by_image(file: WasmFile, node: Node, container_id: str) -> WasmFile:
    """A file of a container's; if it is one of its image, its loader asks containerd which."""
    if not file.is_in_image:
        return file
    origin = Origin(node.address, node.namespace, container_id)
    return replace(file, ask_image=lambda: ask_digest(origin))


@dataclass(frozen=True, slots=True)
class WasmImage:
    """A module of an image, to be run as a `WasmProgram`."""

    origin: Origin
    source: ModuleSource
    resolved: Resolved
    cache: Cache

    @property
    def name(self) -> str:
        """For an error's text."""
        return f"image {self.resolved.target.image[:200]}"

    @property
    def function(self) -> str | None:
        """What to call in it."""
        return self.resolved.choice.function

    def container(self, container: ContainerRequest) -> ContainerRequest:
        """The container, as the image completes it: with its variables, and read-only where it
        brings files."""
        spec = container.spec
        return replace(
            container,
            spec=replace(
                spec,
                process=self.process(spec.process),
                root_readonly=spec.root_readonly or not self.resolved.contents.is_empty,
            ),
        )

    def process(self, process: Process) -> Process:
        """A process of the container that runs this module."""
        choice = self.resolved.choice
        return replace(process, args=choice.args, env=(*process.env, *choice.env))

    @contextlib.contextmanager
    def files(self, container: ContainerRequest) -> Iterator[None]:
        """The image's own files in the container's root file system, which is mounted; what is
        mounted here goes with it.

        Raises:
            ShimError: they cannot be shown there.
        """
        contents = self.resolved.contents
        if contents.is_empty:
            yield
            return
        held = trees.hold(self.cache, contents)
        try:
            files = trees.open_files(held)
            try:
                lay_over(files, container.rootfs, container.bundle / _SCRATCH)
            finally:
                os.close(files)
            yield
        finally:
            os.close(held)

    def executing(self, process: Process) -> "WasmImage | None":
        """What a process executed in the container runs: a function of this module, or another
        module of the image by its name; None where it names neither.

        Raises:
            UnimplementedError: that module is started by a trigger that Tandem does not have.
        """
        path, _, function = process.args[0].partition("#")
        choice = self._of_own(process) if not path else self._named(path, process)
        if choice is None:
            return None
        choice = replace(choice, function=function or None)

        def choose(_artifact: Artifact) -> Choice:
            return choice

        target = self.resolved.target
        source = ImageSource(self.origin, choose, self.cache, target, with_files=False)
        return replace(self, source=source, resolved=replace(self.resolved, choice=choice))

    def _of_own(self, process: Process) -> Choice:
        module = self.resolved.choice.module
        own = {entry.partition("=")[0] for entry in process.env}
        added = tuple(entry for entry in module.env if entry.partition("=")[0] not in own)
        return Choice(module, None, process.args, added)

    def _named(self, path: str, process: Process) -> Choice | None:
        wanted = {MODULE_ANNOTATION: path}
        try:
            return choose_module(self.resolved.artifact, process.args, process.env, wanted)
        except InvalidArgumentError:
            return None


class Images:
    """Finds the modules of one pod's images."""

    def __init__(self, node: Node, instances: WasmInstances) -> None:
        self._node = node
        self._instances = instances

    async def find(self, container: ContainerRequest) -> WasmImage | None:
        """The module that a container's image is; None where it is an ordinary image.

        Raises:
            ShimError: it is one that cannot be run, or nobody can tell.
        """
        spec = container.spec

        def choose(artifact: Artifact) -> Choice:
            process = spec.process
            if has_table and artifact.modules:
                # Any of them: the file, one of the artifact's, names all that are run.
                return Choice(artifact.modules[0], None, process.args)
            return choose_module(artifact, process.args, process.env, spec.annotations)

        has_table = has_modules_file(spec)
        try:
            is_cgi = has_table or cgi_route(spec.annotations) is not None
            code = self._instances.code_for(spec.annotations, is_cgi=is_cgi)
            return await self._load(container.id, choose, code)
        except NoArtifactError:
            return None

    async def _load(self, container_id: str, choose: Choose, code: Code) -> WasmImage:
        origin = Origin(self._node.address, self._node.namespace, container_id)
        cache = self._instances.cache
        target = await ask_target(origin)
        source = ImageSource(origin, choose, cache, target)
        try:
            loaded = await self._instances.load(source, code)
            resolved = source.adopt(loaded)
        except ShimError as error:
            if target is None or isinstance(error, NoArtifactError):
                raise
            raise type(error)(f"image {target.image[:200]}: {error}") from error
        return WasmImage(origin, source, resolved, cache)
