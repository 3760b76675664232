"""The modules of an image of containerd's by its name, for who wants them compiled before any
container does."""

from shim.aot.cache import Cache
from shim.aot.source import JSON
from shim.content.source import ImageSource, Origin, Target
from shim.errdefs import InvalidArgumentError
from shim.oci.artifact import Artifact
from shim.oci.choose import Choice
from shim.oci.modules import DEFAULT_NAME


class NamedImageSource(ImageSource):
    """Module `number` of an image, counted from 0.

    A loader's facts say how many there are (`modules`).
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        image: str,
        number: int,
        cache: Cache,
        target: Target | None = None,
    ) -> None:
        self._number = number
        super().__init__(Origin(address, namespace, image=image), self._nth, cache, target)

    def prepare(self) -> None:
        """As `ImageSource`; an image that brings a `modules.toml` has it for its entry point.

        Raises:
            ShimError: as `ImageSource`.
        """
        super().prepare()
        self.is_cgi = any(file.path == DEFAULT_NAME for file in self.resolved.artifact.files)

    def facts(self) -> dict[str, JSON]:
        """Which image it is, and how many modules it has."""
        return {**super().facts(), "modules": len(self.resolved.artifact.modules)}

    def _nth(self, artifact: Artifact) -> Choice:
        if self._number >= len(artifact.modules):
            raise InvalidArgumentError(f"artifact {artifact.digest} has no module to compile")
        return Choice(artifact.modules[self._number], None, ())
