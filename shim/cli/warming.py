"""The modules of an image of containerd's, compiled before its first pod.

Rules: containerd is asked in loaders, since gRPC has threads and who forks has none.
"""

from collections.abc import Callable, Iterator
from functools import partial

from shim.aot.cache import Cache
from shim.aot.report import Loaded, modules_of
from shim.aot.source import ModuleSource
from shim.content.named import NamedImageSource
from shim.content.rootfs import RootfsSource
from shim.content.source import Origin, Target
from shim.errdefs import NoArtifactError
from shim.oci.descriptors import Descriptor


def warm_image(
    address: str, namespace: str, image: str, cache: Cache, load: Callable[[ModuleSource], Loaded]
) -> Iterator[Loaded]:
    """Load every module of an artifact, or the Wasm files that an ordinary image runs.

    Raises:
        NotFoundError: containerd does not have the image, or it runs no Wasm.
        ShimError: containerd cannot be asked, or a module cannot be compiled.
    """
    source: Callable[..., ModuleSource]
    source = partial(NamedImageSource, address, namespace, image, cache=cache)
    try:
        first = load(source(number=0))
    except NoArtifactError:
        source = partial(_NamedRootfs, address, namespace, image)
        first = load(source(number=0))
    yield first
    for number in range(1, modules_of(first)):
        yield load(source(number=number))


class _NamedRootfs(RootfsSource):
    """An ordinary image by its name, which is looked up in the loader."""

    def __init__(self, address: str, namespace: str, image: str, number: int) -> None:
        self._where = (address, namespace)
        unknown = Target(image, Descriptor("", "", 0))
        super().__init__(Origin(address, namespace), unknown, number)

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
