"""What bounds a guest: read-only trees, volumes, its user, its module, descriptors, memory, time.

As in `test_guest_paths`, what must fail stands beside what must work.
"""

import os
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
    said,
    tried,
)
from tests.support.guests import binary
from tests.support.shim_process import ShimManager, alive

pytestmark = pytest.mark.root


def test_readonly_root_and_volumes_stay_as_they_are(
    manager: ShimManager, volume: Path, node: Path
) -> None:
    check(
        manager,
        {
            "write /etc/image x": REFUSED,
            "truncate /attacker.wasm": REFUSED,
            "make /new x": REFUSED,
            "rename /etc/image /etc/moved": REFUSED,
            "unlinkat etc/image": REFUSED,
            "write /readonly/mine x": REFUSED,
            "truncate /readonly/mine": REFUSED,
            "make /readonly/new x": REFUSED,
            "unlinkat readonly/mine": REFUSED,
            "link /readonly/mine /readonly/again": REFUSED,
            "write /file x": REFUSED,
            "read /etc/image": "read of the image",
            "read /readonly/mine": "read of the volume",
            "read /file": "read of the node",
            "make /writable/new x": "done",
        },
        root={"path": "rootfs", "readonly": True},
        mounts=[
            bind(volume, "/readonly", "ro"),
            bind(volume, "/writable"),
            bind(node / "secret", "/file", "ro"),
        ],
    )
    assert (volume / "mine").read_text() == "of the volume"


def test_symlinks_of_a_volume_end_in_the_container(
    manager: ShimManager, volume: Path, node: Path
) -> None:
    for name, target in {
        "absolute": f"{node}/secret",
        "relative": f"{UP}{node}/secret",
        "beside": "../node/secret",
        "image": "../etc/image",
        "own": "mine",
    }.items():
        (volume / name).symlink_to(target)
    check(
        manager,
        {
            "readat volume/absolute": REFUSED,
            "readat volume/relative": REFUSED,
            "readat volume/beside": REFUSED,
            "readat volume/../node/secret": REFUSED,
            # It is the container's own file, not that of the node beside the volume.
            "readat volume/image": "read of the image",
            "readat volume/own": "read of the volume",
        },
        mounts=[bind(volume, "/volume")],
    )


def test_a_neighbours_volume_is_out_of_reach(
    manager: ShimManager, volume: Path, node: Path
) -> None:
    group = manager.new_id()
    shared = manager.directory / "shared"
    shared.mkdir()
    (shared / "absolute").symlink_to(f"{node}/secret")
    neighbour = attacker(
        manager,
        ["read /private/secret", "symlink ../private/secret /shared/way", "spin"],
        group=group,
        mounts=[bind(node, "/private"), bind(shared, "/shared")],
    )
    task = manager.running(neighbour)
    assert neighbour.stdout is not None
    neighbour.stdout.read_until(b"read of the node\ndone\n")
    check(
        manager,
        {
            "list /private": REFUSED,
            "readat shared/way": REFUSED,
            "readat shared/absolute": REFUSED,
            f"readat shared/../../{node.name}/secret": REFUSED,
            "read /own/mine": "read of the volume",
        },
        group=group,
        mounts=[bind(volume, "/own"), bind(shared, "/shared")],
    )
    ends_at_once(task)


def test_another_user_is_held_to_modes(manager: ShimManager) -> None:
    expected = {
        "read /private": REFUSED,
        "write /public x": REFUSED,
        "make /etc/new x": REFUSED,
        "read /public": "read for all",
    }
    user = {"user": {"uid": 1000, "gid": 1000}}
    bundle = attacker(manager, expected, process=user)
    for name, mode in (("private", 0o600), ("public", 0o644)):
        file = image_of(manager, bundle) / name
        file.write_text("for all")
        file.chmod(mode)
    assert tried(manager, bundle) == expected


