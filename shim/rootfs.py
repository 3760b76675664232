"""Mount and unmount a container's root file system as containerd describes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.kernel.libc import LINUX, Kernel


@dataclass(frozen=True, slots=True)
class RootfsMount:
    """One mount of a Create request."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()


def mount_rootfs(mounts: Sequence[RootfsMount], target: Path, kernel: Kernel = LINUX) -> None:
    """Mount `mounts` at `target` in order; where one fails, those before it are undone."""
    raise NotImplementedError


def unmount_rootfs(target: Path, kernel: Kernel = LINUX) -> None:
    """Unmount everything at and below `target`; nothing happens where nothing is mounted."""
    raise NotImplementedError
