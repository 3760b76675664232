"""Bundles for all tests of a session, and nodes of each kind."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.bundles import make_bundle
from tests.node.fake_node import FakeNode


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles by version; that of 9.9.9 has a shim that does not work."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {version: make_bundle(folder, version) for version in ("0.1.0", "0.2.0")}
    return {**made, "9.9.9": make_bundle(folder, "9.9.9", broken=True)}


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[FakeNode]:
    """A node whose containerd a loop keeps alive."""
    with FakeNode(request.config.getoption("--containerd")) as made:
        yield made


@pytest.fixture
def systemd_node(request: pytest.FixtureRequest) -> Iterator[FakeNode]:
    """A node whose containerd is systemd's."""
    with FakeNode(request.config.getoption("--containerd"), systemd=True) as made:
        yield made


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A path that is short enough for a socket's address."""
    folder = Path(tempfile.mkdtemp(prefix="tdi-"))
    yield folder / "s"
    shutil.rmtree(folder)
