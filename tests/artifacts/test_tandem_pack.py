"""What `tandem pack` and `tandem push` make, through each containerd into a pod."""

import json
import sys
from pathlib import Path

import pytest

from tests.artifacts import guests
from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.expectations import MISMATCH
from tests.support.pods import ContainerSpec, Pod
from tests.support.tandem_command import TandemCommand

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MAIN = "import sys; from shim.cli.app import main; sys.exit(main())"
FORMS = {
    "artifact": (),
    "image": ("--compat",),
    "image-wasip1": ("--compat", "--platform", "wasip1/wasm"),
}


@pytest.mark.parametrize("form", FORMS)
def test_packed_module_runs(node: Node, pod: Pod, tmp_path: Path, form: str) -> None:
    path = tmp_path / "hello.wasm"
    path.write_bytes(guests.module(form))
    image = push(node, tmp_path, form, path, *FORMS[form])
    try:
        pull(node, image, is_artifact=form == "artifact")
        command = ["hello.wasm"] if form == "artifact" else []
        expect_run(pod, ContainerSpec(form, image, command), form, guests.STATUS)
    finally:
        node.remove(f"{node.registry.address}/packed")


@pytest.mark.parametrize("form", FORMS)
def test_packed_files_are_the_guests(node: Node, pod: Pod, tmp_path: Path, form: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/motto.txt").write_text("two under one yoke\n")
    path = tmp_path / "app.wasm"
    path.write_bytes(guests.reader(f"files-{form}"))
    more = ("--add", f"{tmp_path}/texts:/texts", *FORMS[form])
    image = push(node, tmp_path, f"files-{form}", path, *more)
    try:
        pull(node, image, is_artifact=form == "artifact")
        command = ["/app.wasm", "cat", "/texts/motto.txt"]
        expect_run(pod, ContainerSpec("reader", image, command), "two under one yoke", 0)
    finally:
        node.remove(f"{node.registry.address}/packed")


def push(node: Node, folder: Path, name: str, module: Path, *more: str) -> str:
    """Pack and push where the registry is."""
    tandem = TandemCommand(folder / "node")
    image = f"{node.registry.address}/packed/{name}:1"
    digest = tandem.must("pack", module, "-t", image, *more, "--output", "json").json["digest"]
    environment = [f"{key}={value}" for key, value in tandem.environment.items()]
    argv = ["env", *environment, sys.executable, "-c", MAIN, "push", image, "--output", "json"]
    done = node.containerd.run(list(argv))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == digest
    return image


def pull(node: Node, image: str, *, is_artifact: bool) -> None:
    error = node.pull(image)
    if is_artifact and node.line == "1.6":
        # The image is there: the kubelet's next try finds it.
        assert MISMATCH in error
    else:
        assert error == ""
