"""Installers killed in the midst of the proof that guests run: its guest is nobody's pod."""

from pathlib import Path

import pytest

from tests.node.calls import Acting
from tests.node.fake_node import FakeNode

pytestmark = [pytest.mark.root, pytest.mark.containerd]

KILLED = -9
NAMESPACE = "tandem-proof"
SERVICES = "call /containerd.services."


@pytest.mark.parametrize(
    ("stage", "act", "task"),
    [
        ("install", "tasks.v1.Tasks/Create", ""),
        ("install", "tasks.v1.Tasks/Start", "CREATED"),
        ("install", "tasks.v1.Tasks/Kill", "STOPPED"),
        ("install", "tasks.v1.Tasks/Delete", "STOPPED"),
        ("install", "containers.v1.Containers/Delete", ""),
        ("verify", "tasks.v1.Tasks/Start", "CREATED"),
        ("verify", "tasks.v1.Tasks/Delete", "STOPPED"),
    ],
)
def test_uninstall_after_a_kill_in_the_proof(
    shared: FakeNode,
    acting: Acting,
    bundles: dict[str, Path],
    pristine: dict[str, str],
    stage: str,
    act: str,
    task: str,
) -> None:
    given = ("--bundle", bundles["0.1.0"])
    if stage == "verify":
        acting.call("install", *given).good()
    killed = acting.call(stage, *(given if stage == "install" else ()), at=SERVICES + act)
    assert (killed.status, killed.trace[-1][1]) == (KILLED, SERVICES + act)
    assert shared.ctr("tasks", "list", namespace=NAMESPACE).split()[3:][2:] == ([task] * bool(task))
    acting.call("uninstall").good()
    assert shared.tree() == pristine
    assert "tandem" not in shared.ctr("namespaces", "list", "--quiet")


def test_install_after_a_kill_in_the_proof_takes_back_with_no_guest_left(
    shared: FakeNode, acting: Acting, bundles: dict[str, Path], pristine: dict[str, str]
) -> None:
    at = f"{SERVICES}tasks.v1.Tasks/Start"
    assert acting.call("install", "--bundle", bundles["0.1.0"], at=at).status == KILLED
    assert "CREATED" in shared.ctr("tasks", "list", namespace=NAMESPACE)
    acting.call("install", "--bundle", bundles["9.9.9"]).failed(9, "this shim is broken")
    # The daemon's empty directories and its cache stay until an uninstall.
    own = ("run/tandem", "var/lib/tandem")
    left = {name for name in shared.tree() if not name.startswith(own)}
    assert left == pristine.keys()
    assert shared.running_versions() == set()
    assert "tandem" not in shared.ctr("namespaces", "list", "--quiet")
