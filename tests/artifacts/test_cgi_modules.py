"""An artifact of several modules, and of a wagi table that names them by their titles."""

from dataclasses import replace

import pytest

from tests.artifacts.artifact_packings import CNCF_CONFIG
from tests.artifacts.conftest import Node
from tests.support import cgi_guest, packing
from tests.support.cri import CriError
from tests.support.packing import WASM, Artifact, json_blob
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]

TABLE = """
[[module]]
route = "/..."
module = "first.wasm"
[[module]]
route = "/second"
module = "second"
[[module]]
route = "/greet"
module = "second.wasm"
entrypoint = "greet"
"""


def artifact(table: str | None) -> Artifact:
    layers = [
        Blob(WASM, packing.marked(made.read_bytes(), "cgi"))
        for made in (cgi_guest.program(), cgi_guest.second())
    ]
    config = {"os": "wasip1", "layerDigests": [layer.digest for layer in layers], "t": table}
    titles = packing.titled("first.wasm", "second.wasm", *(["modules.toml"] if table else []))
    files = [Blob("application/toml", table.encode())] if table else []
    return packing.manifest(json_blob(CNCF_CONFIG, config), [*layers, *files], annotated=titles)


def test_modules_have_their_titles_for_paths(node: Node, pod: Pod) -> None:
    spec = ContainerSpec("server", "", ["modules.toml"])

    def ask(path: str) -> str:
        reply = node.containerd.http_get(f"http://{pod.ip}:8080{path}")
        assert reply.status == 200
        return reply.body.decode()

    with node.pushed("cgi/modules", artifact(TABLE)) as image:
        node.pull(image)
        with pod.create(replace(spec, image=image)) as server:
            server.start().wait_for_log("serving HTTP on 0.0.0.0:8080")
            assert ask("/there") == "path /there\n"
            assert "X_MATCHED_ROUTE=/second\n" in ask("/second")
            assert ask("/greet") == "greetings from the second\n"
            executed = server.exec("second.wasm#greet")
            assert executed.stdout.endswith("greetings from the second\n")
            assert server.stop().exit_code == 0


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, r"its files have no modules\.toml, which is the container's entry point"),
        (
            TABLE + '[[module]]\nroute = "/x"\nmodule = "third.wasm"',
            r"/modules\.toml: route /x: module /third\.wasm is not in the image or a volume",
        ),
    ],
)
def test_what_an_artifact_lacks_is_named(
    node: Node, pod: Pod, table: str | None, reason: str
) -> None:
    with node.pushed("cgi/lacking", artifact(table)) as image:
        node.pull(image)
        spec = ContainerSpec("server", image, ["modules.toml"])
        with pod.create(spec) as server, pytest.raises(CriError, match=reason):
            server.start()
