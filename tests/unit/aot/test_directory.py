"""The cache's directories are ours alone."""

import os
from pathlib import Path

import pytest

from shim.aot.directory import open_private
from shim.errdefs import InternalError, PermissionDeniedError


def test_missing_directories_are_made_private(tmp_path: Path) -> None:
    made = open_private(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (made, made.parent)] == [0o700, 0o700]


def test_readable_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert open_private(tmp_path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_directory_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "cache"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(PermissionDeniedError, match="can be changed by others"):
        open_private(directory)


def test_directory_below_one_that_others_may_change_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(PermissionDeniedError, match=f"{parent} can be changed"):
        open_private(parent / "cache")


@pytest.mark.root
def test_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    directory.mkdir()
    os.chown(directory, 12345, 0)
    with pytest.raises(PermissionDeniedError, match="belongs to user 12345"):
        open_private(directory)


def test_symbolic_link_is_followed_and_its_target_checked(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    assert open_private(link) == target
    target.chmod(0o777)
    with pytest.raises(PermissionDeniedError):
        open_private(link)


def test_file_in_the_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PermissionDeniedError, match="not a directory"):
        open_private(file)
    with pytest.raises(InternalError, match="Not a directory"):
        open_private(file / "below")
