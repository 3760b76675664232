"""Attacks of a guest by path: WASI calls of a real module, run by the real shim.

Each table of operations holds what must fail beside the same thing done within bounds, which must
work: a guest that can do nothing at all passes no test here.
"""

import os
import socket
import stat
from pathlib import Path

import pytest

from tests.security.guest import (
    REFUSED,
    UP,
    attacker,
    bind,
    check,
    ends_at_once,
    image_of,
    tried,
)
from tests.support.shim_process import ShimManager

pytestmark = pytest.mark.root

COMPONENT = Path(__file__).parent / "guests" / "open_at.wat"


def test_dots_do_not_climb_out(manager: ShimManager, node: Path) -> None:
    out = f"{UP}{node}"
    check(
        manager,
        {
            f"read {out}/secret": REFUSED,
            f"readat {out}/secret": REFUSED,
            f"readat etc/{out}/secret": REFUSED,
            f"readat {node}/secret": REFUSED,
            f"list {out}": REFUSED,
            f"makeat {out}/new x": REFUSED,
            f"mkdirat {out}/new": REFUSED,
            f"unlinkat {out}/secret": REFUSED,
            "mkdirat ../new": REFUSED,
            "readat data/../etc/./image": "read of the image",
            "mkdirat data/../etc/new": "done",
        },
    )


def test_symlinks_of_the_image_lead_nowhere_else(manager: ShimManager, node: Path) -> None:
    expected = {
        "readat absolute": REFUSED,
        "readat relative": REFUSED,
        "readat directory/secret": REFUSED,
        "makeat dangling x": REFUSED,
        "makeat directory/new x": REFUSED,
        "truncate /relative": REFUSED,
        "renameat etc/image directory/image": REFUSED,
        "readat inside": "read of the image",
        "makeat missing x": "done",
        "readat data/new": "read x",
    }
    bundle = attacker(manager, expected)
    links = {
        "absolute": f"{node}/secret",
        "relative": f"{UP}{node}/secret",
        "directory": f"{UP}{node}",
        "dangling": f"{UP}{node}/new",
        "inside": "data/../etc/image",
        "missing": "data/new",
    }
    for name, target in links.items():
        (image_of(manager, bundle) / name).symlink_to(target)
    assert tried(manager, bundle) == expected


def test_symlinks_of_the_guests_own_lead_nowhere_else(manager: ShimManager, node: Path) -> None:
    check(
        manager,
        {
            f"symlink {node}/secret /absolute": REFUSED,
            "symlink /etc/passwd /passwd": REFUSED,
            "symlink /proc/1/root /root": REFUSED,
            "list /root": REFUSED,
            f"symlink {UP}{node}/secret /relative": "done",
            "read /relative": REFUSED,
            f"symlink {UP}proc/self/root{node} /way": "done",
            "list /way": REFUSED,
            "readat way/secret": REFUSED,
            "symlink loop /loop": "done",
            "readat loop": REFUSED,
            "symlink etc/image /inside": "done",
            "read /inside": "read of the image",
        },
    )


def test_hard_links_do_not_reach_out(manager: ShimManager, node: Path, volume: Path) -> None:
    out = f"{UP}{node}"
    check(
        manager,
        {
            f"link {node}/secret /mine": REFUSED,
            f"linkat {out}/secret mine": REFUSED,
            f"linkat etc/image {out}/new": REFUSED,
            f"symlink {out}/secret /way": "done",
            "link /way /linked": "done",
            "read /linked": REFUSED,
            "link /etc/image /volume/image": REFUSED,
            "link /volume/mine /mine": REFUSED,
            "link /etc/image /etc/again": "done",
            "read /etc/again": "read of the image",
        },
        mounts=[bind(volume, "/volume")],
    )
    assert os.listdir(volume) == ["mine"]


def test_renames_do_not_reach_out(manager: ShimManager, node: Path, volume: Path) -> None:
    out = f"{UP}{node}"
    check(
        manager,
        {
            f"rename {node}/secret /mine": REFUSED,
            f"renameat {out}/secret mine": REFUSED,
            f"renameat etc/image {out}/new": REFUSED,
            f"renameat etc/image {out}/secret": REFUSED,
            "rename /etc/image /volume/image": REFUSED,
            "rename /volume/mine /etc/mine": REFUSED,
            "rename /etc /volume/../../etc": REFUSED,
            "rename /volume /moved": REFUSED,
            "rename /etc/image /etc/moved": "done",
            "rename /volume/mine /volume/moved": "done",
            "read /etc/moved": "read of the image",
            "read /volume/moved": "read of the volume",
        },
        mounts=[bind(volume, "/volume")],
    )


def test_the_kernels_file_systems_are_not_there(manager: ShimManager) -> None:
    check(
        manager,
        {
            "list /proc": "holds",
            "list /sys": "holds",
            "list /dev": "holds",
            "list /proc/self/fd": REFUSED,
            "read /proc/self/environ": REFUSED,
            "read /proc/1/root/etc/hostname": REFUSED,
            "read /proc/self/exe": REFUSED,
            "list /sys/fs/cgroup": REFUSED,
            "write /proc/sys/kernel/core_pattern x": REFUSED,
            "read /dev/null": REFUSED,
            "read /dev/kmsg": REFUSED,
            "list /etc": "holds image",
        },
    )


def test_device_nodes_and_sockets_are_dead(manager: ShimManager, volume: Path) -> None:
    places = ("", "volume/")
    expected = {
        f"{verb} /{place}{name}{text}": REFUSED
        for place in places
        for name in ("memory", "disk", "socket")
        for verb, text in (("read", ""), ("write", " x"))
    } | {"read /file": "read alive", "read /volume/file": "read alive"}
    bundle = attacker(manager, expected, mounts=[bind(volume, "/volume", "dev")])
    for directory in (image_of(manager, bundle), volume):
        os.mknod(directory / "memory", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        os.mknod(directory / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
        (directory / "file").write_text("alive")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(directory / "socket"))
    assert tried(manager, bundle) == expected


def test_a_fifo_of_the_image_holds_up_nobody_else(manager: ShimManager) -> None:
    bundle = attacker(manager, ["read /fifo"], group=manager.new_id())
    os.mkfifo(image_of(manager, bundle) / "fifo")
    task = manager.running(bundle)
    group = bundle.spec["annotations"]["io.kubernetes.cri.sandbox-id"]
    check(manager, {"read /etc/image": "read of the image"}, group=group)
    ends_at_once(task)


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("etc/image", True),
        ("inside", True),
        ("etc/../etc/image", True),
        (f"{UP}NODE/secret", False),
        (f"etc/{UP}NODE/secret", False),
        ("NODE/secret", False),
        ("absolute", False),
        ("relative", False),
        ("proc/self/environ", False),
        ("..", False),
    ],
)
def test_a_component_opens_what_is_inside_alone(
    manager: ShimManager, node: Path, path: str, is_open: bool
) -> None:
    path = path.replace("NODE", str(node))
    text = COMPONENT.read_text().replace("LENGTH", str(len(path))).replace('"PATH"', f'"{path}"')
    bundle = manager.bundle(["/open.wat"])
    image = image_of(manager, bundle)
    (image / "open.wat").write_text(text)
    (image / "inside").symlink_to("etc/image")
    (image / "absolute").symlink_to(node / "secret")
    (image / "relative").symlink_to(f"{UP}{node}/secret")
    task = manager.running(bundle)
    assert task.wait().exit_status == (0 if is_open else 1)
    assert bundle.stderr is not None
    assert bundle.stderr.read_to_end() == b""