def test_a_guest_that_empties_its_module_hurts_itself_alone(
    manager: ShimManager, layer: Path
) -> None:
    module = layer / "attacker.wasm"
    before = module.read_bytes(), module.stat().st_mtime_ns
    check(
        manager,
        {
            "truncate /attacker.wasm": "done",
            "write /attacker.wasm owned": "done",
            "read /attacker.wasm": "read owned",
            "read /etc/image": "read of the image",
        },
    )
    assert (module.read_bytes(), module.stat().st_mtime_ns) == before
    check(manager, {"read /etc/image": "read of the image"})


def test_a_changed_module_is_never_taken_for_the_old_one(
    manager: ShimManager, volume: Path, layer: Path
) -> None:
    """Same file, size and time of change of contents: what can be forged without root."""
    module = volume / "app.wasm"
    text = '(module (func (export "_start") {}))'
    good, bad = binary(text.format("nop")), binary(text.format("unreachable"))
    assert len(good) == len(bad)
    for content, status in ((good, 0), (bad, 137), (good, 0)):
        before = module.stat() if module.exists() else None
        with module.open("r+b" if before else "wb") as file:
            file.write(content)
        os.utime(module, ns=(1, 1))
        bundle = manager.bundle(["/volume/app.wasm"])
        bundle.spec["mounts"].append(bind(volume, "/volume"))
        bundle.write_spec()
        assert manager.running(bundle).wait().exit_status == status


def test_arguments_and_environment_are_the_specs(manager: ShimManager) -> None:
    env = ["A=1", "EMPTY=", "EQUALS=a=b"]
    process = {"env": env, "cwd": "/data"}
    bundle = attacker(manager, ["arguments", "environment"], process=process)
    assert said(manager, bundle) == [
        "/attacker.wasm",
        "arguments",
        "environment",
        *env,
        "PWD=/data",
    ]


def test_no_descriptor_but_the_root_is_open(manager: ShimManager) -> None:
    bundle = attacker(manager, ["descriptors", "hold /etc", "descriptors"])
    assert said(manager, bundle) == ["open 3", "done", "open 3 4"]


def test_the_process_holds_nothing_of_the_node(manager: ShimManager) -> None:
    bundle = attacker(manager, ["hold /etc/image", "spin"])
    task = manager.running(bundle)
    assert bundle.stdout is not None
    bundle.stdout.read_until(b"done\n")
    process = Path(f"/proc/{task.connect().task_pid}")
    held = {os.readlink(fd): fd for fd in (process / "fd").iterdir()}
    io = manager.directory / "io" / bundle.container_id
    # wasmtime maps a compiled module's data from its file whenever the guest is instantiated.
    artefact = next(name for name in held if name.endswith(".module"))
    paths = {name for name in held if name.startswith("/")}
    assert paths == {os.devnull, f"{io}/stdout", f"{io}/stderr", "/", "/etc/image", artefact}
    writable = {name for name in paths if held[name].lstat().st_mode & stat.S_IWUSR}
    assert writable == {f"{io}/stdout", f"{io}/stderr"}
    root = held["/"].stat()
    assert os.path.samestat(root, (process / "root").stat())
    assert not os.path.samestat(root, Path("/").stat())
    others = {name.partition(":")[0] for name in held.keys() - paths}
    assert others <= {"anon_inode", "socket"}
    ends_at_once(task)


def test_eating_memory_ends_the_eater_alone(manager: ShimManager) -> None:
    group = manager.new_id()
    bundle = attacker(manager, ["read /etc/image", "eat"], group=group)
    bundle.spec["linux"]["resources"]["memory"] = {"limit": 64 << 20}
    bundle.write_spec()
    task = manager.running(bundle)
    shim_pid = task.connect().shim_pid
    assert task.wait().exit_status == 137
    assert alive(shim_pid)
    check(manager, {"read /etc/image": "read of the image"}, group=group)


def test_an_endless_loop_ends_on_sigterm(manager: ShimManager) -> None:
    task = manager.running(manager.bundle(["/loop.wasm"]))
    assert not task.client.answered(task.begin_wait(), within_s=0.2)
    ends_at_once(task)
