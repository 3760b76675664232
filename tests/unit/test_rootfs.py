"""What is asked of the kernel; real mounts are in tests/integration/test_rootfs.py."""

import errno
from pathlib import Path
from typing import cast

import pytest

from shim.errdefs import InternalError
from shim.kernel import constants as c
from shim.kernel.libc import Kernel
from shim.rootfs import RootfsMount, mount_rootfs, unmount_rootfs
from tests.unit.jail.kernels import RecordingKernel


def test_a_bind_is_remounted_for_its_flags_and_given_its_propagation(tmp_path: Path) -> None:
    kernel = RecordingKernel()
    mount = RootfsMount("bind", "/image", "", ("rbind", "ro", "nodev", "rslave"))
    mount_rootfs([mount], tmp_path / "rootfs", cast("Kernel", kernel))
    target = str(tmp_path / "rootfs")
    flags = c.MS_BIND | c.MS_REMOUNT | c.MS_RDONLY | c.MS_NODEV
    assert kernel.calls == [
        ("mount", "/image", target, c.MS_BIND | c.MS_REC),
        ("mount", "", target, flags),
        ("mount", "", target, c.MS_SLAVE | c.MS_REC),
    ]


def test_options_that_do_not_fit_a_page_are_an_error(tmp_path: Path) -> None:
    kernel = RecordingKernel({"umount": errno.EINVAL})
    mount = RootfsMount("erofs", "/image", "", ("device=" + "x" * 5000,))
    with pytest.raises(InternalError, match=r"its options \(5007 bytes\) are longer than a page"):
        mount_rootfs([mount], tmp_path, cast("Kernel", kernel))


def test_unmounting_nothing_costs_one_call(tmp_path: Path) -> None:
    kernel = RecordingKernel({"umount": errno.EINVAL})
    unmount_rootfs(tmp_path, cast("Kernel", kernel))
    assert kernel.calls == [("umount", str(tmp_path), c.MNT_DETACH | c.UMOUNT_NOFOLLOW)]


def test_a_refused_unmount_is_named(tmp_path: Path) -> None:
    kernel = RecordingKernel({"umount": errno.EPERM})
    with pytest.raises(InternalError, match=f"cannot unmount {tmp_path}: Operation not permitted"):
        unmount_rootfs(tmp_path, cast("Kernel", kernel))
