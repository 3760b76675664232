"""The nodes of these tests have the line of containerd that `--containerd` says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.bundles import make_bundle
from tests.node.calls import Acting
from tests.node.fake_node import FakeNode
from tests.support import leaks


@pytest.fixture(scope="session")
def containerd(request: pytest.FixtureRequest) -> str:
    """A key of RELEASES."""
    name: str = request.config.getoption("--containerd")
    return name


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Small ones of the checkout's programs: 1 and 2, and 3, whose shim is broken."""
    folder = tmp_path_factory.mktemp("bundles")
    yield {
        "1": make_bundle(folder, "1"),
        "2": make_bundle(folder, "2"),
        "3": make_bundle(folder, "3", broken=True),
    }
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def node(containerd: str) -> Iterator[FakeNode]:
    """One that the tests of a file share: each leaves it as `make_pristine` made it."""
    with FakeNode(containerd) as started:
        leaks.allow_respawn(started.loop_pid)
        yield started


@pytest.fixture(scope="module")
def acting(node: FakeNode) -> Iterator[Acting]:
    """The installers on it."""
    with Acting(node) as started:
        yield started


@pytest.fixture
def pristine(node: FakeNode, acting: Acting) -> Iterator[dict[str, str]]:
    """The node's tree without Tandem, which it has again after the test, and runc pods run."""
    before = node.tree()
    yield before
    node.before_start("")
    acting.call("uninstall").good()
    assert node.tree() == before
    node.run_runc_pod()
