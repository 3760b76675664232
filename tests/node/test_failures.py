"""What can go wrong, each time on a node with a real containerd, which works afterwards as before.

An error is in stdout's line, the termination log and the exit status; the old configuration is in
force, containerd is up and runs runc's pods (`pristine`), and an older version of Tandem goes on.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.node.calls import Acting, Outcome
from tests.node.fake_node import FakeNode
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

Install = Callable[..., Outcome]
CONFIG = "/etc/containerd/config.toml"


@pytest.fixture
def install(acting: Acting, bundles: dict[str, Path]) -> Install:
    """Calls `install` of a version of the bundles."""

    def call(version: str, *arguments: str | Path, at: int = 0) -> Outcome:
        return acting.call("install", "--bundle", bundles[version], *arguments, at=at)

    return call


@contextlib.contextmanager
def tmpfs(node: FakeNode, directory: str, options: str) -> Iterator[Path]:
    """Have a file system over a directory of the node's."""
    node.sh(f"mount -t tmpfs -o {options} tmpfs {directory}")
    try:
        yield node.room.path(directory)
    finally:
        node.sh(f"umount {directory}")


@pytest.fixture
def unchanged(shared: FakeNode, pristine: dict[str, str]) -> Callable[[], None]:
    """Asserts that nothing is on the node that was not, and that containerd answers."""

    def check() -> None:
        assert shared.tree() == pristine
        assert shared.cri.is_ready()

    return check


def test_no_room_for_the_bundle(
    shared: FakeNode, install: Install, unchanged: Callable[[], None]
) -> None:
    with tmpfs(shared, "/opt", "size=1m") as opt:
        install("0.1.0").failed(3, "MiB free", "make room")
        assert list(opt.iterdir()) == []
    unchanged()


def test_disk_that_is_full_after_any_number_of_files(
    shared: FakeNode, install: Install, acting: Acting, unchanged: Callable[[], None]
) -> None:
    """Of a file system that has room for bytes, and no more inodes."""
    failures = 0
    with tmpfs(shared, "/opt", "size=64m,nr_inodes=1000") as opt:
        for inodes in range(4, 60):
            shared.sh(f"mount -o remount,nr_inodes={inodes} /opt")
            done = install("0.1.0", "--timeout", "3")
            if done.status == 0:
                break
            failures += 1
            # 9 where it is the guest's log that has no room.
            done.failed(5 if "make room" in done.said else 9, "No space left on device")
            assert shared.config_file.read_text() == shared.config
            shared.sh("mount -o remount,nr_inodes=1000 /opt")
            acting.call("uninstall").good()
            # containerd makes its own at each start.
            assert {each.name for each in opt.iterdir()} <= {"containerd"}
        assert failures > 10
        acting.call("uninstall").good()
    unchanged()


def test_upgrade_on_a_disk_that_is_full_after_any_number_of_files(
    shared: FakeNode, install: Install, acting: Acting, unchanged: Callable[[], None]
) -> None:
    failures = 0
    with tmpfs(shared, "/opt", "size=64m,nr_inodes=1000") as opt:
        install("0.1.0").good()
        names = {each.name for each in (opt / "tandem").iterdir()}
        disk = os.statvfs(opt)
        used = disk.f_files - disk.f_ffree
        for inodes in range(used, used + 60):
            shared.sh(f"mount -o remount,nr_inodes={inodes} /opt")
            done = install("0.2.0", "--timeout", "3")
            if done.status == 0:
                break
            failures += 1
            done.failed(5 if "make room" in done.said else 9, "No space left on device")
            # Nothing was left that takes room: the disk is as full as it was, and no fuller.
            assert {each.name for each in (opt / "tandem").iterdir()} == names
            assert (opt / "tandem/current").readlink().name == "0.1.0"
            shared.sh("mount -o remount,nr_inodes=1000 /opt")
            acting.call("verify").good()
        assert failures > 5
        acting.call("uninstall").good()
    unchanged()


