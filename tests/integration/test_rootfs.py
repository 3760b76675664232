"""Root file systems as containerd describes them."""

import os
from pathlib import Path

import pytest

from shim.errdefs import InternalError, InvalidArgumentError
from shim.rootfs import RootfsMount, lay_over, mount_rootfs, unmount_rootfs
from tests.security.jailed import libc, mounts_below

pytestmark = pytest.mark.root


def overlay(tmp_path: Path, layers: int = 2, padding: int = 0) -> RootfsMount:
    lower = []
    for number in range(layers):
        layer = tmp_path / f"layer{number:03}{'x' * padding}"
        layer.mkdir()
        (layer / f"file{number}").write_text(str(number))
        lower.append(str(layer))
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = (
        "index=off",
        f"workdir={tmp_path}/work",
        f"upperdir={tmp_path}/upper",
        f"lowerdir={':'.join(lower)}",
    )
    return RootfsMount("overlay", "overlay", "", options)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_an_overlay_is_mounted_and_unmounted(tmp_path: Path) -> None:
    target = tmp_path / "bundle" / "rootfs"
    mount_rootfs([overlay(tmp_path)], target)
    (target / "new").write_text("x")
    assert sorted(os.listdir(target)) == ["file0", "file1", "new"]
    unmount_rootfs(target)
    assert os.listdir(target) == []
    assert os.listdir(tmp_path / "upper") == ["new"]
    unmount_rootfs(target)
    unmount_rootfs(tmp_path / "never" / "was")


def test_more_layers_than_fit_into_a_page_are_mounted(tmp_path: Path) -> None:
    before = open_fds()
    target = tmp_path / "rootfs"
    mount_rootfs([overlay(tmp_path, layers=150, padding=40)], target)
    assert len(os.listdir(target)) == 150
    assert open_fds() == before
    unmount_rootfs(target)


def test_a_layer_that_is_gone_is_named_also_among_many(tmp_path: Path) -> None:
    mount = overlay(tmp_path, layers=150, padding=40)
    (tmp_path / f"layer007{'x' * 40}" / "file7").unlink()
    (tmp_path / f"layer007{'x' * 40}").rmdir()
    with pytest.raises(
        InternalError, match=r"cannot mount overlay overlay at .*layer007x*: No such"
    ):
        mount_rootfs([mount], tmp_path / "rootfs")


def test_a_readonly_bind_cannot_be_written(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "rootfs"
    source.mkdir()
    mount_rootfs([RootfsMount("bind", str(source), "", ("rbind", "ro"))], target)
    with pytest.raises(OSError, match="Read-only file system"):
        (target / "x").write_text("x")
    unmount_rootfs(target)


def test_what_was_mounted_before_a_failure_is_undone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "rootfs"
    source.mkdir()
    mounts = [
        RootfsMount("bind", str(source), "", ("rbind", "rprivate")),
        RootfsMount("no-such-fs", "x", "", ()),
    ]
    with pytest.raises(InternalError, match=r"cannot mount no-such-fs x at .*: No such device"):
        mount_rootfs(mounts, target)
    assert mounts_below(tmp_path) == []


def test_a_mount_inside_the_rootfs_does_not_follow_symlinks_out(tmp_path: Path) -> None:
    source, target, node = tmp_path / "source", tmp_path / "rootfs", tmp_path / "node"
    (source / "data").mkdir(parents=True)
    node.mkdir()
    (source / "out").symlink_to(node)
    image = RootfsMount("bind", str(source), "", ("rbind",))
    with pytest.raises(InvalidArgumentError, match="'out' cannot be opened in the rootfs"):
        mount_rootfs([image, RootfsMount("tmpfs", "tmpfs", "out")], target)
    assert mounts_below(tmp_path) == []
    mount_rootfs([image, RootfsMount("tmpfs", "tmpfs", "/data")], target)
    assert [line.split(" ")[4] for line in mounts_below(tmp_path)] == [
        str(target),
        str(target / "data"),
    ]
    unmount_rootfs(target)


def test_mounts_below_a_plain_directory_are_found(tmp_path: Path) -> None:
    below = tmp_path / "root fs" / "odd \\ name" / "ü"
    below.mkdir(parents=True)
    libc.mount(b"none", os.fsencode(below), b"tmpfs", 0, None)
    libc.mount(b"none", os.fsencode(below), b"tmpfs", 0, None)
    unmount_rootfs(tmp_path / "root fs")
    assert mounts_below(tmp_path) == []
    assert "ü" not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("name", ["plain", "a:b,c=d\\e"])
def test_a_tree_is_laid_over_a_root_file_system(tmp_path: Path, name: str) -> None:
    before = open_fds()
    target, tree, scratch = tmp_path / name / "rootfs", tmp_path / "tree", tmp_path / name / "s"
    (tree / "file0").mkdir(parents=True)
    (tree / "file0" / "mine").write_text("mine")
    mount_rootfs([overlay(tmp_path)], target)
    tree_fd = os.open(tree, os.O_PATH)
    mask = os.umask(0o077)
    try:
        lay_over(tree_fd, target, scratch)
    finally:
        os.umask(mask)
        os.close(tree_fd)
    assert target.stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(target)) == ["file0", "file1"]
    assert (target / "file0" / "mine").read_text() == "mine"
    (target / "mountpoint").mkdir()
    assert os.listdir(scratch / "upper") == ["mountpoint"]
    assert sorted(os.listdir(tree)) == ["file0"]
    unmount_rootfs(target)
    assert os.listdir(target) == []
    assert os.listdir(tmp_path / "upper") == []
    assert open_fds() == before


def test_a_tree_that_cannot_be_laid_over_is_said(tmp_path: Path) -> None:
    before = open_fds()
    target, file = tmp_path / "rootfs", tmp_path / "file"
    target.mkdir()
    file.touch()
    file_fd = os.open(file, os.O_PATH)
    with pytest.raises(InternalError, match=f"artifact's files over {target}.*: Invalid argument"):
        lay_over(file_fd, target, tmp_path / "scratch")
    os.close(file_fd)
    assert open_fds() == before
    assert os.listdir(target) == []
