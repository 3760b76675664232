"""An image to attack from, and the check that nothing of an attack is left.

Native attacks run in a jail alone (`jailed.py`, `image`), guests in the whole shim (`guest.py`,
`manager`).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.guest import SOURCE, check
from tests.security.jailed import mounts_below
from tests.support import leaks
from tests.support.guests import LOOP, binary, compile_c
from tests.support.shim_process import ShimBinary, ShimManager
from tests.support.tandem_home import TandemHome

TANDEM = Path(__file__).parents[2] / ".venv/bin/containerd-shim-tandem-v1"


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


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """A short path: sockets below it must fit into sun_path."""
    directory = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def layer(session_directory: Path) -> Path:
    """The one layer of the attacker's image, which has a shell, too."""
    layer = session_directory / "layer"
    for name in ("etc", "data", "dev", "proc", "sys", "bin", "tmp"):
        (layer / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", layer / "bin/busybox")
    (layer / "bin/sh").symlink_to("busybox")
    (layer / "etc" / "image").write_text("of the image")
    shutil.copyfile(compile_c(SOURCE.read_text()), layer / "attacker.wasm")
    (layer / "loop.wasm").write_bytes(binary(LOOP))
    return layer


@pytest.fixture(scope="session")
def tandem(session_directory: Path, layer: Path) -> Iterator[ShimBinary]:
    """Our shim, with its daemon running and the attacker compiled."""
    home = TandemHome(session_directory / "t")
    leaks.watch(home.run_dir / "s")
    leaks.allow_reserve(home.socket)
    shim = ShimBinary(TANDEM, {**home.environment, "TOKEN_OF_THE_NODE": "secret"})
    first = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    manager = ShimManager(shim, first, layer)
    check(manager, {"read /etc/image": "read of the image"})
    manager.close()
    shutil.rmtree(first)
    yield shim
    home.stop_daemon()


@pytest.fixture
def manager(tandem: ShimBinary, layer: Path) -> Iterator[ShimManager]:
    directory = Path(tempfile.mkdtemp(prefix=f"{leaks.TOKEN}-", dir="/tmp"))
    manager = ShimManager(tandem, directory, layer)
    yield manager
    manager.close()
    shutil.rmtree(directory)


@pytest.fixture
def node(manager: ShimManager) -> Iterator[Path]:
    """A directory of the node that must stay as it is, open to everybody who gets there."""
    directory = manager.directory / "node"
    directory.mkdir(mode=0o777)
    (directory / "secret").write_text("of the node")
    yield directory
    assert os.listdir(directory) == ["secret"]
    assert (directory / "secret").read_text() == "of the node"
    assert (directory / "secret").stat().st_nlink == 1


@pytest.fixture
def volume(manager: ShimManager) -> Path:
    directory = manager.directory / "volume"
    directory.mkdir()
    (directory / "mine").write_text("of the volume")
    return directory
