"""kubectl's own kustomize makes of the bases what the one file says."""

import subprocess
import sys
from pathlib import Path

from tests.manifests.documents import (
    INSTALL,
    RUNTIMECLASS,
    UNINSTALL,
    Object,
    named,
    objects,
    of_file,
)

KUBECTL = Path(sys.executable).parent / "kubectl"


def built(name: str) -> dict[tuple[str, str], Object]:
    folder = RUNTIMECLASS / "kustomize" / name
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return named(objects(done.stdout))


def test_base_is_the_one_file() -> None:
    assert built("base") == named(of_file(INSTALL))


def test_uninstall_base_is_the_other_one_with_what_it_needs() -> None:
    assert built("uninstall") == named(of_file(INSTALL)) | named(of_file(UNINSTALL))


def test_an_overlay_says_image_and_nodes_in_one_place() -> None:
    plain, made = built("base"), built("example")
    changed = {name for name in plain if plain[name] != made[name]}
    assert changed == {("DaemonSet", "tandem")}
    spec = made["DaemonSet", "tandem"]["spec"]["template"]["spec"]
    images = {each["image"] for each in (*spec["initContainers"], *spec["containers"])}
    assert images == {"registry.example/platform/tandem-node:0.1.0"}
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "workload": "functions"}