def test_uninstall_after_its_state_was_lost(
    shared: FakeNode, install: Install, acting: Acting, unchanged: Callable[[], None]
) -> None:
    install("0.1.0").good()
    starts = shared.starts
    shared.sh("rm -r /opt/tandem/install")
    assert f"the runtime tandem of {CONFIG} is not of this" in acting.call("uninstall").good().said
    assert shared.starts == starts
    shared.config_file.write_text(shared.config)
    # What else it knows nothing of.
    for name in ("/usr/local/bin/containerd-shim-tandem-v1", "/opt/tandem/current"):
        shared.path(name).unlink()
    shared.path("/opt/tandem").rmdir()
    shared.restart()
    unchanged()


def test_no_room_beside_the_configuration(
    shared: FakeNode, install: Install, unchanged: Callable[[], None]
) -> None:
    with tmpfs(shared, "/etc/containerd", "size=4k") as directory:
        config = directory / "config.toml"
        config.write_text(shared.config)
        install("0.1.0").failed(5, CONFIG, "No space left on device", "make room")
        assert config.read_text() == shared.config
    unchanged()


@pytest.mark.parametrize("directory", ["/etc/containerd", "/opt"])
def test_read_only_file_system(
    shared: FakeNode,
    install: Install,
    acting: Acting,
    bundles: dict[str, Path],
    unchanged: Callable[[], None],
    directory: str,
) -> None:
    with tmpfs(shared, directory, "size=1m") as path:
        (path / "config.toml").write_text(shared.config)
        shared.sh(f"mount -o remount,ro {directory}")
        acting.call("check", "--bundle", bundles["0.1.0"]).failed(3, "read-only file system")
        install("0.1.0").failed(5, directory, "Read-only file system", "make it writable")
    unchanged()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version = [\n", "is not valid TOML"),
        ("version = 1\n", "of version 1"),
        ("oom_score = 0\n", "of version 1"),
        ("version = 9\n", "version 9"),
    ],
)
def test_configuration_that_cannot_be_changed(
    shared: FakeNode, install: Install, pristine: dict[str, str], text: str, reason: str
) -> None:
    shared.config_file.write_text(text)
    before = shared.tree()
    install("0.1.0").failed(3, CONFIG, reason)
    assert shared.tree() == before
    shared.config_file.write_text(shared.config)
    assert before.keys() == pristine.keys()


def test_containerd_that_does_not_start_with_the_change(
    shared: FakeNode, install: Install, unchanged: Callable[[], None]
) -> None:
    shared.before_start(f"! grep -q tandem {CONFIG}")
    install("0.1.0", "--timeout", "2").failed(6, "does not offer the handler tandem", CONFIG)
    unchanged()


def test_containerd_that_comes_back_without_the_change(
    shared: FakeNode, install: Install, unchanged: Callable[[], None]
) -> None:
    """As where a distribution writes the configuration anew at each start."""
    shared.path("/run/node/own.toml").write_text(shared.config)
    shared.before_start(f"cat /run/node/own.toml > {CONFIG}")
    install("0.1.0", "--timeout", "2").failed(6, "does not offer the handler tandem")
    unchanged()


def test_containerd_that_is_down(
    shared: FakeNode, install: Install, acting: Acting, pristine: dict[str, str]
) -> None:
    install("0.1.0").good()
    installed = shared.tree()
    shared.before_start("false")
    shared.sh("kill $(cat /run/node/pid)")
    wait_for("its end", lambda: not shared.cri.is_ready())
    for stage in ("install", "verify"):
        call = install("0.2.0") if stage == "install" else acting.call(stage)
        call.failed(3, "containerd at", "does not answer")
    assert shared.tree() == installed
    shared.before_start("")
    wait_for("containerd", shared.cri.is_ready, 60)
    acting.call("verify").good()
    assert shared.tree().keys() >= pristine.keys()


