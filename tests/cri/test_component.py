"""A component made elsewhere, CPython in it, as a client of the Linux container beside it."""

import pytest

from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

IMAGE = "localhost/http-client:1"
SERVE = ["sh", "-c", "echo served by Linux >/tmp/index.html && exec httpd -f -v -p 8080 -h /tmp"]
ALLOWED = "io.containerd.tandem.v1/allowed-outbound-hosts"
NEIGHBOUR = "http://127.0.0.1:8080/"
METADATA = "http://169.254.169.254/latest/meta-data/"


def test_component_fetches_from_its_neighbour_and_from_where_it_may(containerd: Containerd) -> None:
    folder = containerd.folder
    component = guests.build_http_client_component(folder / "client.wasm")
    containerd.import_image(images.wasm_image(folder / "client.tar", IMAGE, component))
    with containerd.pod("component", "tandem") as pod:
        server = pod.start(ContainerSpec("server", images.BUSYBOX, SERVE))
        for name, url, allowed, case in (
            ("free", NEIGHBOUR, None, None),
            ("allowed", NEIGHBOUR, "http://127.0.0.1:8080", None),
            ("denied", NEIGHBOUR, "http://127.0.0.1 https://*", "HTTP-request-denied"),
            ("metadata", METADATA, None, "destination-IP-prohibited"),
            ("metadata-allowed", METADATA, "*://*:*", "destination-IP-prohibited"),
        ):
            annotations = {} if allowed is None else {ALLOWED: allowed}
            spec = ContainerSpec(name, IMAGE, args=[url], annotations=annotations)
            client = pod.create(spec).start(timeout=180)
            if case is None:
                assert client.wait().exit_code == 0, client.stderr
                assert client.stdout == "served by Linux"
            else:
                assert client.wait().exit_code == 1
                assert f"tandem: request refused or failed: {case}: " in client.stderr
                assert f"ErrorCode_{case.title().replace('-', '')}()" in client.stderr
        assert "127.0.0.1" in server.wait_for_log("response:200").text
