"""`tandem ps` and `tandem doctor` beside a containerd that runs pods."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cri.conftest import WASM, Stack
from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec
from tests.support.tandem_command import TandemCommand

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MAIN = "import sys; from shim.cli.app import main; sys.exit(main())"


def tandem(containerd: Containerd, *words: str, status: int = 0) -> Any:
    """The command where containerd is: in its namespaces, with its environment."""
    argv = [sys.executable, "-W", "error", "-c", MAIN, *words, "--output", "json"]
    done = containerd.run(list(argv))
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_ps_lists_a_pod_with_both_kinds(containerd: Containerd) -> None:
    with containerd.pod("listed", "tandem") as pod:
        linux = pod.start(ContainerSpec("shell", images.BUSYBOX, ["sleep", "3600"]))
        wasm = WASM.start(pod, "sleep", "3600")
        found = tandem(containerd, "ps")
        [listed] = [each for each in found["pods"] if each["group"] == pod.id]
        assert listed["namespace"] == "k8s.io"
        assert listed["pss"] > 1_000_000
        assert listed["uptime_s"] > 0
        containers = {each["id"]: each for each in listed["containers"]}
        assert set(containers) == {pod.id, linux.id, wasm.id}
        assert listed["name"] == "default/listed"
        assert [containers[each]["name"] for each in (linux.id, wasm.id)] == ["shell", "probe"]
        kinds = [containers[each]["kind"] for each in (pod.id, linux.id, wasm.id)]
        assert kinds == ["linux", "linux", "wasm"]
        assert all(each["pid"] > 0 and each["pss"] > 0 for each in containers.values())
    gone = tandem(containerd, "ps")["pods"]
    assert pod.id not in {each["group"] for each in gone}


def test_doctor_finds_nothing_to_mend(containerd: Containerd, stack: Stack) -> None:
    config = str(containerd.folder / "config.toml")
    checks = {each["name"]: each for each in tandem(containerd, "doctor", "--config", config)}
    assert [each for each in checks.values() if each["level"] == "fail"] == []
    assert checks["containerd"]["found"].startswith(stack.release)
    assert "tandem" in checks["runtime handler"]["found"]
    assert checks["shim binary"]["level"] == "ok"
    assert checks["CRI"]["found"].startswith("offers tandem")
    assert checks["daemon"]["found"].startswith("runs at")
    socket = checks["containerd socket"]["found"]
    assert socket.startswith(stack.release)
    assert socket.endswith(f"runs at {containerd.address}")


def test_doctor_says_what_a_configuration_lacks(containerd: Containerd) -> None:
    empty = containerd.folder / "empty.toml"
    empty.write_text("version = 2\n")
    checks = tandem(containerd, "doctor", "--config", str(empty), status=1)
    [check] = [each for each in checks if each["name"] == "runtime handler"]
    assert check["level"] == "fail"
    assert "runtimes.tandem" in check["mend"]


@pytest.mark.parametrize("form", [(), ("--compat",)])
def test_images_of_containerd_are_warmed_and_outlive_a_pruning_until_they_go(
    containerd: Containerd, tmp_path: Path, form: tuple[str, ...]
) -> None:
    node = TandemCommand(tmp_path / "node")
    module = tmp_path / "warm.wasm"
    module.write_bytes(guests.binary(guests.HELLO.replace("hello", "warm!")))
    archive = tmp_path / "warm.tar"
    name = "registry.example/warm:1"
    packed = node.must("pack", module, "-t", name, "-o", archive, *form, "--output", "json").json
    # Not CRI's: it gives each image a second name.
    containerd.ctr("images", "import", "--no-unpack", archive, namespace=containerd.name)
    address = ("--address", str(containerd.address))
    try:
        [warmed] = tandem(
            containerd, "cache", "warm", name, "--namespace", containerd.name, *address
        )
        assert warmed["compiled"] is True
        assert warmed["image"] == name
        entry = find(containerd, warmed["digest"])
        assert entry["images"] == [packed["digest"]]
        tandem(containerd, "cache", "prune", *address)
        assert find(containerd, warmed["digest"]) == entry
    finally:
        containerd.ctr("images", "rm", "--sync", name, namespace=containerd.name)
    done = tandem(containerd, "cache", "prune", *address)
    assert warmed["digest"] in {each["digest"] for each in done["removed"]}
    assert find(containerd, warmed["digest"]) is None


def test_image_is_warmed_for_pods_that_run_it_as_cgi(
    containerd: Containerd, tmp_path: Path
) -> None:
    """By word of mouth for a module, and of itself for what a table names."""
    name = "registry.example/warm-cgi:1"
    module = guests.binary(guests.HELLO.replace("hello", "cgi!!"))
    table = '[[module]]\nroute = "/a"\nmodule = "app.wasm"\n'
    second = table.replace("/a", "/b").replace("app", "other")
    files: dict[str, images.Content] = {
        "/modules.toml": (table + second).encode(),
        "/other.wasm": guests.binary(guests.HELLO.replace("hello", "other")),
    }
    for entrypoint, option, count in (("/app.wasm", ["--cgi"], 1), ("/modules.toml", [], 2)):
        config = images.ImageConfig(entrypoint=[entrypoint])
        archive = images.wasm_image(tmp_path / "warm.tar", name, module, files, config)
        containerd.ctr("images", "import", "--no-unpack", archive, namespace=containerd.name)
        try:
            words = ("cache", "warm", name, "--namespace", containerd.name, *option)
            warmed = tandem(containerd, *words, "--address", str(containerd.address))
            assert len(warmed) == count
            # The first one serves both ways.
            assert [each["compiled"] for each in warmed] == [option == ["--cgi"], True][:count]
            for each in warmed:
                digest = each["digest"].removeprefix("sha256:")
                [made] = (containerd.folder / "cache").rglob(f"{digest}.module")
                assert made.parent.suffix == ".interruptible"
        finally:
            containerd.ctr("images", "rm", "--sync", name, namespace=containerd.name)


def find(containerd: Containerd, digest: str) -> Any:
    entries = tandem(containerd, "cache", "ls")
    return next((entry for entry in entries if entry["digest"] == digest), None)
