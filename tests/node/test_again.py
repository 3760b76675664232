"""Install once more, back and forth, and from where the node's processes are not to be seen."""

from pathlib import Path

import pytest

from tests.node.calls import Acting, run_outside
from tests.node.fake_node import FakeNode

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def test_second_install_changes_and_restarts_nothing(
    shared: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    starts = shared.starts
    done = acting.call("install", "--bundle", bundles["0.1.0"]).good()
    assert done.of_step("proof") == "a guest ran"
    assert shared.starts == starts + 1
    installed = shared.tree()
    assert installed != pristine
    done = acting.call("install", "--bundle", bundles["0.1.0"]).good()
    assert done.of_step("handler") == "containerd offers it already"
    acting.call("verify").good()
    assert shared.starts == starts + 1
    assert shared.tree() == installed


def test_upgrade_downgrade_and_install_anew(
    shared: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    acting.call("install", "--bundle", bundles["0.1.0"]).good()
    starts = shared.starts
    done = acting.call("install", "--bundle", bundles["0.2.0"]).good()
    assert "in place of 0.1.0" in done.said
    assert shared.current == "0.2.0"
    acting.call("install", "--bundle", bundles["0.1.0"]).good()
    assert shared.current == "0.1.0"
    assert shared.starts == starts
    acting.call("uninstall").good()
    assert shared.tree() == pristine
    acting.call("verify").failed(3, "not installed")
    acting.call("install", "--bundle", bundles["0.1.0"]).good()


def test_uninstall_of_nothing_is_good(acting: Acting, pristine: dict[str, str]) -> None:
    acting.call("uninstall").good()


def test_installer_that_sees_no_process_of_the_node_cannot_end_a_daemon_without_systemd(
    shared: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    run_outside(shared, "install", "--bundle", bundles["0.1.0"]).good()
    run_outside(shared, "verify").good()
    run_outside(shared, "uninstall").failed(5, "cannot be ended from in here", "hostPID")
    acting.call("uninstall").good()
    assert shared.tree() == pristine
