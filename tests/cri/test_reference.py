"""What only runc's own shim is asked: proof that the harness itself can tell."""

import pytest

from tests.cri.conftest import REFERENCE
from tests.support import images
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import ContainerSpec, ExecResult
from tests.support.probe import probe
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def test_exec_keeps_streams_and_code_apart(containerd: Containerd) -> None:
    with containerd.pod("exec", REFERENCE.handler) as pod:
        container = pod.start(ContainerSpec("shell", images.BUSYBOX, ["sleep", "60"]))
        result = container.exec("sh", "-c", "echo out; echo err >&2; exit 7")
        assert result == ExecResult(7, "out\n", "err\n")


def test_stats_tell_cpu_and_memory(containerd: Containerd) -> None:
    with containerd.pod("stats", REFERENCE.handler) as pod:
        container = REFERENCE.start(pod, *probe("eat", "20"), "spin")
        container.wait_for_log("ate")

        def measured() -> bool:
            stats = containerd.cri.container_stats(container.id)
            return stats.memory.working_set_bytes.value > 20 << 20

        wait_for("memory in the stats", measured)
        assert containerd.cri.container_stats(container.id).cpu.usage_core_nano_seconds.value > 0
        assert [stats.attributes.id for stats in containerd.cri.all_container_stats()] == [
            container.id
        ]
        assert containerd.cri.pod_stats(pod.id).linux.cpu.usage_core_nano_seconds.value > 0


def test_unknown_handler_and_image_are_refused(containerd: Containerd) -> None:
    with pytest.raises(CriError, match="no-such-handler"):
        containerd.pod("handler", "no-such-handler").run()
    with (
        containerd.pod("image", REFERENCE.handler) as pod,
        pytest.raises(CriError, match="no-such-image"),
    ):
        pod.create(ContainerSpec("x", "localhost/no-such-image:1"))
