"""What a kubelet does to look into a pod: readiness by exec, ephemeral containers, shared pids."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, WASM, Case, Home, kinds
from tests.support import images
from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec
from tests.support.probe import probe
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

STAY = ["sleep", "3600"]


def pid_inside(containerd: Containerd, container: Container) -> str:
    """The pid of a container's process in its own pid namespace."""
    pid = containerd.room.host_pid(container.info()["pid"])
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (numbers,) = [line.split()[1:] for line in lines if line.startswith("NSpid:")]
    return numbers[-1]


@kinds(EVERY_KIND)
def test_readiness_by_exec(containerd: Containerd, case: Case, home: Home) -> None:
    """What is asked for is a file of the container's own, written when it is ready."""
    go = home.shared / "go"
    go.unlink(missing_ok=True)
    work = [*probe("until", "/shared/go"), *probe("write", "/tmp/ready", "yes"), "sleep", "60"]
    with case.start(home.pod, *work, volumes=home.volumes) as container:

        def answer() -> str:
            return container.exec("/app", "cat", "/tmp/ready", timeout=10).stdout

        answers = [answer() for _ in range(3)]
        assert all(text.startswith("cannot read") for text in answers), answers
        go.touch()
        wait_for("readiness", lambda: answer() == "yes", pause=0.1)
        assert [answer() for _ in range(3)] == ["yes"] * 3


@kinds(LINUX)
def test_readiness_by_exit_code(containerd: Containerd, case: Case, home: Home) -> None:
    check = ["sh", "-c", "test -e /tmp/ready"]
    assert home.shell.exec(*check).exit_code == 1
    home.shell.exec("touch", "/tmp/ready")
    assert home.shell.exec(*check).exit_code == 0
    home.shell.exec("rm", "/tmp/ready")


@kinds(LINUX)
def test_ephemeral_container_sees_its_target(
    containerd: Containerd, case: Case, home: Home
) -> None:
    spec = ContainerSpec("debugger", images.BUSYBOX, STAY, pid=api.TARGET, pid_target=home.probe.id)
    with home.pod.start(spec) as debugger:
        listed = debugger.exec("ps").stdout
        assert "/app sleep 3600" in listed
        assert "containerd" not in listed
        found = debugger.exec("cat", "/proc/1/root/etc/motto.txt")
        assert found.stdout == "two under one yoke\n"
    assert home.probe.is_running()


@kinds([WASM])
def test_ephemeral_container_beside_a_guest_sees_nothing_of_the_node(
    containerd: Containerd, case: Case, home: Home
) -> None:
    spec = ContainerSpec("debugger", images.BUSYBOX, STAY, pid=api.TARGET, pid_target=home.probe.id)
    with home.pod.start(spec) as debugger:
        listed = debugger.exec("ps").stdout
        assert "containerd" not in listed
    assert home.probe.is_running()


@kinds(EVERY_KIND)
def test_pids_are_shared_on_request(containerd: Containerd, case: Case, home: Home) -> None:
    shell = ContainerSpec("sidecar", images.BUSYBOX, STAY, pid=api.POD)
    with (
        home.pod.start(shell) as sidecar,
        case.start(home.pod, *probe("say", "up"), "sleep", "60", pid=api.POD) as container,
    ):
        container.wait_for_log("up")
        pid = pid_inside(containerd, container)
        lines = [line.split() for line in sidecar.exec("ps").stdout.splitlines()]
        assert pid in [words[0] for words in lines]
        assert lines[1][0] == "1"
        assert "/pause" in lines[1]
        assert not any("containerd" in word for words in lines for word in words)
        assert sidecar.exec("kill", "-TERM", pid).exit_code == 0
        assert container.wait().exit_code == 143
        assert sidecar.is_running()


@kinds(EVERY_KIND)
def test_end_of_a_pods_shared_pids(containerd: Containerd, case: Case) -> None:
    with containerd.pod("shared-pids", case.handler) as pod:
        containers = [
            pod.start(ContainerSpec("sidecar", images.BUSYBOX, STAY, pid=api.POD)),
            case.start(pod, *probe("say", "up"), "spin", pid=api.POD),
        ]
        containers[1].wait_for_log("up")
        start = time.monotonic()
        pod.stop()
        assert time.monotonic() - start < 10 * PATIENCE
        assert [container.wait().exit_code for container in containers] == [137, 137]


@kinds(EVERY_KIND)
def test_pod_in_the_nodes_own_namespaces(containerd: Containerd, case: Case) -> None:
    pod = containerd.pod("host", case.handler)
    pod.config.hostname = ""
    options = pod.config.linux.security_context.namespace_options
    options.network = options.pid = options.ipc = api.NODE
    with pod:
        nodes: dict[str, Any] = {"pid": api.NODE, "network": api.NODE}
        shell = pod.start(ContainerSpec("shell", images.BUSYBOX, STAY, **nodes))
        with case.start(pod, *probe("say", "up"), "sleep", "60", **nodes) as container:
            container.wait_for_log("up")
            assert container.exec("/app", "exit", "3").exit_code == 3
            listed = shell.exec("ps").stdout
            assert "containerd" in listed
            assert "pods0" in shell.exec("ip", "link").stdout
            pid = str(container.info()["pid"])
            assert pid in [line.split()[0] for line in listed.splitlines()]
            assert container.stop(grace=0).exit_code == 137
