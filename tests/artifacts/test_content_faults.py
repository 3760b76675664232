"""SIGKILL of the daemon and of a pod's shim, where containers come from the content store."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.artifacts import artifact_packings, guests
from tests.artifacts.conftest import Node
from tests.cri.conftest import Stack, pids_of_pods, rootfs_mounts, shims_and_instances
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec
from tests.support.probe import probe as do
from tests.support.registry import Registry
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def containerd(stack: Stack) -> Iterator[Containerd]:
    """A containerd for each test: its daemon does not outlive it."""
    with stack.containerd() as started:
        yield started


@pytest.fixture
def node(stack: Stack, containerd: Containerd) -> Iterator[Node]:
    with Registry(room=containerd.room) as registry:
        yield Node(containerd, registry, stack.release)


def overlays(containerd: Containerd) -> list[Path]:
    """What containers whose image brings files keep in their bundles."""
    return list(containerd.folder.joinpath("state").rglob("tandem-overlay"))


def test_daemon_killed(node: Node) -> None:
    with node.pushed("faults/daemon", artifact_packings.cncf_module("daemon")) as image:
        node.pull(image)
        for name in ("before", "after"):
            with node.containerd.pod(name, "tandem") as pod:
                ended = pod.start(ContainerSpec(name, image, ["/app"])).wait()
                assert ended.exit_code == guests.STATUS
            daemon = node.containerd.daemon()
            assert daemon is not None
            psutil.Process(daemon.host_pid).kill()


def test_shim_killed(node: Node) -> None:
    """The artifact's files are mounted over the root file system: both mounts have to go."""
    containerd = node.containerd
    with node.pushed("faults/shim", artifact_packings.spin("shim")) as image:
        node.pull(image)
        mounts, processes = rootfs_mounts(containerd), pids_of_pods(containerd)
        with containerd.pod("shim", "tandem") as pod:
            words = ["/app", *do("say", "up"), "sleep", "60"]
            container = pod.start(ContainerSpec("app", image, words))
            container.wait_for_log("up")
            assert overlays(containerd) != []
            (shim,), (instance,) = shims_and_instances(containerd)
            shim.send_signal(signal.SIGKILL)
            assert container.wait().exit_code in {137, 255}  # 255: containerd 2
            wait_for("the end of the instance", lambda: not instance.is_running())
        wait_for("unmounting", lambda: rootfs_mounts(containerd) == mounts)
        assert overlays(containerd) == []
        wait_for("end of every process", lambda: pids_of_pods(containerd) <= processes)
        with containerd.pod("next", "tandem") as pod:
            words = ["/app", *do("cat", "/texts/large.txt"), "exit", "3"]
            assert pod.start(ContainerSpec("app", image, words)).wait().exit_code == 3
