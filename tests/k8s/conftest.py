"""One cluster for the tests of a session, and the images that its pods need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shim import __version__
from tests.cri.conftest import start_daemon
from tests.k8s.cluster import Cluster
from tests.support import images
from tests.support.containerd import Containerd
from tests.support.images import ImageConfig

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".cache" / "k8s" / "bin"
NODE_IMAGE = f"localhost/tandem-node:{__version__}"


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    """One that kubelets of today accept, with busybox and the installer's stand-in."""
    with Containerd("2.1") as started:
        started.import_image(images.busybox_image(started.folder / "busybox.tar"))
        config = ImageConfig(entrypoint=["/standin"])
        archive = started.folder / "standin.tar"
        files = {"/standin": PROGRAMS / "standin"}
        started.import_image(images.build_image(archive, NODE_IMAGE, files, config))
        start_daemon(started)
        yield started


@pytest.fixture(scope="session")
def cluster(containerd: Containerd) -> Iterator[Cluster]:
    """A cluster of one node on it."""
    with Cluster(containerd, PROGRAMS) as started:
        yield started
