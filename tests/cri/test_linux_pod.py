"""Pods of Linux containers: the pod network, signals, the pause container."""

import pytest

from tests.cri.conftest import LINUX, Case, kinds
from tests.support import images
from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec

pytestmark = [pytest.mark.root, pytest.mark.containerd]

SERVE = ["sh", "-c", "echo page of $NAME >/tmp/index.html && exec httpd -f -p 8080 -h /tmp"]
WAIT = ["sh", "-c", "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do sleep 0.1; done"]


@kinds(LINUX)
def test_pod_is_reached_by_its_address(containerd: Containerd, case: Case) -> None:
    with containerd.pod("web", case.handler) as pod:
        assert pod.status().state == api.SANDBOX_READY
        assert pod.status().runtime_handler == case.handler
        server = ContainerSpec("server", images.BUSYBOX, SERVE, env={"NAME": "web"})
        asker = ["sh", "-c", "until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done"]
        pod.start(server)
        client = pod.start(ContainerSpec("client", images.BUSYBOX, asker))
        assert client.wait().exit_code == 0
        assert client.stdout == "page of web"
        assert containerd.http_get(f"http://{pod.ip}:8080/").body == b"page of web\n"


@kinds(LINUX)
def test_pods_have_addresses_of_their_own(containerd: Containerd, case: Case) -> None:
    with containerd.pod("one", case.handler) as one, containerd.pod("two", case.handler) as two:
        for pod in (one, two):
            spec = ContainerSpec("server", images.BUSYBOX, SERVE, env={"NAME": pod.name})
            pod.start(spec)
        ask = f"until wget -qO- http://{two.ip}:8080/; do sleep 0.1; done"
        client = one.start(ContainerSpec("client", images.BUSYBOX, ["sh", "-c", ask]))
        client.wait()
        assert client.stdout == "page of two"


@kinds(LINUX)
def test_stop_lets_a_program_end_by_itself(containerd: Containerd, case: Case) -> None:
    with containerd.pod("term", case.handler) as pod:
        container = pod.start(ContainerSpec("shell", images.BUSYBOX, WAIT))
        container.wait_for_log("ready")
        assert container.stop(grace=10).exit_code == 3
        assert "got TERM" in container.stdout


@kinds(LINUX)
def test_program_that_is_missing_is_named(containerd: Containerd, case: Case) -> None:
    with containerd.pod("missing", case.handler) as pod:
        container = pod.create(ContainerSpec("nothing", images.BUSYBOX, ["/bin/no-such-program"]))
        with pytest.raises(Exception, match="no-such-program"):
            container.start()
        pod.start(ContainerSpec("after", images.BUSYBOX, ["true"])).wait()


@kinds(LINUX)
def test_containers_share_the_host_name_of_the_pod(containerd: Containerd, case: Case) -> None:
    with containerd.pod("named", case.handler) as pod:
        container = pod.start(ContainerSpec("shell", images.BUSYBOX, ["hostname"]))
        container.wait()
        assert container.stdout == "named"
