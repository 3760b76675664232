"""A component made elsewhere, CPython in it, as a client of the Linux container beside it."""

import pytest

from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

IMAGE = "localhost/http-client:1"
SERVE = ["sh", "-c", "echo served by Linux >/tmp/index.html && exec httpd -f -v -p 8080 -h /tmp"]


def test_component_fetches_from_its_neighbour(containerd: Containerd) -> None:
    folder = containerd.folder
    component = guests.build_http_client_component(folder / "client.wasm")
    containerd.import_image(images.wasm_image(folder / "client.tar", IMAGE, component))
    with containerd.pod("component", "tandem") as pod:
        server = pod.start(ContainerSpec("server", images.BUSYBOX, SERVE))
        spec = ContainerSpec("client", IMAGE, args=["http://127.0.0.1:8080/"])
        client = pod.create(spec).start(timeout=180)
        assert client.wait().exit_code == 0, client.stderr
        assert client.stdout == "served by Linux"
        assert "127.0.0.1" in server.wait_for_log("response:200").text
