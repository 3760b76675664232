"""SIGKILL of the daemon, of a pod's shim and of an instance, seen from CRI."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.cri.conftest import WASM, Stack, import_test_images, shims_and_instances
from tests.support import probe
from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod
from tests.support.probe import probe as do

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def containerd(stack: Stack) -> Iterator[Containerd]:
    """A containerd for each test: its daemon does not outlive it."""
    with stack.containerd() as started:
        import_test_images(started)
        yield started


def start_both(pod: Pod) -> tuple[Container, Container]:
    """Start a Linux and a Wasm container that say "up" and stay."""
    args = [*do("say", "up"), "sleep", "60"]
    linux = pod.start(ContainerSpec("linux", probe.LINUX, args=args))
    wasm = pod.start(ContainerSpec("wasm", probe.WASM, args=args))
    for container in (linux, wasm):
        container.wait_for_log("up")
    return linux, wasm


def shim_and_instance(containerd: Containerd) -> tuple[psutil.Process, psutil.Process]:
    """The shim of the only pod, and the process of its only Wasm container."""
    (shim,), (instance,) = shims_and_instances(containerd)
    return shim, instance


def test_daemon_killed(containerd: Containerd) -> None:
    with containerd.pod("before", "tandem") as pod:
        linux, wasm = start_both(pod)
        daemon = containerd.daemon()
        assert daemon is not None
        psutil.Process(daemon.host_pid).send_signal(signal.SIGKILL)
        assert WASM.start(pod, "exit", "6").wait().exit_code == 6
        with containerd.pod("after", "tandem") as other:
            assert WASM.start(other, "exit", "7").wait().exit_code == 7
        assert linux.is_running()
        assert wasm.is_running()
        assert wasm.stop().exit_code == 143


def test_instance_killed(containerd: Containerd) -> None:
    with containerd.pod("instance", "tandem") as pod:
        linux, wasm = start_both(pod)
        shim, instance = shim_and_instance(containerd)
        instance.send_signal(signal.SIGKILL)
        assert wasm.wait().exit_code == 137
        assert linux.is_running()
        assert shim.is_running()
        assert WASM.start(pod, "exit", "8").wait().exit_code == 8


def test_shim_killed(containerd: Containerd) -> None:
    with containerd.pod("shim", "tandem") as pod:
        linux, wasm = start_both(pod)
        shim, instance = shim_and_instance(containerd)
        shim.send_signal(signal.SIGKILL)
        for container in (linux, wasm):
            assert container.wait().exit_code != 0
        instance.wait(timeout=5)
        assert pod.status().state == api.SANDBOX_NOTREADY
    with containerd.pod("next", "tandem") as pod:
        assert WASM.start(pod, "exit", "9").wait().exit_code == 9
