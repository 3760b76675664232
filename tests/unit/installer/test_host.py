"""Paths of the node stay inside its root."""

import os
from pathlib import Path

import pytest

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host


def node(tmp_path: Path) -> Host:
    (tmp_path / "etc/real").mkdir(parents=True)
    (tmp_path / "etc/real/f").write_text("inside")
    return Host(tmp_path)


def test_links_are_followed_inside_the_root(tmp_path: Path) -> None:
    host = node(tmp_path)
    (tmp_path / "etc/absolute").symlink_to("/etc/real")
    (tmp_path / "etc/up").symlink_to("../../../etc/real/f")
    assert host.read("/etc/absolute/f") == "inside"
    assert host.read("/etc/up") == "inside"
    assert host.real("/etc/absolute/f") == "/etc/real/f"
    assert host.real("/../../etc/real/f") == "/etc/real/f"


def test_last_link_is_not_followed_by_path(tmp_path: Path) -> None:
    host = node(tmp_path)
    (tmp_path / "etc/l").symlink_to("/etc/real")
    assert host.path("/etc/l") == tmp_path / "etc/l"
    assert host.path("/etc/l/f") == tmp_path / "etc/real/f"


def test_circle_of_links_is_refused(tmp_path: Path) -> None:
    host = node(tmp_path)
    (tmp_path / "a").symlink_to("/b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NodeError, match="circle"):
        host.read("/a/x")


def test_missing_file_is_none_and_a_directory_is_refused(tmp_path: Path) -> None:
    host = node(tmp_path)
    assert host.read("/etc/real/f/below") is None
    assert host.read("/etc/none") is None
    with pytest.raises(NodeError, match="/etc/real cannot be read"):
        host.read("/etc/real")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    host = node(tmp_path)
    (tmp_path / "etc/f").write_bytes(b"\xff")
    with pytest.raises(NodeError):
        host.read("/etc/f")


def test_glob_gives_the_nodes_names(tmp_path: Path) -> None:
    host = node(tmp_path)
    (tmp_path / "etc/real/g").touch()
    assert host.glob("/etc/real/*") == ["/etc/real/f", "/etc/real/g"]
    assert host.glob("/etc/none/*.toml") == []


def test_writable_looks_at_the_nearest_directory(tmp_path: Path) -> None:
    host = node(tmp_path)
    assert host.writable("/etc/new/deep") == ""
    assert "is not a directory" in host.writable("/etc/real/f/x")
    if os.path.isdir("/sys/kernel") and os.statvfs("/sys").f_flag & os.ST_RDONLY:
        assert "read-only" in Host(Path("/")).writable("/sys")


def test_sockets_and_directories_are_told(tmp_path: Path) -> None:
    host = node(tmp_path)
    assert host.is_directory("/etc/real")
    assert not host.is_directory("/etc/real/f")
    assert not host.is_socket("/etc/real/f")
    assert host.exists("/etc/real/f")
