"""Pods of a containerd that has a bundle, and neither this checkout nor the machine's Python."""

import json
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import shim
from runtimeclass.bundle.image import NAME
from runtimeclass.bundle.programs import entry_point
from tests.bundle.conftest import BUILT, ROOT
from tests.support import images, leaks, probe
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec, Volume

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@pytest.fixture(scope="module")
def containerd(bundle: Path) -> Iterator[Containerd]:
    with Containerd("1.6", shims=bundle / "bin") as started:
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for hidden in (Path(sys.base_prefix, "lib", python), Path(sys.prefix), ROOT):
            done = started.run(["mount", "-t", "tmpfs", "tmpfs", hidden])
            assert done.returncode == 0, done.stderr
        started.import_image(images.busybox_image(started.folder / "busybox.tar"))
        started.import_image(probe.probe_image(started.folder / "probe.tar", probe.WASM))
        with started.pod("first", "tandem"):
            pass
        leaks.allow_reserve(started.tandem_socket)
        yield started


def test_mixed_pod_runs_from_the_bundle_alone(containerd: Containerd, bundle: Path) -> None:
    with containerd.pod("mixed", "tandem") as pod:
        shared = pod.volume("www")
        command = ["httpd", "-f", "-p", "8080", "-h", "/www"]
        pod.start(
            ContainerSpec("server", images.BUSYBOX, command, volumes=[Volume(shared, "/www")])
        )
        write = [*probe.probe("write", "/out/page.html", "from Wasm"), "sleep", "60"]
        volumes = [Volume(shared, "/out")]
        writer = pod.start(ContainerSpec("writer", probe.WASM, args=write, volumes=volumes))
        writer.wait_for_log("wrote")
        page = containerd.http_get(f"http://{pod.ip}:8080/page.html")
        assert (page.status, page.body) == (200, b"from Wasm")
        ours = [each for each in processes(containerd) if each.name() == "tandemd"]
        # The daemon, the pod's shim and the instance at least.
        assert len(ours) >= 3
        assert {name for each in ours for name in foreign_files(each, bundle)} == set()


def processes(containerd: Containerd) -> list[psutil.Process]:
    """What runs in containerd's room, its daemon and spares included."""
    return [psutil.Process(each.host_pid) for each in containerd.room.processes()]


def foreign_files(process: psutil.Process, bundle: Path) -> set[str]:
    """What a process has mapped that is neither the bundle's nor a compiled module."""
    found = {each.path for each in process.memory_maps(grouped=True)}
    files = {name for name in found if name.startswith("/") and not name.startswith("/memfd:")}
    return {name for name in files if f"{bundle}/" not in name and "/cache/" not in name}


def test_image_runs_under_runc(containerd: Containerd) -> None:
    built = BUILT.with_name(f"{BUILT.name}.oci.tar")
    archive = shutil.copy(built, containerd.folder / "image.tar")
    with tarfile.open(archive) as layout:
        index = json.load(layout.extractfile("index.json") or pytest.fail("no index"))
    names = [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]]
    assert names == [f"{NAME}:{shim.__version__}"]
    containerd.ctr("images", "import", archive, namespace=containerd.name)
    *python, _ = entry_point("/tandem")
    said = containerd.ctr(
        *("run", "--rm", "--runtime", "io.containerd.runc.v2", f"--cgroup=/{containerd.name}/i"),
        *(names[0], "installer", *python, "/tandem/bin/tandem", "version", "--output", "json"),
        namespace=containerd.name,
    )
    assert json.loads(said)["tandem"] == shim.__version__


def test_dockerfile_has_the_same_entry_point() -> None:
    text = (ROOT / "runtimeclass/Dockerfile").read_text().replace("\\\n", " ")
    words = json.loads(text.partition("ENTRYPOINT ")[2].partition("]")[0] + "]")
    assert tuple(words) == entry_point("/tandem")
