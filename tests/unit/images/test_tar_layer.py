import os
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.images.tar_layer import Addition, parse_addition, write_tar


def packed(*additions: Addition) -> bytes:
    output = BytesIO()
    write_tar(additions, output)
    return output.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        return {member.name: member for member in archive}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "tree"
    (directory / "sub" / "empty").mkdir(parents=True)
    (directory / "file").write_text("content")
    (directory / "script").write_text("#!/bin/sh")
    (directory / "script").chmod(0o700)
    (directory / "link").symlink_to("file")
    (directory / "sub" / "up").symlink_to("..")
    return directory


def test_tree_is_packed_in_order_with_its_directories(tree: Path) -> None:
    found = members(packed(Addition("/data/in", tree)))
    names = ["", "/file", "/link", "/script", "/sub", "/sub/empty", "/sub/up"]
    assert list(found) == ["data", *(f"data/in{name}" for name in names)]
    assert found["data"].isdir()
    assert found["data/in/link"].linkname == "file"
    assert found["data/in/sub/up"].issym()
    assert [found[f"data/in/{name}"].mode for name in ("file", "script", "sub")] == [
        0o644,
        0o755,
        0o755,
    ]


def test_nothing_but_names_and_contents_shows(tree: Path) -> None:
    before = packed(Addition("/data", tree))
    os.utime(tree / "file", (1, 1))
    (tree / "file").chmod(0o600)
    os.chown(tree / "sub", 12, 34) if os.geteuid() == 0 else None
    assert packed(Addition("/data", tree)) == before
    for member in members(before).values():
        assert (member.uid, member.gid, member.mtime, member.uname) == (0, 0, 0, "")


def test_order_of_additions_does_not_matter() -> None:
    first, second = Addition("/b", b"2"), Addition("/a", b"1")
    assert packed(first, second) == packed(second, first)


def test_long_names_and_other_alphabets_survive() -> None:
    names = ["ä" * 40 + "/" + "b" * 120, "c" * 200]
    found = members(packed(*(Addition(f"/{name}", b"x") for name in names)))
    assert set(names) <= set(found)


def test_tree_at_the_top_has_no_entry_of_its_own(tree: Path) -> None:
    assert "file" in members(packed(Addition("/", tree)))


def test_two_trees_may_share_directories(tree: Path) -> None:
    found = members(packed(Addition("/x", tree), Addition("/x/sub/more", b"more")))
    assert {"x/file", "x/sub/more"} <= set(found)


@pytest.mark.parametrize(
    ("additions", "expected"),
    [
        ([Addition("/a", b"1"), Addition("/a", b"2")], "/a is added twice"),
        ([Addition("/a", b"1"), Addition("/a/b", b"2")], "as a file and as a directory"),
    ],
)
def test_one_name_is_one_thing(additions: list[Addition], expected: str) -> None:
    with pytest.raises(InvalidArgumentError, match=expected):
        packed(*additions)


def test_fifo_is_nothing_for_a_guest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "fifo")
    with pytest.raises(InvalidArgumentError, match="neither a file, a directory nor a link"):
        packed(Addition("/in", tmp_path / "in"))


def test_file_needs_a_name(tree: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="give it a name"):
        packed(Addition("/", tree / "file"))


@pytest.mark.parametrize(
    ("destination", "expected"),
    [("", "/tree"), (":/", "/"), (":/a//b/", "/a/b"), (":/a", "/a")],
)
def test_addition_is_read(tree: Path, destination: str, expected: str) -> None:
    assert parse_addition(f"{tree}{destination}") == Addition(expected, tree)


def test_a_link_that_is_named_is_followed(tree: Path) -> None:
    found = members(packed(parse_addition(f"{tree / 'link'}:/x")))
    assert found["x"].isreg()


@pytest.mark.parametrize("destination", ["relative", "/../x", "/a/../b", "/./a", "/a\0b"])
def test_destination_stays_in_the_image(tree: Path, destination: str) -> None:
    with pytest.raises(InvalidArgumentError, match="must be absolute"):
        parse_addition(f"{tree}:{destination}")


def test_missing_addition_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        parse_addition(str(tmp_path / "nowhere"))
