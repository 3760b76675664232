"""The shims under test, and one `ShimManager` in containerd's place for each test.

A test that names `workload` runs for every kind of container that the shim under test has.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.differences import TANDEM_ONLY, TANDEM_ONLY_PREFIXES, TTRPC_ONLY
from tests.conformance.workloads import WORKLOADS, Workload, make_image
from tests.support import leaks
from tests.support.shim_process import NAMESPACE, ShimBinary, ShimManager
from tests.support.tandem_home import TandemHome

REFERENCE = Path("/usr/bin/containerd-shim-runc-v2")
TANDEM = Path(__file__).parents[2] / ".venv/bin/containerd-shim-tandem-v1"


def shims(config: pytest.Config) -> list[Path]:
    given = config.getoption("--shim")
    if given:
        return [Path(given).absolute()]
    return [TANDEM] if over_grpc(config) else [REFERENCE, TANDEM]


def over_grpc(config: pytest.Config) -> bool:
    return bool(config.getoption("--transport") == "grpc")


def is_tandem(shim: Path) -> bool:
    return ShimBinary(shim).is_tandem


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shim" not in metafunc.fixturenames:
        return
    cases = []
    for path in shims(metafunc.config):
        kinds = WORKLOADS if is_tandem(path) else ("linux",)
        cases += [(path, kind) for kind in kinds]
    if "workload" in metafunc.fixturenames:
        names = [f"{path.name.split('-')[2]}-{kind}" for path, kind in cases]
        metafunc.parametrize(("shim", "workload"), cases, indirect=True, ids=names, scope="session")
    else:
        paths = list(dict.fromkeys(path for path, _ in cases))
        names = [path.name.split("-")[2] for path in paths]
        metafunc.parametrize("shim", paths, indirect=True, ids=names, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `differences` says that the reference, or the transport, does not have."""

    def has(item: pytest.Item) -> bool:
        if over_grpc(config) and getattr(item, "originalname", "") in TTRPC_ONLY:
            return False
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec is not None else {}
        if "shim" not in params or is_tandem(params["shim"]):
            return True
        name = getattr(item, "originalname", "")
        return name not in TANDEM_ONLY and not name.startswith(TANDEM_ONLY_PREFIXES)

    left_out = [item for item in items if not has(item)]
    items[:] = [item for item in items if has(item)]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """A short path: sockets below it must fit into sun_path."""
    directory = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)
    # runc's shim leaves its root for a namespace behind; not ours to remove unless it is empty.
    with contextlib.suppress(OSError):
        (Path("/run/containerd/runc") / NAMESPACE).rmdir()


@pytest.fixture(scope="session")
def image(session_directory: Path) -> Path:
    return make_image(session_directory / "image")


@pytest.fixture(scope="session")
def home(session_directory: Path, pytestconfig: pytest.Config) -> Iterator[TandemHome]:
    home = TandemHome(
        session_directory / "t",
        pytestconfig.getoption("--oci-runtime"),
        pytestconfig.getoption("--transport"),
    )
    leaks.watch(home.run_dir / "s")
    leaks.watch(home.run_dir / "runc")
    leaks.allow_reserve(home.socket)
    yield home
    home.stop_daemon()


@pytest.fixture(scope="session")
def shim(request: pytest.FixtureRequest, home: TandemHome, image: Path) -> ShimBinary:
    """The binary; ours has its daemon running, which a first `start` brings up."""
    binary = ShimBinary(request.param, home.environment, request.config.getoption("--transport"))
    if binary.is_tandem and home.daemon_pid is None:
        directory = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
        manager = ShimManager(binary, directory, image)
        manager.start_task(manager.bundle(["/bin/true"]))
        manager.close()
        shutil.rmtree(directory)
    return binary


@pytest.fixture(scope="session")
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


@pytest.fixture
def manager(shim: ShimBinary, image: Path) -> Iterator[ShimManager]:
    directory = Path(tempfile.mkdtemp(prefix=f"{leaks.TOKEN}-", dir="/tmp"))
    manager = ShimManager(shim, directory, image)
    yield manager
    manager.close()
    refused = manager.events.refused
    if not any(leaks.is_ours(point) for point in leaks.mounts()):
        shutil.rmtree(directory)
    assert refused == [], "containerd would have refused these"
