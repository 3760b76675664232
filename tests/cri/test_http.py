"""A pod that serves HTTP from Wasm beside a Linux container, which asks it over localhost."""

import threading
from pathlib import Path

import pytest

from tests.cri.conftest import shims_and_instances
from tests.support import guests, http_guest, images
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod

pytestmark = [pytest.mark.root, pytest.mark.containerd]

IMAGE = "localhost/http-server:1"
LISTEN = "io.containerd.tandem.v1/http-listen"


@pytest.fixture(scope="module", autouse=True)
def _image(containerd: Containerd) -> None:
    component = guests.binary(http_guest.component())
    archive = images.wasm_image(containerd.folder / "http-server.tar", IMAGE, component)
    containerd.import_image(archive)


def start_client(pod: Pod) -> Container:
    return pod.start(ContainerSpec("client", images.BUSYBOX, ["sleep", "1000"]))


def ask(client: Container, path: str, port: int = 8080) -> str:
    found = client.exec("wget", "-qO-", f"http://localhost:{port}{path}")
    assert found.exit_code == 0, found
    return found.stdout.strip()


def filters_of_instance(containerd: Containerd) -> int:
    """How many system call filters the only instance has."""
    _, (instance,) = shims_and_instances(containerd)
    status = Path(f"/proc/{instance.pid}/status").read_text()
    return int(status.split("Seccomp_filters:")[1].split()[0])


def test_a_component_serves_its_pod(containerd: Containerd) -> None:
    with containerd.pod("http", "tandem") as pod:
        client = start_client(pod)
        server = pod.start(
            ContainerSpec("server", IMAGE, user=1000, readonly_rootfs=True, default_seccomp=True)
        )
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        assert filters_of_instance(containerd) == 3
        assert ask(client, "/a") == "ok"
        assert [ask(client, "/c") for _ in range(5)] == ["10"] * 5
        found = client.exec("wget", "-qO-", "--post-data=a body", "http://localhost:8080/e")
        assert found.stdout.strip() == "a body"
        page = containerd.http_get(f"http://{pod.ip}:8080/w")
        assert (page.status, page.body) == (200, b"first\nlast\n")
        assert ask(client, "/p") == "ok"
        server.wait_for_log("printed")
        failed = client.exec("wget", "-qO-", "http://localhost:8080/t")
        assert failed.exit_code != 0
        server.wait_for_log("wasm trap: wasm `unreachable` instruction executed")
        assert ask(client, "/a") == "ok"
        assert server.is_running()
        assert server.stop().exit_code == 0


def test_addresses_and_what_cannot_be_bound(containerd: Containerd) -> None:
    with containerd.pod("http-addresses", "tandem") as pod:
        client = start_client(pod)
        variable = {"WASMTIME_HTTP_PROXY_SOCKET_ADDR": "127.0.0.1:9001"}
        first = pod.start(ContainerSpec("variable", IMAGE, env=variable))
        annotation = {LISTEN: "127.0.0.1:9002"}
        second = pod.start(ContainerSpec("annotation", IMAGE, annotations=annotation))
        for server, port in ((first, 9001), (second, 9002)):
            server.wait_for_log(f"serving HTTP on 127.0.0.1:{port}")
            assert ask(client, "/a", port) == "ok"
        taken = pod.start(ContainerSpec("taken", IMAGE, annotations=annotation))
        assert taken.wait().exit_code == 1
        taken.wait_for_log("cannot listen on 127.0.0.1:9002: Address already in use")


def test_stop_lets_a_request_finish(containerd: Containerd) -> None:
    with containerd.pod("http-stop", "tandem") as pod:
        client = start_client(pod)
        server = pod.start(ContainerSpec("server", IMAGE))
        server.wait_for_log("serving HTTP")
        found: list[str] = []
        asking = threading.Thread(target=lambda: found.append(ask(client, "/w")))
        asking.start()
        # The guest waits for half a second between its words.
        client.exec("sh", "-c", "until netstat -tn | grep -q 8080; do :; done")
        assert server.stop().exit_code == 0
        asking.join()
        assert found == ["first\nlast"]
