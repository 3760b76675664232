"""A pod that answers HTTP by a CGI program in C beside a Linux container."""

import pytest

from tests.support import cgi_guest, cgi_outbound, guests, images
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

IMAGE = "localhost/cgi-server:1"
CGI = "io.containerd.tandem.v1/cgi"


@pytest.fixture(scope="module", autouse=True)
def _image(containerd: Containerd) -> None:
    module = cgi_guest.program().read_bytes()
    archive = images.wasm_image(containerd.folder / "cgi-server.tar", IMAGE, module)
    containerd.import_image(archive)


def ask(client: Container, path: str, *options: str) -> str:
    found = client.exec("wget", "-qO-", *options, f"http://localhost:8080{path}")
    assert found.exit_code == 0, found
    return found.stdout.strip()


def test_a_program_answers_its_pod(containerd: Containerd) -> None:
    with containerd.pod("cgi", "tandem") as pod:
        client = pod.start(ContainerSpec("client", images.BUSYBOX, ["sleep", "1000"]))
        server = pod.start(
            ContainerSpec(
                "server",
                IMAGE,
                user=1000,
                readonly_rootfs=True,
                default_seccomp=True,
                annotations={CGI: "/app/..."},
                env={"OWN": "yes"},
            )
        )
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        assert [ask(client, "/app/count") for _ in range(3)] == ["10"] * 3
        assert ask(client, "/app/echo", "--post-data=a body") == "a body"
        found = ask(client, "/app/env").splitlines()
        assert {"OWN=yes", "SCRIPT_NAME=/app", "REMOTE_ADDR=127.0.0.1"} <= {*found}
        page = containerd.http_get(f"http://{pod.ip}:8080/app/there")
        assert (page.status, page.body) == (200, b"path /there\n")
        server.wait_for_log("asked for /there")
        assert client.exec("wget", "-qO-", "http://localhost:8080/app/trap").exit_code != 0
        server.wait_for_log("wasm trap: wasm `unreachable` instruction executed")
        assert server.is_running()
        assert server.stop().exit_code == 0


def test_what_is_executed_in_it_is_no_server(containerd: Containerd) -> None:
    """And what an annotation cannot mean makes no container."""
    with containerd.pod("cgi-exec", "tandem") as pod:
        server = pod.start(ContainerSpec("server", IMAGE, annotations={CGI: "true"}))
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        (program,) = server.info()["runtimeSpec"]["process"]["args"]
        found = server.exec(f"{program}#other")
        assert (found.exit_code, found.stdout) == (0, "Content-Type: text/plain\n\nother\n")
        assert server.stop().exit_code == 0
        with pytest.raises(Exception, match=f"annotation {CGI} is 'yes', and neither a route"):
            pod.start(ContainerSpec("wrong", IMAGE, annotations={CGI: "yes"}))


HTTPD = "mkdir /www && echo from the sidecar >/www/index.html && exec httpd -f -p 8081 -h /www"


@pytest.mark.parametrize(("allowed", "status"), [("http://127.0.0.1:8081", 200), ("", 502)])
def test_a_component_asks_its_sidecar(containerd: Containerd, allowed: str, status: int) -> None:
    module = guests.binary(cgi_outbound.component("127.0.0.1:8081"))
    name = "localhost/cgi-asks:1"
    containerd.import_image(images.wasm_image(containerd.folder / "asks.tar", name, module))
    with containerd.pod(f"cgi-asks-{status}", "tandem") as pod:
        sidecar = pod.start(ContainerSpec("sidecar", images.BUSYBOX, ["sh", "-c", HTTPD]))
        annotations = {CGI: "true", "io.containerd.tandem.v1/allowed-outbound-hosts": allowed}
        server = pod.start(ContainerSpec("server", name, user=1000, annotations=annotations))
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")

        def is_up() -> bool:
            return sidecar.exec("wget", "-qO-", "http://127.0.0.1:8081/").exit_code == 0

        wait_for("the sidecar", is_up)
        page = containerd.http_get(f"http://{pod.ip}:8080/")
        assert page.status == status
        assert (page.body == b"from the sidecar\n") is (status == 200)
        assert server.stop().exit_code == 0
