"""Ways into a mixed pod: a port of the node, and a port forwarded by the kubelet."""

import pytest

from tests.cri.conftest import LINUX, Case, kinds
from tests.support import images, probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.probe import probe as do
from tests.support.spdy import StreamingError
from tests.support.streaming import forward

pytestmark = [pytest.mark.root, pytest.mark.containerd]

REQUEST = b"GET /page.html HTTP/1.0\r\n\r\n"


def serve(pod: Pod, case: Case) -> Container:
    """Start busybox's server, and a neighbour that writes the page it serves: Wasm if it can."""
    shared = pod.volume("www")
    image = probe.LINUX if case.handler == "runc" else probe.WASM
    command = ["httpd", "-f", "-p", "8080", "-h", "/www"]
    writer = pod.start(
        ContainerSpec(
            "writer",
            image,
            args=[*do("write", "/www/page.html", "the page"), "sleep", "60"],
            volumes=[Volume(shared, "/www")],
        )
    )
    writer.wait_for_log("wrote")
    return pod.start(
        ContainerSpec("server", images.BUSYBOX, command, volumes=[Volume(shared, "/www")])
    )


def wait_until_it_listens(server: Container) -> None:
    found = server.exec("sh", "-c", "until wget -qO- localhost:8080/page.html; do sleep 0.1; done")
    assert found.stdout == "the page"


@kinds(LINUX)
def test_port_of_the_node_and_forwarded_port(containerd: Containerd, case: Case) -> None:
    pod = containerd.pod("ports", case.handler)
    pod.config.port_mappings.add(container_port=8080, host_port=18080)
    with pod:
        server = serve(pod, case)
        wait_until_it_listens(server)
        for host in ("127.0.0.1", "10.231.0.1"):
            page = containerd.http_get(f"http://{host}:18080/page.html")
            assert (page.status, page.body) == (200, b"the page")
        answer = forward(containerd, pod, 8080, REQUEST)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"the page")
        with pytest.raises(StreamingError, match="8081"):
            forward(containerd, pod, 8081, REQUEST)
    with pytest.raises(OSError, match="refused"):
        containerd.http_get("http://127.0.0.1:18080/page.html")
