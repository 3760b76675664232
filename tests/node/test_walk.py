"""A node's life with Tandem, from a real bundle, where neither this checkout nor its Python is."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import shim
from tests.node.bundles import ROOT, built_bundle, next_bundle
from tests.node.calls import run_bundled
from tests.node.fake_node import FakeNode
from tests.support import images, network, probe
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.probe import probe as do
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

FIRST = shim.__version__
SECOND = f"{FIRST}-next"


@pytest.fixture
def bare(containerd: str) -> Iterator[FakeNode]:
    """A node on which the checkout and the machine's Python are hidden."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with FakeNode(containerd) as node:
        node.import_image(probe.probe_image(node.folder / "probe.tar", probe.WASM))
        node.hide(Path(sys.base_prefix, "lib", python), Path(sys.prefix), ROOT)
        yield node


@dataclass(frozen=True)
class Mixed:
    """A pod in which a Linux container serves what a Wasm container writes."""

    node: FakeNode
    pod: Pod
    linux: Container
    wasm: Container
    shared: Path

    @classmethod
    def start(cls, node: FakeNode, pod: Pod) -> "Mixed":
        """Start both."""
        shared = pod.volume("shared")
        volumes = [Volume(shared, "/shared")]
        serve = ["httpd", "-f", "-p", "8080", "-h", "/shared"]
        linux = pod.start(ContainerSpec("linux", images.BUSYBOX, serve, volumes=volumes))
        words = (
            *do("write", "/shared/page.html", "from Wasm"),
            *do("until", "/shared/go"),
            *do("say", "went on"),
            *do("sleep", "600"),
        )
        wasm = pod.start(ContainerSpec("wasm", probe.WASM, args=words, volumes=volumes))
        wasm.wait_for_log("wrote")
        return cls(node, pod, linux, wasm, shared)

    def works(self) -> None:
        """Assert that both answer, from outside and from within."""
        url = f"http://{self.pod.ip}:8080/page.html"
        page = network.http_get(self.node.room.network, url)
        assert (page.status, page.body) == (200, b"from Wasm")
        assert self.linux.exec("cat", "/shared/page.html").stdout == "from Wasm"
        assert self.wasm.exec("/app", "say", "executed").stdout == "executed\n"
        assert self.linux.is_running()
        assert self.wasm.is_running()

    def goes_on(self) -> None:
        """Have the guest go on, and assert that it does."""
        (self.shared / "go").touch()
        self.wasm.wait_for_log("went on")


def test_from_installation_to_removal(bare: FakeNode, tmp_path: Path) -> None:
    first = built_bundle(tmp_path)
    second = next_bundle(first, SECOND)
    node, before, starts = bare, bare.tree(), bare.starts

    said = run_bundled(node, first, "check").good().said
    assert f"tandem {FIRST} can be installed" in said
    assert node.tree() == before
    assert run_bundled(node, first, "install").good().of_step("proof") == "a guest ran"
    assert node.starts == starts + 1
    with node.pod("old", "tandem") as pod:
        old = Mixed.start(node, pod)
        old.works()
        assert node.running_versions() == {FIRST}

        run_bundled(node, second, "install").good()
        assert node.starts == starts + 1
        assert node.current == SECOND
        old.works()
        old.goes_on()
        with node.pod("new", "tandem") as other:
            Mixed.start(node, other).works()
            assert node.running_versions() == {FIRST, SECOND}
            node.restart()
            old.works()
            running = run_bundled(node, second, "uninstall")
            running.failed(8, "default/new, default/old", "delete them, or wait")
            old.works()
        run_bundled(node, second, "uninstall").failed(8, "default/old")
        run_bundled(node, second, "verify").good()

    wait_for("the end of the old version", lambda: node.running_versions() == {SECOND})
    assert f"removed {FIRST}" in run_bundled(node, second, "install").good().said
    # The installer that removes the bundle runs from it.
    installed = node.path(f"/opt/tandem/{SECOND}")
    run_bundled(node, installed, "verify").good()
    run_bundled(node, Path(f"/opt/tandem/{SECOND}"), "uninstall").good()
    assert node.tree() == before
    assert node.running_versions() == set()
    assert "tandem" not in node.ctr("namespaces", "list", "--quiet")
    node.run_runc_pod()
