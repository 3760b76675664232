"""SIGKILL before every act of an installer, and SIGTERM in every step, on a real containerd.

After each of them the node works, and the next call, the same one or another, comes to its end.
Each line of containerd gets every third act, the beginnings of steps among them: the three lines
together get all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.node.calls import Acting, Outcome
from tests.node.fake_node import FakeNode
from tests.support.containerd_config import RELEASES

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.timeout(900)]

INSTALL = ("bundle", "current", "link", "settings", "unit", "handler", "proof", "commit")
UNINSTALL = ("handler", "unit", "link", "settings", "caches", "current", "bundle", "state")
KILLED = -9


@dataclass
class Victim:
    """A node whose installers are killed."""

    node: FakeNode
    acting: Acting
    bundles: dict[str, Path]
    containerd: str
    proved: set[str] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)
    kills: int = 0

    def install(self, version: str, at: int = 0) -> Outcome:
        """Install a version."""
        return self.acting.call("install", "--bundle", self.bundles[version], at=at)

    def uninstall(self, at: int = 0) -> Outcome:
        """Uninstall."""
        return self.acting.call("uninstall", at=at)

    def killed(self, call: Callable[[int], Outcome], reference: Outcome) -> Iterator[int]:
        """Kill at each act that is this line's, one after the other."""
        own = list(RELEASES).index(self.containerd)
        for at, (step, _) in enumerate(reference.trace, 1):
            self.steps.add(step.partition(" ")[2])
            if at % len(RELEASES) != own:
                continue
            done = call(at)
            # What containerd left in its caches may be an act less than it was.
            if done.status != KILLED:
                assert at > len(reference.trace) - 5
                done.good()
            self.kills += 1
            self.works()
            yield self.kills

    def works(self) -> None:
        """Assert that containerd takes the configuration that is there now, whenever it starts."""
        text = self.node.config_file.read_text()
        if text not in self.proved:
            self.node.restart()
            self.node.run_runc_pod()
            self.proved.add(text)
        assert self.node.cri.is_ready()

    def has_only(self, version: str) -> None:
        """Assert that this version is there, and no other or half of one."""
        assert self.node.current == version
        names = {each.name for each in self.node.path("/opt/tandem").iterdir()}
        assert names == {version, "current", "install"}


@pytest.fixture
def victim(
    shared: FakeNode,
    acting: Acting,
    bundles: dict[str, Path],
    containerd: str,
    pristine: dict[str, str],
) -> Victim:
    return Victim(shared, acting, bundles, containerd)


def test_install_killed_before_any_act(victim: Victim, pristine: dict[str, str]) -> None:
    reference = victim.install("0.1.0").good()
    victim.uninstall().good()
    for count in victim.killed(lambda at: victim.install("0.1.0", at), reference):
        if count % 2:
            victim.install("0.1.0").good()
            victim.has_only("0.1.0")
        victim.uninstall().good()
        assert victim.node.tree() == pristine
    assert victim.steps >= set(INSTALL)
    # Neither text, with the handler and without, was lost on the way.
    assert len(victim.proved) == 2


def test_upgrade_killed_before_any_act(victim: Victim, pristine: dict[str, str]) -> None:
    victim.install("0.1.0").good()
    reference = victim.install("0.2.0").good()
    versions = ["0.1.0", "0.2.0"]
    for count in victim.killed(lambda at: victim.install(versions[0], at), reference):
        # Whichever of the two is in force by now, guests run.
        victim.acting.call("verify").good()
        if count % 2:
            victim.install(versions[0]).good()
            victim.has_only(versions[0])
            versions.reverse()
        elif count % 4:
            # Whatever it has become, an upgrade to the other one is what the next kill is for.
            victim.install(versions[1]).good()
        else:
            victim.uninstall().good()
            assert victim.node.tree() == pristine
            victim.install(versions[1]).good()
    assert victim.steps >= set(INSTALL)


def test_uninstall_killed_before_any_act(victim: Victim, pristine: dict[str, str]) -> None:
    victim.install("0.1.0").good()
    reference = victim.uninstall().good()
    victim.install("0.1.0").good()
    for count in victim.killed(victim.uninstall, reference):
        if count % 2:
            victim.uninstall().good()
            assert victim.node.tree() == pristine
        victim.install("0.1.0").good()
        victim.has_only("0.1.0")
    assert victim.steps >= set(UNINSTALL)
