"""What an artifact brings along besides modules, as its guest sees it: read-only, with volumes."""

from collections.abc import Iterator

import pytest

from tests.artifacts import artifact_packings, guests
from tests.artifacts.artifact_packings import LARGE
from tests.artifacts.conftest import Node
from tests.support import packing
from tests.support.cri import CriError
from tests.support.packing import TAR_GZIP, WASM, json_blob, tar_layer
from tests.support.pods import ContainerSpec, Pod, Volume
from tests.support.probe import probe as do
from tests.support.registry import Blob

# containerd fetches an image's own types only to unpack them, which this config does not let it.
FILES, FILES_GZIP = "application/x-tar", "application/x-tar+gzip"

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@pytest.fixture(scope="module")
def image(node: Node) -> Iterator[str]:
    """The probe, with files of two layers; the later one wins."""
    module = Blob(WASM, guests.reader("files"))
    first = tar_layer({"/texts/large.txt": LARGE, "/texts/over.txt": b"first\n"}, FILES_GZIP)
    second = tar_layer({"/texts/over.txt": b"second\n", "/tools/x.wasm": guests.module("x")}, FILES)
    layers = (module, first, second)
    config = json_blob(
        artifact_packings.CNCF_CONFIG,
        {"architecture": "wasm", "layerDigests": [layer.digest for layer in layers]},
    )
    with node.pushed("files/two", packing.manifest(config, layers)) as reference:
        node.pull(reference)
        yield reference


def run(pod: Pod, image: str, *words: str, **more: object) -> str:
    """What a container prints that does these things."""
    spec = ContainerSpec("files", image, ["/app", *words], **more)  # type: ignore[arg-type]
    with pod.start(spec) as container:
        assert container.wait().exit_code == 0, container.stderr
        return container.stdout


def test_files_of_all_layers_are_there(pod: Pod, image: str) -> None:
    seen = run(pod, image, *do("cat", "/texts/over.txt"), *do("ls", "/texts"))
    assert seen == "second\nlarge.txt\nover.txt"
    assert run(pod, image, "cat", "/texts/large.txt") == LARGE.decode().rstrip("\n")


def test_files_are_there_for_every_user(pod: Pod, image: str) -> None:
    words = do("cat", "/texts/over.txt")
    assert run(pod, image, *words, user=1000, group=1000) == "second"


@pytest.mark.parametrize("path", ["/texts/over.txt", "/texts/new.txt", "/new.txt"])
def test_files_are_read_only(pod: Pod, image: str, path: str) -> None:
    assert run(pod, image, "write", path, "mine").startswith(f"cannot write {path}: ")
    assert run(pod, image, "cat", "/texts/over.txt") == "second"


def test_volumes_find_their_mountpoints(pod: Pod, image: str) -> None:
    folder = pod.volume("mounted")
    (folder / "file.txt").write_text("mine")
    words = [*do("write", "/new/place/other.txt", "mine"), *do("ls", "/new/place")]
    hosts = run(pod, image, *words, "cat", "/etc/hosts", volumes=[Volume(folder, "/new/place")])
    assert hosts.startswith("wrote /new/place/other.txt\nfile.txt\nother.txt\n")
    assert "localhost" in hosts
    # What was made for one container is not there for the next.
    assert "new" not in run(pod, image, "ls", "/").splitlines()


def test_module_among_the_files_is_executed(pod: Pod, image: str) -> None:
    words = ["/app", *do("sleep", "60")]
    with pod.start(ContainerSpec("tools", image, words)) as container:
        found = container.exec("/tools/x.wasm")
        assert (found.exit_code, found.stdout) == (guests.STATUS, "x\n")
        with pytest.raises(CriError, match=r"/texts/over.txt"):
            container.exec("/texts/over.txt#run")


def test_files_that_containerd_does_not_fetch_are_named(node: Node, pod: Pod) -> None:
    files = tar_layer({"/texts/large.txt": LARGE}, TAR_GZIP)
    config = json_blob(artifact_packings.CNCF_CONFIG, {"architecture": "wasm", "os": "wasip1"})
    unfetched = packing.manifest(config, [Blob(WASM, guests.module("unfetched")), files])
    with node.pushed("files/unfetched", unfetched) as reference:
        node.pull(reference)
        with (
            pod.create(ContainerSpec("files", reference, ["/app"])) as container,
            pytest.raises(CriError, match=f"{files.digest} is not in .*pack the files under"),
        ):
            container.start()


def test_two_containers_share_the_unpacked_files(node: Node, pod: Pod, image: str) -> None:
    layers = node.containerd.folder / "cache" / "layers"
    run(pod, image, "ls", "/texts")
    before = sorted(path.name for path in layers.iterdir())
    run(pod, image, "ls", "/texts")
    assert sorted(path.name for path in layers.iterdir()) == before
    assert list(node.containerd.folder.joinpath("state").rglob("tandem-overlay")) == []
