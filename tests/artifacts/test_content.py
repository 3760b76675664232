"""Containers whose module is in the content store: started again, executed in, gone meanwhile."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.artifacts import artifact_packings, guests
from tests.artifacts.conftest import Node
from tests.cri.conftest import shims_and_instances
from tests.support import packing
from tests.support.containerd import CRI_NAMESPACE
from tests.support.cri import CriError
from tests.support.packing import CONFIG, WASM, Artifact, image_config, json_blob
from tests.support.pods import Container, ContainerSpec, Pod
from tests.support.probe import probe as do
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def artifact(*modules: Blob, titles: tuple[str, ...] = ()) -> Artifact:
    """An artifact of the CNCF's form."""
    config = {"architecture": "wasm", "layerDigests": [module.digest for module in modules]}
    blob = json_blob(artifact_packings.CNCF_CONFIG, config)
    return packing.manifest(blob, modules, annotated=packing.titled(*titles))


def blob_file(node: Node, digest: str) -> Path:
    """Where containerd keeps a blob."""
    store = node.containerd.folder / "root" / "io.containerd.content.v1.content" / "blobs"
    return store / digest.replace(":", "/")


@pytest.fixture(scope="module")
def image(node: Node) -> Iterator[str]:
    """The probe and another module, both with a title."""
    reader, other = Blob(WASM, guests.reader("content")), Blob(WASM, guests.module("other"))
    both = artifact(reader, other, titles=("probe.wasm", "tools/other.wasm"))
    with node.pushed("content/two", both) as reference:
        # containerd 1.6 fetches it all and then cannot unpack what is no tar: see test_ways.
        node.pull(reference)
        yield reference


@pytest.fixture(scope="module")
def sleeper(pod: Pod, image: str) -> Container:
    """A container that stays, whose module is the probe."""
    words = ["/probe.wasm", *do("sleep", "3600")]
    return pod.start(ContainerSpec("sleeper", image, words, env={"COLOUR": "blue"}))


def test_function_of_the_artifacts_module_is_executed(sleeper: Container) -> None:
    assert sleeper.exec("#greet").stdout == "greetings\n"
    absent = sleeper.exec("#absent")
    assert absent.exit_code == 137
    assert "absent" in absent.stderr


@pytest.mark.parametrize("name", ["tools/other.wasm", "/tools/other.wasm", "other"])
def test_other_module_of_the_artifact_is_executed(sleeper: Container, name: str) -> None:
    found = sleeper.exec(name)
    assert (found.exit_code, found.stdout) == (guests.STATUS, "other\n")


def test_own_module_is_executed_by_its_name(sleeper: Container) -> None:
    found = sleeper.exec("probe.wasm", *do("env", "COLOUR"), *do("args", "x"), "exit", "9")
    assert (found.exit_code, found.stdout) == (9, "COLOUR=blue\nx\n")


@pytest.mark.parametrize("command", ["sh", "/bin/sh", "/nothing.wasm"])
def test_what_the_artifact_does_not_hold_is_not_executed(sleeper: Container, command: str) -> None:
    with pytest.raises(CriError, match=f"{command} is not in the image"):
        sleeper.exec(command)


def test_second_start_reads_no_blob(node: Node, pod: Pod) -> None:
    module = Blob(WASM, guests.module("again"))
    with node.pushed("content/again", artifact(module)) as reference:
        node.pull(reference)
        with pod.start(ContainerSpec("again", reference, ["/app"])) as first:
            assert first.wait().exit_code == guests.STATUS
        blob_file(node, module.digest).unlink()
        with pod.start(ContainerSpec("again", reference, ["/app"])) as second:
            second.wait()
            assert second.stdout == "again"


def test_blob_that_is_missing_is_named(node: Node, pod: Pod) -> None:
    module = Blob(WASM, guests.module("missing"))
    with node.pushed("content/missing", artifact(module)) as reference:
        node.pull(reference)
        blob_file(node, module.digest).unlink()
        with (
            pod.create(ContainerSpec("missing", reference, ["/app"])) as container,
            pytest.raises(CriError, match=f"image {reference}: blob {module.digest} is not in"),
        ):
            container.start()


def test_image_that_is_removed_meanwhile_is_named(node: Node, pod: Pod) -> None:
    with node.pushed("content/gone", artifact(Blob(WASM, guests.module("gone")))) as reference:
        node.pull(reference)
        with pod.create(ContainerSpec("gone", reference, ["/app"])) as container:
            node.remove(reference)
            with pytest.raises(CriError, match=r"image .* is not in namespace .*pull it again"):
                container.start()


def test_image_without_a_module_keeps_the_old_words(node: Node, pod: Pod) -> None:
    layer = packing.tar_layer({"/etc/motto.txt": b"none\n"})
    ordinary = packing.manifest(
        image_config("linux/amd64", [packing.diff_id(layer)], media_type=CONFIG), [layer]
    )
    with node.pushed("content/ordinary", ordinary) as reference:
        assert node.pull(reference) == ""
        # Twice: the second time nobody has to read the image.
        for _ in range(2):
            for command, words in (
                ("/nothing", 'exec: "/nothing"'),
                ("/nothing.wasm", "entry point /nothing.wasm is not in the image or a volume"),
                ("#run", "names no file"),
            ):
                with (
                    pod.create(ContainerSpec("ordinary", reference, [command])) as container,
                    pytest.raises(CriError, match=words),
                ):
                    container.start()


def test_nothing_but_the_pods_own_processes_run(node: Node, sleeper: Container) -> None:
    """No process stays for the content store: who asks it is gone."""
    assert sleeper.is_running()
    shims, instances = shims_and_instances(node.containerd)
    assert len(instances) == len(shims) == 1


ASK = """
import sys
from pathlib import Path
import shim.daemon.unneeded
from shim.aot.cache import Cache
from shim.content.source import ImageSource, Origin
from shim.errdefs import ShimError
from shim.oci.choose import Choice

cache = Cache(Path(sys.argv[1]), 1 << 30, "key")
choose = lambda artifact: Choice(artifact.modules[0], None, ())
source = ImageSource(Origin(*sys.argv[2:]), choose, cache)
try:
    source.prepare()
    print(source.image, len(source.read(1 << 20)), source.facts()["image"])
except ShimError as error:
    print(type(error).__name__, error)
"""


def test_loader_asks_for_all_of_it_itself(node: Node, pod: Pod, tmp_path: Path) -> None:
    """Where the pod shim's short question had no answer."""

    def ask(address: Path, namespace: str, container_id: str) -> str:
        words: list[str | Path] = [tmp_path / "cache", address, namespace, container_id]
        ran = node.containerd.run([sys.executable, "-c", ASK, *words])
        return ran.stdout.strip() or ran.stderr

    address = node.containerd.address
    module = Blob(WASM, guests.module("asked"))
    asked = artifact(module)
    with node.pushed("content/asked", asked) as reference:
        node.pull(reference)
        with pod.create(ContainerSpec("asked", reference, ["/app"])) as container:
            found = ask(address, CRI_NAMESPACE, container.id)
            assert found.split()[:2] == [asked.digest, str(len(module.data))]
            # CRI names the image by one of its names, the digest's among them.
            assert found.split()[2].startswith((reference.rpartition(":")[0], "sha256:"))
            assert ask(address, "other", container.id) == (
                f"NotFoundError container {container.id} is not in namespace other of the"
                f" containerd at {address}: it was removed meanwhile"
            )
            nowhere = address.with_name("nowhere.sock")
            text = ask(nowhere, CRI_NAMESPACE, container.id)
            assert text.startswith(f"UnavailableError the containerd at {nowhere} does not answer")
