"""Images made to harm: each is refused with its reason, leaves nothing, and the pod carries on.

What containerd refuses itself is here, too: nothing of it ever reaches us.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from tests.artifacts import artifact_packings, guests
from tests.artifacts.artifact_packings import CNCF_CONFIG
from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.image_packings import compat_wasi
from tests.support import images, packing
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.packing import WASM, Artifact, image_config, json_blob
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]

CONTENT = "root/io.containerd.content.v1.content/blobs"


@pytest.fixture
def refuses(node: Node, pod: Pod) -> Iterator[list[str]]:
    """After the test: nothing is left below the shim's cache, and another container runs."""
    before = files_below(node.containerd)
    yield []
    assert files_below(node.containerd) <= before
    runs_another(node, pod)


def files_below(containerd: Containerd) -> set[Path]:
    """What the shim keeps in its cache, but for artifacts of modules that compiled."""
    return {path for path in (containerd.folder / "cache").rglob("*") if "layers" in path.parts}


def runs_another(node: Node, pod: Pod) -> None:
    with node.pushed("hostile/other", artifact_packings.cncf_module("other")) as image:
        node.pull(image)
        expect_run(pod, ContainerSpec("other", image, ["app"]), "other", guests.STATUS)


def refusal(pod: Pod, image: str, **more: object) -> str:
    """The error of starting a container of an image."""
    spec = ContainerSpec("bad", image, ["app"], **more)  # type: ignore[arg-type]
    with pod.create(spec) as container, pytest.raises(CriError) as refused:
        container.start()
    assert "Traceback" not in refused.value.text
    return refused.value.text


def artifact(*layers: Blob) -> Artifact:
    """An artifact in the CNCF's form."""
    config = {"architecture": "wasm", "os": "wasip1", "layerDigests": [x.digest for x in layers]}
    return packing.manifest(json_blob(CNCF_CONFIG, config), layers)


@contextmanager
def configured(containerd: Containerd, more: str, max_bytes: int = 4 << 30) -> Iterator[None]:
    """More configuration for the pods that are started meanwhile, and another size of the cache."""
    path = containerd.folder / "tandem.toml"
    usual = path.read_text()
    path.write_text(usual.replace("[cache]\n", f"[cache]\nmax_bytes = {max_bytes}\n") + more)
    try:
        yield
    finally:
        path.write_text(usual)


@contextmanager
def tampered(containerd: Containerd, blob: Blob, data: bytes) -> Iterator[None]:
    """Other bytes in containerd's content store, under a digest that is not theirs."""
    path = containerd.folder / CONTENT / blob.digest.replace(":", "/")
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(blob.data)
        path.chmod(mode)


@pytest.mark.usefixtures("refuses")
@pytest.mark.parametrize("change", ["other", "shorter"])
def test_module_that_is_not_what_its_digest_says(node: Node, pod: Pod, change: str) -> None:
    module = Blob(WASM, guests.module(f"tampered-{change}"))
    evil = guests.module(f"mischief-{change}")
    data = {
        "other": evil[: len(module.data)].ljust(len(module.data), b"\0"),
        "shorter": module.data[:-1],
    }[change]
    with node.pushed(f"hostile/tampered-{change}", artifact(module)) as image:
        node.pull(image)
        with tampered(node.containerd, module, data):
            text = refusal(pod, image)
    assert module.digest in text
    assert "pull it again" in text


@pytest.mark.usefixtures("refuses")
def test_index_that_points_at_itself(node: Node, pod: Pod) -> None:
    """No digest can be in what it is the digest of: only a damaged content store has such.

    The entry for Linux has containerd content; it has no file `app`, so that ours look further.
    """
    layer = packing.tar_layer({"/etc/motto.txt": b"itself\n"})
    linux = packing.manifest(image_config("linux/amd64", [packing.diff_id(layer)]), [layer])
    bad = packing.index({"linux/amd64": linux, "wasi/wasm": compat_wasi("itself")})
    document = json.loads(bad.target.data)
    document["manifests"][1] |= {"mediaType": images.INDEX_TYPE, "digest": bad.digest}
    data = json.dumps(document, separators=(",", ":")).encode().ljust(len(bad.target.data))
    with node.pushed("hostile/itself", bad) as image:
        node.pull(image)
        with tampered(node.containerd, bad.target, data):
            text = refusal(pod, image)
    assert bad.digest in text
    assert "pull it again" in text


