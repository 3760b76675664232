"""What else people do to get a Wasm artifact onto a node, and what containerd makes of it.

For each refusal there is the way that works: other flags, a command in the pod, or a config of
the artifact's own.
"""

import io
import tarfile
from pathlib import Path

import pytest

from tests.artifacts import artifact_packings, guests, image_packings
from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.packings import PACKINGS
from tests.support import packing
from tests.support.cri import CriError
from tests.support.images import INDEX_TYPE
from tests.support.packing import Artifact, json_blob
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]

BY_NAME = {each.name: each for each in PACKINGS}
IMPORTED = ["compat-wasip1", "runwasi", "cncf-module", "spin"]


@pytest.mark.parametrize("name", ["runwasi", "cncf-module", "wasm-to-oci", "oras", "spin"])
def test_administrator_fetches_without_unpacking(node: Node, pod: Pod, name: str) -> None:
    """`ctr content fetch` makes an image, too, and no containerd refuses it."""
    chosen = BY_NAME[name]
    with node.pushed(f"fetched/{name}", chosen.build(name)) as image:
        node.containerd.ctr("content", "fetch", "--plain-http", image)
        node.containerd.cri.wait_for_image(image)
        spec = ContainerSpec(name, image, chosen.command)
        expect_run(pod, spec, chosen.output, chosen.status)


@pytest.mark.parametrize("name", IMPORTED)
def test_archive_is_imported_for_all_platforms(
    node: Node, pod: Pod, tmp_path: Path, name: str
) -> None:
    chosen = BY_NAME[name]
    image = f"localhost/imported-{name}:1"
    archive = write_archive(tmp_path / "image.tar", image, chosen.build(f"imported-{name}"))
    with pytest.raises(RuntimeError, match="image might be filtered out"):
        node.containerd.ctr("images", "import", archive)
    flags = ["--all-platforms"]
    # Before 1.6.25, unpacking counts what is no layer of a root file system.
    if node.line == "1.6" and name != "compat-wasip1":
        with pytest.raises(RuntimeError, match="mismatched image rootfs"):
            node.containerd.ctr("images", "import", *flags, archive)
        flags.append("--no-unpack")
    try:
        node.containerd.ctr("images", "import", *flags, archive)
        node.containerd.cri.wait_for_image(image)
        output = chosen.output if chosen.files else f"imported-{name}"
        expect_run(pod, ContainerSpec(name, image, chosen.command), output, chosen.status)
    finally:
        node.remove(image)


def test_pod_has_to_name_a_command_for_an_artifact(node: Node, pod: Pod) -> None:
    """The words are the guest's arguments; with one module, their first is only a name."""
    with node.pushed("ways/command", artifact_packings.cncf_module("command")) as image:
        node.pull(image)
        with pytest.raises(CriError, match="no command specified"):
            pod.create(ContainerSpec("without", image))
        expect_run(pod, ContainerSpec("with", image, ["anything"]), "command", guests.STATUS)


def test_folder_of_spin_needs_a_command_too(node: Node, pod: Pod) -> None:
    """SpinKube's own command for it is `/`, which is no program."""
    with node.pushed("ways/folder", image_packings.scratch_spin("folder")) as image:
        node.pull(image)
        with (
            pod.create(ContainerSpec("without", image)) as container,
            pytest.raises(CriError, match=r'exec: "/": (permission denied|is a directory)'),
        ):
            container.start()
        expect_run(pod, ContainerSpec("with", image, ["/app.wasm"]), "folder", guests.STATUS)


@pytest.mark.parametrize("kind", ["application/vnd.wasm.component.v1", "Application/X.Own+wasm"])
def test_module_under_another_type(node: Node, pod: Pod, kind: str) -> None:
    layer = Blob(kind, guests.module("typed"))
    config = json_blob("application/vnd.acme.config.v1+json", {"layer": layer.digest, "type": kind})
    with node.pushed("ways/typed", packing.manifest(config, [layer])) as image:
        node.pull(image)
        expect_run(pod, ContainerSpec("typed", image, ["app"]), "typed", guests.STATUS)


def test_artifacts_with_the_same_config_are_one_image_to_cri(node: Node, pod: Pod) -> None:
    """CRI's image id is the config's digest: of two with `{}` the first name wins."""
    same = artifact_packings.wasm_to_oci
    with (
        node.pushed("ways/same-a", same("same-a")) as first,
        node.pushed("ways/same-b", same("same-b")) as second,
    ):
        node.pull(first)
        node.pull(second)
        expect_run(pod, ContainerSpec("b", second, ["app"]), "same-a", guests.STATUS)


def test_artifacts_with_layer_digests_in_their_config_are_two(node: Node, pod: Pod) -> None:
    own = artifact_packings.cncf_module
    with (
        node.pushed("ways/own-a", own("own-a")) as first,
        node.pushed("ways/own-b", own("own-b")) as second,
    ):
        node.pull(first)
        node.pull(second)
        expect_run(pod, ContainerSpec("a", first, ["app"]), "own-a", guests.STATUS)
        expect_run(pod, ContainerSpec("b", second, ["app"]), "own-b", guests.STATUS)


def write_archive(target: Path, name: str, artifact: Artifact) -> Path:
    """The artifact as an OCI archive for `ctr images import`, as oci-tar-builder writes it."""
    platform = {"os": "wasip1", "architecture": "wasm"}
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    entry = artifact.target.descriptor(platform=platform, annotations=annotations)
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json_blob(INDEX_TYPE, index).data,
    }
    for blob in (*artifact.blobs, artifact.target):
        files[f"blobs/{blob.digest.replace(':', '/')}"] = blob.data
    with tarfile.open(target, "w") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target
