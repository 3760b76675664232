"""An image to attack from, and the check that nothing of an attack is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.jailed import mounts_below


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A root file system with a few files; afterwards no mount is left of it."""
    tmp_path.chmod(0o755)
    rootfs = tmp_path / "rootfs"
    for name in ("etc", "data", "tmp"):
        (rootfs / name).mkdir(parents=True)
    (rootfs / "tmp").chmod(0o1777)
    (rootfs / "etc" / "image").write_text("from the image")
    yield rootfs
    assert mounts_below(tmp_path) == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the node that no guest may read or change."""
    file = tmp_path / "secret"
    file.write_text("of the node")
    return file
