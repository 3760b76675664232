"""The bundle that `make bundle` left, moved to where it was not built."""

import shutil
from pathlib import Path

import pytest

import shim

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "bundle" / f"tandem-{shim.__version__}-amd64"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, under a name that a careless script trips over."""
    assert BUILT.is_dir(), "no bundle to test: make bundle"
    return shutil.copytree(BUILT, tmp_path_factory.mktemp("moved") / "a node's bundle")
