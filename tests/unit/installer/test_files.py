"""Changes of files: whole, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content, Files

OWNER = (os.geteuid(), os.getegid())


class Killed(BaseException):
    """As SIGKILL: nothing after it runs but what the kernel does."""


def failing(at: str) -> Files:
    def before(act: str, path: Path) -> None:
        if act == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return Files(before)


def killed(at: str) -> Files:
    def before(act: str, path: Path) -> None:
        if act == at:
            raise Killed

    return Files(before)


def test_file_is_written_with_its_mode(tmp_path: Path) -> None:
    content = Content(b"x", 0o640, OWNER)
    Files().write(tmp_path / "f", content)
    assert Files().read(tmp_path / "f") == content
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_who_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        Files().write(path, Content(b"new", 0o644, OWNER))
        assert file.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("at", ["create", "rename"])
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, at: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(HostError, match=f"{path}: No space left on device; make room"):
        failing(at).write(path, Content(b"new", 0o644, OWNER))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("at", ["create", "rename"])
def test_kill_leaves_the_old_file_and_the_next_call_writes_the_new(tmp_path: Path, at: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(Killed):
        killed(at).write(path, Content(b"new", 0o644, OWNER))
    assert path.read_bytes() == b"old"
    Files().write(path, Content(b"new", 0o644, OWNER))
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_link_is_swapped(tmp_path: Path) -> None:
    path = tmp_path / "current"
    Files().link(path, "a")
    Files().link(path, "b")
    assert Files().read(path) == "b"
    assert [each.name for each in tmp_path.iterdir()] == ["current"]


def test_link_that_cannot_be_made_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "current"
    Files().link(path, "a")
    with pytest.raises(HostError):
        failing("link").link(path, "b")
    assert Files().read(path) == "a"


def test_nothing_is_read_as_none(tmp_path: Path) -> None:
    assert Files().read(tmp_path / "f") is None
    (tmp_path / "g").write_text("")
    assert Files().read(tmp_path / "g" / "f") is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="neither a file nor a link"):
        Files().read(tmp_path)


def test_tree_loses_its_name_first(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_text("x")
    with pytest.raises(Killed):
        killed("rmtree").remove_tree(tree)
    assert not tree.exists()
    tree.mkdir()
    Files().remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_tree_that_is_a_link_loses_the_link_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "t").symlink_to("other")
    Files().remove_tree(tmp_path / "t")
    assert [each.name for each in tmp_path.iterdir()] == ["other"]


def test_directory_with_something_in_it_stays(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    assert Files().remove_directory(tmp_path / "d") is False
    Files().empty(tmp_path / "d")
    assert Files().remove_directory(tmp_path / "d") is True
    assert list(tmp_path.iterdir()) == []


def test_remove_of_nothing_is_done_already(tmp_path: Path) -> None:
    Files().remove(tmp_path / "f")
    Files().remove_tree(tmp_path / "t")
    Files().empty(tmp_path / "d")
