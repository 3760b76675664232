"""Paths of the node in the bundle's binaries."""

from pathlib import Path

import pytest

from runtimeclass.bundle.arch import ARCHES
from runtimeclass.bundle.failure import BuildError
from runtimeclass.bundle.libraries import sever

AMD64 = ARCHES["amd64"]
SEARCHED = b"/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
BINARIES = {
    "ld.so": b"ELF\0" + SEARCHED + b"/etc/ld.so.preload\0/etc/ld.so.cache\0/proc/self/exe\0",
    "libc.so.6": b"/usr/lib/x86_64-linux-gnu/gconv\0/usr/lib/locale/locale-archive\0/etc/hosts\0",
    "libcrypto.so.3": b"/usr/lib/ssl/certs\0/usr/lib/x86_64-linux-gnu/ossl-modules\0"
    b"/usr/lib/x86_64-linux-gnu/engines-3\0",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    for name, content in BINARIES.items():
        (tmp_path / "lib" / name).write_bytes(content)
    return tmp_path


def test_paths_keep_their_length_and_lead_nowhere(root: Path) -> None:
    sever(AMD64, root)
    for name, content in BINARIES.items():
        severed = (root / "lib" / name).read_bytes()
        assert len(severed) == len(content)
        assert b"/lib/" not in severed
    loader = (root / "lib/ld.so").read_bytes()
    assert loader.count(b"\0") == BINARIES["ld.so"].count(b"\0")
    assert b"/-/-/\0" in loader
    assert b"/proc/self/exe" in loader
    assert b"ld.so" not in loader
    assert b"/etc/hosts" in (root / "lib/libc.so.6").read_bytes()


@pytest.mark.parametrize("name", BINARIES)
def test_a_binary_that_finds_things_another_way_is_not_believed(root: Path, name: str) -> None:
    (root / "lib" / name).write_bytes(b"something else")
    with pytest.raises(BuildError, match=f"{name} does not have the path"):
        sever(AMD64, root)
