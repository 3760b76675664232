"""Bundles for all tests of a session, and nodes of each kind, with the `--containerd` asked for."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.bundles import make_bundle
from tests.node.calls import Acting
from tests.node.fake_node import FakeNode
from tests.support import leaks


@pytest.fixture(scope="session")
def containerd(request: pytest.FixtureRequest) -> str:
    """The line of containerd, a key of RELEASES."""
    name: str = request.config.getoption("--containerd")
    return name


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small bundles by version; that of 9.9.9 has a shim that does not work."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {version: make_bundle(folder, version) for version in ("0.1.0", "0.2.0")}
    return {**made, "9.9.9": make_bundle(folder, "9.9.9", broken=True)}


@pytest.fixture
def node(containerd: str) -> Iterator[FakeNode]:
    """A node whose containerd a loop keeps alive."""
    with FakeNode(containerd) as made:
        yield made


@pytest.fixture
def systemd_node(containerd: str) -> Iterator[FakeNode]:
    """A node whose containerd is systemd's."""
    with FakeNode(containerd, systemd=True) as made:
        yield made


@pytest.fixture(scope="module")
def shared(containerd: str) -> Iterator[FakeNode]:
    """A node that the tests of a file share, each of which leaves it as `pristine` says."""
    with FakeNode(containerd) as made:
        leaks.allow_respawn(made.loop_pid)
        yield made


@pytest.fixture(scope="module")
def acting(shared: FakeNode) -> Iterator[Acting]:
    """The installers on the shared node."""
    with Acting(shared) as made:
        yield made


@pytest.fixture
def pristine(shared: FakeNode, acting: Acting) -> Iterator[dict[str, str]]:
    """The shared node's tree without Tandem. After the test it has it again, and runc pods run."""
    before = shared.tree()
    yield before
    shared.before_start("")
    acting.call("uninstall").good()
    assert shared.tree() == before
    shared.run_runc_pod()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A path that is short enough for a socket's address."""
    folder = Path(tempfile.mkdtemp(prefix="tdi-"))
    yield folder / "s"
    shutil.rmtree(folder)
