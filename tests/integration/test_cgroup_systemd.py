"""Groups named for systemd, `slice:prefix:name`, where no systemd has to be asked: Wasm containers.

runc leaves making such a group to systemd, so that a Linux container needs one to run.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.cgroup import Cgroup, locate
from shim.oci.spec import Resources
from tests.conformance.workloads import Wasm, make_image
from tests.support import leaks
from tests.support.shim_process import ShimBinary, ShimManager
from tests.support.tandem_home import TandemHome

pytestmark = pytest.mark.root

LAUNCHER = Path(__file__).parents[2] / ".venv/bin/containerd-shim-tandem-v1"
SLICE = f"{leaks.TOKEN}-burstable-pod1.slice"
NESTED = f"{leaks.TOKEN}.slice/{leaks.TOKEN}-burstable.slice/{SLICE}"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _slices_removed() -> Iterator[None]:
    """A slice stays for the pod's other containers; its owner removes it."""
    yield
    for directory in sorted(leaks.cgroups(f"{leaks.TOKEN}.slice"), reverse=True):
        os.rmdir(directory)


@pytest.fixture
def manager() -> Iterator[ShimManager]:
    """Our shim on a node whose configuration says `systemd_cgroup = true`."""
    directory = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    home = TandemHome(directory / "t")
    home.config.write_text(
        home.config.read_text().replace("[linux]\n", "[linux]\nsystemd_cgroup = true\n")
    )
    binary = ShimBinary(LAUNCHER, home.environment)
    manager = ShimManager(binary, directory, make_image(directory / "image"))
    yield manager
    manager.close()
    home.stop_daemon()
    shutil.rmtree(directory)


def value(group: Cgroup, *names: str) -> str:
    """What the first of these files says: the name on v2, then the one on v1."""
    paths = [path / name for path in group.paths for name in names]
    return next(path.read_text().strip() for path in paths if path.exists())


def test_a_group_lies_in_its_nested_slices() -> None:
    group = locate(f"{SLICE}:tandem:one", systemd=True)
    group.create(Resources(memory_limit_bytes=64 * MIB, pids_limit=7))
    try:
        assert all(str(path).endswith(f"/{NESTED}/tandem-one.scope") for path in group.paths)
        assert value(group, "memory.max", "memory.limit_in_bytes") == str(64 * MIB)
        assert value(group, "pids.max") == "7"
    finally:
        group.remove()
    assert not any(path.exists() for path in group.paths)


def test_a_wasm_container_runs_under_its_systemd_name(manager: ShimManager) -> None:
    bundle = manager.bundle(Wasm().sleep())
    linux = bundle.spec["linux"]
    linux["cgroupsPath"] = f"{SLICE}:cri-containerd:{bundle.container_id}"
    linux["resources"]["memory"] = {"limit": 64 * MIB}
    bundle.write_spec()
    task = manager.running(bundle)
    group = locate(linux["cgroupsPath"], systemd=True)
    assert group.pids() == [task.state().pid]
    assert value(group, "memory.max", "memory.limit_in_bytes") == str(64 * MIB)
    for path in group.paths:
        assert str(path).endswith(f"/{NESTED}/cri-containerd-{bundle.container_id}.scope")
    task.kill(9)
    assert task.wait().exit_status == 137
    task.delete()
    assert not any(path.exists() for path in group.paths)