def test_bundle_with_one_wrong_byte(
    install: Install,
    acting: Acting,
    bundles: dict[str, Path],
    tmp_path: Path,
    unchanged: Callable[[], None],
) -> None:
    bundle = shutil.copytree(bundles["0.2.0"], tmp_path / "bundle", symlinks=True)
    shim = bundle / "bin/containerd-shim-tandem-v1"
    data = bytearray(shim.read_bytes())
    data[len(data) // 2] ^= 1
    shim.write_bytes(data)
    for stage in ("check", "install"):
        done = acting.call(stage, "--bundle", bundle)
        done.failed(4, f"bin/{shim.name} has other bytes", "fetch it anew")
        unchanged()
    install("0.1.0").good()
    acting.call("install", "--bundle", bundle).failed(4, "has other bytes")
    acting.call("verify").good()


def test_shim_that_does_not_work(
    shared: FakeNode, install: Install, acting: Acting, unchanged: Callable[[], None]
) -> None:
    install("9.9.9").failed(9, "this shim is broken")
    unchanged()
    install("0.1.0").good()
    install("9.9.9").failed(9, "this shim is broken")
    assert shared.current == "0.1.0"
    acting.call("verify").good()


@pytest.mark.parametrize("stage", ["install", "uninstall"])
def test_sigterm_in_every_step(
    shared: FakeNode,
    acting: Acting,
    bundles: dict[str, Path],
    install: Install,
    pristine: dict[str, str],
    stage: str,
) -> None:
    """One call after the other is ended in the step after; the last one comes to its end."""
    arguments = ("--bundle", bundles["0.1.0"]) if stage == "install" else ()
    if stage == "uninstall":
        install("0.1.0").good()
    ended: list[str] = []
    while True:
        at = f"begin {len(ended) + 1}"
        done = acting.call(stage, *arguments, at=at, number=signal.SIGTERM)
        if done.status == 0:
            break
        done.failed(143, "ended by SIGTERM: the same call goes on from here")
        ended.append(done.trace[-1][0])
        wait_for("containerd", shared.cri.is_ready, 60)
    assert len(set(ended)) == 7
    if stage == "install":
        acting.call("verify").good()
    else:
        assert shared.tree() == pristine


def test_sigterm_while_containerd_is_waited_for(
    shared: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    arguments = ("install", "--bundle", bundles["0.1.0"])
    shared.before_start("sleep 1")
    done = acting.call(*arguments, at="os.kill", number=signal.SIGTERM)
    done.failed(143, "ended by SIGTERM")
    assert done.trace[-1][0] == "do handler"
    acting.call(*arguments).good()
    assert shared.tree().keys() > pristine.keys()


def test_two_installers_at_once(
    acting: Acting, bundles: dict[str, Path], install: Install, pristine: dict[str, str]
) -> None:
    for at in (10, 40):
        first = acting.stopped("install", "--bundle", bundles["0.1.0"], at=at)
        install("0.2.0").failed(11, "another installer is at work")
        acting.call("verify").failed(11, "another installer is at work")
        acting.call("uninstall").failed(11, "another installer is at work")
        first.go_on().good()
        acting.call("uninstall").good()
    assert pristine


def test_changes_of_a_person_between_install_and_uninstall_are_kept(
    shared: FakeNode, install: Install, acting: Acting, pristine: dict[str, str]
) -> None:
    install("0.1.0").good()
    mine = "\n[debug]\n  level = 'info'   # mine\n"
    text = shared.config_file.read_text()
    shared.config_file.write_text(text.replace("by a person.", "by two persons.") + mine)
    shared.restart()
    install("0.2.0").good()
    said = acting.call("uninstall").good()
    assert "was changed by somebody else: only our part was taken out" in said.errors
    rest = shared.config_file.read_text()
    assert rest == shared.config.replace("by a person.", "by two persons.") + mine[1:]
    shared.config_file.write_text(shared.config)
    assert shared.tree() == pristine
