"""A private containerd with a registry on its loopback, and a pod of each file's own.

What a test pulls it removes: artifacts with the same config are one image to CRI, and whichever
came first would run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cri.conftest import Stack, pids_of_pods, rootfs_mounts, start_daemon
from tests.support.containerd import CRI_NAMESPACE, Containerd
from tests.support.cri import CriError
from tests.support.packing import Artifact
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Registry
from tests.support.waiting import wait_for

RUNTIME = "io.containerd.tandem.v1"


@dataclass(frozen=True)
class Node:
    """A containerd, what it pulls from, and which line it is of."""

    containerd: Containerd
    registry: Registry
    line: str

    @contextmanager
    def pushed(self, name: str, artifact: Artifact) -> Iterator[str]:
        """Push an artifact for the length of the block; gives its reference.

        Whatever was pulled of it is gone afterwards, from CRI and from ctr.
        """
        try:
            yield self.registry.push(name, artifact.target, *artifact.blobs)
        finally:
            self.remove(f"{self.registry.address}/{name}")

    def remove(self, prefix: str) -> None:
        """Remove every image whose name begins like this, and wait until CRI knows it, too."""
        for namespace in (CRI_NAMESPACE, self.containerd.name):
            found = [image for image in self.images(namespace) if image.startswith(prefix)]
            if found:
                self.containerd.ctr("images", "rm", "--sync", *found, namespace=namespace)
            for image in found:
                self.wait_until_gone(image)

    def wait_until_gone(self, image: str) -> None:
        """Wait until CRI has heard of an image's removal."""
        wait_for("end of the image in CRI", lambda: not self.containerd.cri.has_image(image))

    def images(self, namespace: str = CRI_NAMESPACE) -> list[str]:
        """The names of all images that are not just a digest."""
        listed = self.containerd.ctr("images", "ls", "-q", namespace=namespace).split()
        return [image for image in listed if not image.startswith("sha256:")]

    def pull(self, reference: str) -> str:
        """Pull by CRI; returns containerd's error, or nothing."""
        try:
            self.containerd.cri.pull(reference)
        except CriError as error:
            if "mismatched image rootfs" in error.text:
                # The image stays, and CRI hears of it a moment later, by an event.
                wait_for("the image in CRI", lambda: self.containerd.cri.has_image(reference))
            return error.text
        return ""

    def ctr(self, *args: str) -> "CompletedProcess[str]":
        """Run ctr in a namespace of our own."""
        return self.containerd.run_ctr(*args, namespace=self.containerd.name)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    options = request.config.option
    return Stack(options.containerd, options.transport, options.shim_dir)


@pytest.fixture(scope="session")
def containerd(stack: Stack) -> Iterator[Containerd]:
    # In memory: of a pull's time, most is waiting for the disk.
    with stack.containerd(Path("/dev/shm")) as started:
        start_daemon(started)
        yield started


@pytest.fixture(scope="session")
def node(stack: Stack, containerd: Containerd) -> Iterator[Node]:
    with Registry(room=containerd.room) as registry:
        yield Node(containerd, registry, stack.release)


@pytest.fixture(scope="module")
def pod(containerd: Containerd, node: Node) -> Iterator[Pod]:
    """A pod that the tests of a file share; each of their containers is removed at once."""
    with containerd.pod("artifacts", "tandem") as started:
        yield started


@pytest.fixture(autouse=True)
def _nothing_left(containerd: Containerd, node: Node) -> Iterator[None]:
    """After each test: no image, pod, container, process or mount that it had."""
    images, pods = node.images(), containerd.cri.pod_ids()
    containers = containerd.cri.container_ids()
    processes, mounts = pids_of_pods(containerd), rootfs_mounts(containerd)
    yield
    assert node.images() == images, "the test left images behind"
    assert containerd.cri.container_ids() == containers, "the test left containers behind"
    assert containerd.cri.pod_ids() == pods, "the test left pods behind"
    wait_for("end of what ran in pods", lambda: pids_of_pods(containerd) <= processes)
    wait_for("unmounting of every rootfs", lambda: rootfs_mounts(containerd) <= mounts)


def expect_run(pod: Pod, spec: ContainerSpec, output: str, status: int) -> None:
    """Run a container of a pod to its end and compare its standard output and exit status."""
    with pod.create(spec) as container:
        exited = container.start().wait()
        seen = (container.stdout, exited.exit_code)
        assert seen == (output.rstrip("\n"), status), container.stderr
