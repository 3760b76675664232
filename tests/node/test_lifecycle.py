"""Install, use, upgrade and uninstall on a node with a real containerd."""

from pathlib import Path

import pytest

from tests.node.calls import Acting, run_outside
from tests.node.fake_node import FakeNode

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def test_check_changes_nothing(
    node: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    assert "can be installed" in acting.call("check", "--bundle", bundles["1"]).good().said
    assert node.tree() == pristine


def test_second_install_changes_and_restarts_nothing(
    node: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    starts = node.starts
    done = acting.call("install", "--bundle", bundles["1"]).good()
    assert done.of_step("proof") == "a guest ran"
    assert node.starts == starts + 1
    installed = node.tree()
    assert installed != pristine
    done = acting.call("install", "--bundle", bundles["1"]).good()
    assert done.of_step("handler") == "containerd offers it already"
    acting.call("verify").good()
    assert node.starts == starts + 1
    assert node.tree() == installed


def test_upgrade_downgrade_and_install_anew(
    node: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    acting.call("install", "--bundle", bundles["1"]).good()
    starts = node.starts
    done = acting.call("install", "--bundle", bundles["2"]).good()
    assert "in place of 1" in done.said
    assert node.current == "2"
    acting.call("install", "--bundle", bundles["1"]).good()
    assert node.current == "1"
    assert node.starts == starts
    acting.call("uninstall").good()
    assert node.tree() == pristine
    acting.call("verify").failed(3, "not installed")
    acting.call("install", "--bundle", bundles["1"]).good()


def test_uninstall_of_nothing_is_good(acting: Acting, pristine: dict[str, str]) -> None:
    acting.call("uninstall").good()


def test_installer_that_sees_no_process_of_the_node_cannot_end_a_daemon_without_systemd(
    node: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    run_outside(node, "install", "--bundle", bundles["1"]).good()
    run_outside(node, "verify").good()
    run_outside(node, "uninstall").failed(5, "cannot be ended from in here", "hostPID")
    acting.call("uninstall").good()
    assert node.tree() == pristine
