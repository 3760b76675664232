"""containerd ends and comes back while pods run: they run on, nothing is lost, exits are told."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.cri.conftest import EVERY_KIND, Case, Stack, import_test_images, kinds
from tests.support import images
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec
from tests.support.probe import probe

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def containerd(stack: Stack) -> Iterator[Containerd]:
    """A containerd for each test: it ends it."""
    with stack.containerd() as started:
        import_test_images(started)
        yield started


@kinds(EVERY_KIND)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_running_container_runs_on(containerd: Containerd, case: Case, how: int) -> None:
    with containerd.pod(f"on-{how}", case.handler) as pod:
        container = case.start(
            pod, *probe("say", "one"), *probe("sleep", "2"), *probe("say", "two"), "sleep", "60"
        )
        container.wait_for_log("one")
        before = container.status()
        containerd.end_service(how)
        time.sleep(2.5)
        containerd.start_service()
        assert container.is_running()
        assert container.status().started_at == before.started_at
        container.wait_for_log("two")
        assert container.stop(grace=0).exit_code == 137


@kinds(EVERY_KIND)
def test_exit_meanwhile_is_reported(containerd: Containerd, stack: Stack, case: Case) -> None:
    # From 1.7 on, containerd takes a shim without processes for one that was never used and ends
    # it; runc's tells of none when its container has ended. CRI then knows no code: 255.
    lost = case.handler == "runc" and stack.release != "1.6"
    with containerd.pod("exit", case.handler) as pod:
        container = case.start(
            pod, *probe("say", "one"), *probe("sleep", "1"), *probe("say", "two"), "exit", "9"
        )
        container.wait_for_log("one")
        containerd.end_service()
        time.sleep(2)
        containerd.start_service()
        assert container.wait().exit_code == (255 if lost else 9)


@kinds(EVERY_KIND)
def test_pod_takes_further_containers_after_a_restart(containerd: Containerd, case: Case) -> None:
    with containerd.pod("more", case.handler) as pod:
        address = pod.ip
        case.start(pod, "sleep", "60")
        containerd.restart()
        assert pod.ip == address
        serve = ["sh", "-c", "echo new >/tmp/index.html && exec httpd -f -h /tmp"]
        later = pod.start(ContainerSpec("later", images.BUSYBOX, serve))
        assert later.is_running()
        assert case.start(pod, "exit", "5").wait().exit_code == 5