@pytest.mark.usefixtures("refuses")
def test_manifest_that_has_become_an_index(node: Node, pod: Pod) -> None:
    """containerd reads it itself when it makes the container."""
    bad = artifact(Blob(WASM, guests.module("turned")))
    with node.pushed("hostile/turned", bad) as image:
        node.pull(image)
        index = packing.index({}).target.data.ljust(len(bad.target.data))
        with tampered(node.containerd, bad.target, index), pytest.raises(CriError) as refused:
            pod.create(ContainerSpec("turned", image, ["app"]))
    assert "expected manifest but found index" in refused.value.text


@pytest.mark.usefixtures("refuses")
def test_layer_longer_than_its_descriptor_says(node: Node) -> None:
    module = Blob(WASM, guests.module("longer"))
    bad = artifact(module)
    document = json.loads(bad.target.data)
    document["layers"][0]["size"] -= 10
    target = replace(bad.target, data=json.dumps(document).encode())
    with node.pushed("hostile/longer", replace(bad, target=target)) as image:
        error = node.pull(image)
    assert "size" in error, error


@pytest.mark.usefixtures("refuses")
def test_ten_thousand_layers(node: Node, pod: Pod) -> None:
    """containerd 2 refuses so many; 1.6 takes 12 s to pull them and 1.7 takes 39 s, so that fewer
    have to do: we refuse more than 500."""
    count = 10_000 if node.line == "2.1" else 600
    module = Blob(WASM, guests.module("many"))
    config = {"architecture": "wasm", "os": "wasip1", "layerDigests": [module.digest]}
    bad = packing.manifest(json_blob(CNCF_CONFIG, config), [module] * count)
    with node.pushed("hostile/many", replace(bad, blobs=bad.blobs[:2])) as image:
        error = node.pull(image)
        if node.line == "2.1":
            assert "too many descriptors (limit 10000)" in error
            return
        text = refusal(pod, image)
    assert f"{count} layers" in text


@pytest.mark.usefixtures("refuses")
def test_compiled_code_as_a_layer(node: Node, pod: Pod) -> None:
    """Native code comes from our own cache alone, never from an image (decision 3)."""
    code = wasmtime.Module(wasmtime.Engine(), guests.module("native")).serialize()
    native = Blob(WASM, bytes(code))
    with node.pushed("hostile/native", artifact(native)) as image:
        node.pull(image)
        text = refusal(pod, image)
    assert "compiled" in text
    assert native.digest in text


@pytest.mark.usefixtures("refuses")
@pytest.mark.parametrize("data", [b"", b"just some text\n", b"\0asm\x63\0\0\0"], ids=len)
def test_layer_that_is_no_module(node: Node, pod: Pod, data: bytes) -> None:
    with node.pushed(f"hostile/none-{len(data)}", artifact(Blob(WASM, data))) as image:
        error = node.pull(image)
        if not data:
            assert "content size of zero" in error
            return
        text = refusal(pod, image)
    assert Blob(WASM, data).digest in text or "version" in text, text


@pytest.mark.usefixtures("refuses")
def test_module_that_takes_forever_to_compile(node: Node) -> None:
    with (
        configured(node.containerd, "[compile]\ntimeout_s = 1\n"),
        node.pushed("hostile/endless", artifact(Blob(WASM, guests.endless()))) as image,
        node.containerd.pod("endless", "tandem") as pod,
    ):
        node.pull(image)
        text = refusal(pod, image)
        runs_another(node, pod)
    assert "compiling the module took longer than" in text
    assert "[compile] timeout_s" in text
