"""The modules of an image of containerd's, compiled before its first pod.

Rules: containerd is asked in loaders, since gRPC has threads and who forks has none.
"""

from collections.abc import Callable, Iterator

from shim.aot.cache import Cache
from shim.aot.report import Loaded
from shim.aot.source import ModuleSource
from shim.content.named import NamedImageSource
from shim.content.rootfs import RootfsSource
from shim.content.source import Origin, Target
from shim.errdefs import NoArtifactError
from shim.oci.descriptors import Descriptor


def warm_image(
    address: str, namespace: str, image: str, cache: Cache, load: Callable[[ModuleSource], Loaded]
) -> Iterator[Loaded]:
    """Load every module of an artifact, or the Wasm file that an ordinary image runs.

    Raises:
        NotFoundError: containerd does not have the image, or it runs no Wasm.
        ShimError: containerd cannot be asked, or a module cannot be compiled.
    """
    try:
        first = load(NamedImageSource(address, namespace, image, 0, cache))
    except NoArtifactError:
        yield load(_NamedRootfs(address, namespace, image))
        return
    yield first
    count = first.facts.get("modules")
    for number in range(1, count if isinstance(count, int) else 1):
        yield load(NamedImageSource(address, namespace, image, number, cache))


class _NamedRootfs(RootfsSource):
    """An ordinary image by its name, which is looked up in the loader."""

    def __init__(self, address: str, namespace: str, image: str) -> None:
        self._where = (address, namespace)
        super().__init__(Origin(address, namespace), Target(image, Descriptor("", "", 0)))

    def prepare(self) -> None:
        """Look the name up, and ask which file it is.

        Raises:
            ShimError: as `RootfsSource`.
        """
        from shim.content.client import Client

        with Client(*self._where) as client:
            image = self._target.image
            self._target = Target(image, client.target_of(image))
        super().prepare()
