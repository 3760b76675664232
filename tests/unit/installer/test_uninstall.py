"""Uninstall takes nothing from below a pod."""

import fcntl
from pathlib import Path

import pytest

from runtimeclass.installer import label
from runtimeclass.installer.cri import Sandbox
from runtimeclass.installer.errors import HostError, LabelError, PodsRunError, RestartError
from tests.unit.installer.fake import CONFIG, FakeNode, journal, make_node

POD = Sandbox("1", "web", "shop")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    return make_node(tmp_path, monkeypatch)


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the API server, in order."""
    asked: list[str] = []
    monkeypatch.setattr(label.Labels, "set", lambda self: asked.append("set"))
    monkeypatch.setattr(label.Labels, "remove", lambda self: asked.append("remove"))
    return asked


def test_nothing_is_left(node: FakeNode) -> None:
    before = node.tree()
    node.call("install", "1")
    for name in ("/run/tandem/s/x", "/var/lib/tandem/cache/y"):
        node.path(name).parent.mkdir(parents=True)
        node.path(name).touch()
    said = node.call("uninstall")
    assert "tandem is uninstalled" in said
    left = {name: text for name, text in node.tree().items() if name not in {"var", "var/lib"}}
    assert left == before
    assert "tandem" not in node.running


def test_uninstall_of_nothing_changes_nothing(node: FakeNode) -> None:
    before = node.tree()
    node.call("uninstall")
    assert node.tree() == before
    assert node.restarts == 0


def test_running_pods_refuse_before_anything_is_done(node: FakeNode, labels: list[str]) -> None:
    node.call("install", "1")
    tree = node.tree()
    node.pods = [POD]
    labels.clear()
    with pytest.raises(PodsRunError, match="shop/web"):
        node.call("uninstall")
    assert (node.tree(), labels) == (tree, [])
    node.works("1")


def test_pods_that_do_not_end_get_the_label_back(node: FakeNode, labels: list[str]) -> None:
    node.call("install", "1")
    tree = node.tree()
    node.pods = [POD]
    labels.clear()
    with pytest.raises(PodsRunError):
        node.call("uninstall", wait_s=0.01)
    assert (node.tree(), labels) == (tree, ["remove", "set"])


def test_pod_that_came_in_between_keeps_its_files(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.call("install", "1")
    start = node.start

    def start_with_pod() -> None:
        node.pods = [POD]
        start()

    monkeypatch.setattr(node, "start", start_with_pod)
    with pytest.raises(PodsRunError):
        node.call("uninstall")
    assert node.path("/opt/tandem/1/bin/tandemd").exists()
    assert "tandem" not in node.running
    node.pods = []
    monkeypatch.setattr(node, "start", start)
    node.call("uninstall")
    assert not node.path("/opt/tandem").exists()


def test_label_that_cannot_be_removed_stops_everything(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.call("install", "1")
    tree = node.tree()

    def refuse(self: label.Labels) -> None:
        raise LabelError("forbidden")

    monkeypatch.setattr(label.Labels, "remove", refuse)
    with pytest.raises(LabelError):
        node.call("uninstall")
    assert node.tree() == tree


def test_containerd_that_does_not_come_back_is_told_and_the_next_call_goes_on(
    node: FakeNode,
) -> None:
    before = node.tree()
    node.call("install", "1")
    node.refuses = "version"
    with pytest.raises(RestartError, match="with the configuration that it had before"):
        node.call("uninstall")
    assert node.path("/opt/tandem/1/bin/tandemd").exists()
    assert journal(node)["operation"]["restart"] is True
    node.refuses = ""
    node.call("uninstall")
    assert node.tree() == before


def test_handler_that_was_never_loaded_needs_no_restart(node: FakeNode) -> None:
    node.call("install", "1")
    node.running = {}
    restarts = node.restarts
    node.call("uninstall")
    assert node.restarts == restarts
    assert "tandem" not in node.path(CONFIG).read_text()


def test_daemon_that_cannot_be_ended_keeps_its_bundle(node: FakeNode) -> None:
    node.call("install", "1")
    node.path("/run/tandem").mkdir()
    with node.path("/run/tandem/tandemd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node.path("/run/tandem/tandemd.pid").write_text("4711")
        with pytest.raises(HostError, match="process 4711 of the node, and cannot be ended"):
            node.call("uninstall")
        assert node.path("/opt/tandem/1/bin/tandemd").exists()
    node.call("uninstall")
    assert not node.path("/opt/tandem").exists()
