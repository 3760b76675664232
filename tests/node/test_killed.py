"""An installer that is killed between two steps leaves a node that works; the next call goes on."""

from pathlib import Path

import pytest

from tests.node.fake_node import FakeNode
from tests.node.test_lifecycle import succeeded
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

INSTALLING = (
    "bundle",
    "current",
    "link",
    "settings",
    "unit",
    "handler",
    "proof",
    "commit",
    "after",
)
REMOVING = ("handler", "unit", "link", "settings", "caches", "current", "bundle", "state", "after")


def test_install_killed_at_every_step(node: FakeNode, bundles: dict[str, Path]) -> None:
    before = node.tree()
    for step in INSTALLING:
        assert node.killed_installer(step, "install", "--bundle", bundles["0.1.0"]) == -9, step
        node.restart_containerd()
        succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
        assert node.killed_installer(step, "install", "--bundle", bundles["0.2.0"]) == -9, step
        node.restart_containerd()
        succeeded(node.installer("uninstall"))
        assert node.tree() == before, step


def test_uninstall_killed_at_every_step(node: FakeNode, bundles: dict[str, Path]) -> None:
    before = node.tree()
    for step in REMOVING:
        succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
        assert node.killed_installer(step, "uninstall") == -9, step
        node.restart_containerd()
        succeeded(node.installer("uninstall"))
        assert node.tree() == before, step
        wait_for("CRI", node.cri.is_ready)
