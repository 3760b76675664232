import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, NotFoundError, UnavailableError
from shim.images.archive import open_archive, write_archive
from shim.images.closure import closure
from shim.images.pack import Module, Settings, pack_artifact
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.oci.descriptors import Descriptor

NAME = parse_reference("registry.example/a:1")


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Store, Descriptor]:
    store = Store(tmp_path / "images")
    target = pack_artifact(store, [Module("a.wasm", b"\0asm\1\0\0\0")], [], Settings())
    store.tag(NAME, target)
    return store, target


def write(packed: tuple[Store, Descriptor], path: Path) -> None:
    manifests, blobs = closure(*packed)
    write_archive(packed[0], NAME, packed[1], [*manifests, *blobs], path)


def test_archive_holds_the_image_under_its_name(
    packed: tuple[Store, Descriptor], tmp_path: Path
) -> None:
    store, target = packed
    write(packed, tmp_path / "a.tar")
    with open_archive(tmp_path / "a.tar") as archive:
        assert archive.images() == {str(NAME): target}
        assert archive.read(target) == store.read(target)
    write(packed, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar", "images"]


def test_layout_in_a_directory_is_the_same(packed: tuple[Store, Descriptor]) -> None:
    store, target = packed
    with open_archive(store.directory) as archive:
        assert archive.images() == {str(NAME): target}
        assert archive.read(target) == store.read(target)
        with pytest.raises(NotFoundError, match="not all of one"):
            archive.read(Descriptor("", "sha256:" + "0" * 64, 1))


def test_archive_that_lies_is_found_out(packed: tuple[Store, Descriptor], tmp_path: Path) -> None:
    target = packed[1]
    path = tmp_path / "a.tar"
    name = f"blobs/{target.digest.replace(':', '/')}"
    with tarfile.open(path, "w") as archive:
        for member, data in ((name, b"x" * target.size), ("index.json", b"{}")):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    with open_archive(path) as found:
        with pytest.raises(InvalidArgumentError, match="digest"):
            found.read(target)
        with pytest.raises(InvalidArgumentError, match="more than 3 bytes"):
            found.read(Descriptor("", target.digest, 3))


def test_member_that_is_a_link_is_none(packed: tuple[Store, Descriptor], tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("index.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with open_archive(path) as found, pytest.raises(NotFoundError, match=r"index\.json"):
        found.images()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_text(json.dumps({}) * 1000)
    with pytest.raises(InvalidArgumentError, match="no tar archive"), open_archive(path):
        pass


def test_failure_to_write_is_named_and_leaves_nothing(
    packed: tuple[Store, Descriptor], tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="cannot write"):
        write(packed, tmp_path / "nowhere" / "a.tar")
    packed[0].path(packed[1].digest).unlink()
    with pytest.raises(UnavailableError, match="cannot write"):
        write_archive(packed[0], NAME, packed[1], [packed[1]], tmp_path / "a.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
