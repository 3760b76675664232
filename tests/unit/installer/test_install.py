"""The whole installer on a node without a containerd, with every fault at every moment."""

from pathlib import Path

import pytest

from runtimeclass.installer.errors import (
    BundleError,
    HostError,
    InstallerError,
    NodeError,
    ProofError,
    RestartError,
    RollbackError,
    StoppedError,
)
from tests.node.bundles import write_manifest
from tests.unit.installer.fake import (
    CONFIG,
    FakeNode,
    Killed,
    fills,
    journal,
    kills,
    make_node,
)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    return make_node(tmp_path, monkeypatch)


def test_check_changes_nothing_and_says_what_would_be_done(node: FakeNode) -> None:
    before = node.tree()
    said = node.call("check", "1")
    assert "containerd 1.7.24 (default, /etc/containerd/config.toml)" in said
    assert "/usr/local/bin/containerd-shim-tandem-v1" in said
    assert node.tree() == before


def test_install_and_again(node: FakeNode) -> None:
    assert "no label: no node is named" in node.call("install", "1")
    assert node.path(CONFIG).stat().st_mode & 0o777 == 0o640
    tree = node.tree()
    assert node.call("install", "1")
    assert node.restarts == 1
    assert node.tree() == tree
    assert node.call("verify")
    assert node.tree() == tree


def test_upgrade_and_downgrade_restart_nothing(node: FakeNode) -> None:
    node.call("install", "1")
    assert "in place of 1" in node.call("install", "2")
    node.works("2")
    assert not node.path("/opt/tandem/1").exists()
    node.call("install", "1")
    node.works("1")
    assert node.restarts == 3  # the first one's, and those of `works`


def test_another_build_of_a_version_lies_beside_it(node: FakeNode) -> None:
    node.call("install", "1")
    (node.bundles["1"] / "bin/tandem").write_text("other")
    write_manifest(node.bundles["1"], "1")
    node.call("install", "1")
    assert node.path("/opt/tandem/current").readlink().name.startswith("1-")
    node.works(node.path("/opt/tandem/current").readlink().name)


def test_bundle_that_something_runs_from_stays(node: FakeNode) -> None:
    node.call("install", "1")
    process = node.path("/proc/77")
    process.mkdir(parents=True)
    (node.path("/proc/self")).symlink_to("1")
    (process / "cmdline").write_bytes(
        b"/opt/tandem/1/lib/ld.so\0python\0/opt/tandem/1/bin/tandemd\0"
    )
    node.call("install", "2")
    assert node.path("/opt/tandem/1/bin/tandemd").exists()
    (process / "cmdline").write_bytes(b"other\0")
    assert "removed 1" in node.call("install", "2")
    assert not node.path("/opt/tandem/1").exists()


def test_damaged_bundle_is_refused(node: FakeNode) -> None:
    before = node.tree()
    (node.bundles["1"] / "bin/tandem").write_text("other")
    for stage in ("check", "install"):
        with pytest.raises(BundleError, match="bin/tandem has other bytes than its manifest says"):
            node.call(stage, "1")
        assert node.tree() == before


def test_damaged_copy_is_made_anew(node: FakeNode) -> None:
    node.call("install", "1")
    node.path("/opt/tandem/1/bin/tandem").write_text("damaged")
    with pytest.raises(BundleError, match="install again"):
        node.call("verify")
    node.call("install", "1")
    assert node.call("verify")


def test_containerd_that_does_not_come_back_gets_its_old_configuration(node: FakeNode) -> None:
    before = node.tree()
    node.refuses = "tandem"
    with pytest.raises(RestartError, match="does not offer the handler tandem"):
        node.call("install", "1")
    assert node.tree() == before
    assert node.answers
    assert node.restarts == 2


def test_containerd_that_does_not_come_back_at_all_is_named(node: FakeNode) -> None:
    node.refuses = "version"
    with pytest.raises(RollbackError, match=r"does not offer .*; and then the step handler could"):
        node.call("install", "1")
    assert "tandem" not in node.path(CONFIG).read_text()
    node.refuses = ""
    node.start()
    node.call("install", "1")
    node.works("1")


def test_containerd_that_a_killed_call_left_down_is_mended(node: FakeNode) -> None:
    def watch(act: str, name: str) -> None:
        if name == "proof":
            raise Killed

    with pytest.raises(Killed):
        node.call("install", "1", watch=watch)
    node.refuses = "tandem"
    node.start()
    node.path("/run/containerd/containerd.sock").unlink()
    with pytest.raises(RestartError):
        node.call("install", "1")
    assert node.answers
    node.refuses = ""
    node.call("install", "1")
    node.works("1")


def test_no_guest_runs(node: FakeNode) -> None:
    before = node.tree()
    node.broken = {"1", "2"}
    with pytest.raises(ProofError):
        node.call("install", "1")
    assert node.tree() == before
    node.works("")
    node.broken = {"2"}
    node.call("install", "1")
    installed = node.tree()
    with pytest.raises(ProofError):
        node.call("install", "2")
    assert without_journal(node.tree()) == without_journal(installed)
    assert journal(node)["version"] == "1"
    node.works("1")


def test_handler_that_changed_is_taken_back_with_a_restart(node: FakeNode) -> None:
    node.call("install", "1")
    node.broken = {"2"}
    # As if the node's runc had been given to systemd since.
    node.path(CONFIG).write_text(
        node.path(CONFIG)
        .read_text()
        .replace(
            'runtime_type = "io.containerd.runc.v2"',
            'runtime_type = "io.containerd.runc.v2"\n          options = {SystemdCgroup = true}',
        )
    )
    node.start()
    before = node.path(CONFIG).read_text()
    with pytest.raises(ProofError):
        node.call("install", "2")
    assert node.path(CONFIG).read_text() == before
    assert not node.running["tandem"].get("options")
    node.call("install", "3")
    assert node.running["tandem"]["options"] == {"SystemdCgroup": True}
    node.works("3")
    node.call("uninstall")
    assert "tandem" not in node.path(CONFIG).read_text()
    assert "SystemdCgroup = true" in node.path(CONFIG).read_text()


def test_configuration_of_a_person_with_our_name_comes_back(node: FakeNode) -> None:
    with node.path(CONFIG).open("a") as file:
        file.write('[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tandem]\n')
        file.write('runtime_type = "io.containerd.other.v1"\n')
    node.start()
    before, restarts = node.tree(), node.restarts
    node.call("install", "1")
    node.works("1")
    node.call("uninstall")
    assert node.tree() == before
    assert node.running["tandem"]["runtimeType"] == "io.containerd.other.v1"
    assert node.restarts == restarts + 3


def test_configuration_that_is_a_link_stays_one(node: FakeNode) -> None:
    node.path(CONFIG).rename(node.path("/etc/containerd/real.toml"))
    node.path(CONFIG).symlink_to("/etc/containerd/real.toml")
    node.path("/etc/containerd/plain.toml").write_text("x")
    before = {k: v for k, v in node.tree().items() if "real" not in k}
    # The tests' containerd follows links of the machine; the installer, those of the node.
    node.path(CONFIG).unlink()
    node.path(CONFIG).symlink_to("real.toml")
    node.call("install", "1")
    assert node.path(CONFIG).is_symlink()
    node.works("1")
    node.call("uninstall")
    assert node.path(CONFIG).is_symlink()
    assert {k for k in node.tree() if "real" not in k} == set(before)


def test_link_of_somebody_else_is_not_replaced(node: FakeNode) -> None:
    path = node.path("/usr/local/bin/containerd-shim-tandem-v1")
    path.symlink_to("/opt/other")
    before = node.tree()
    with pytest.raises(HostError, match="is there already, and not ours"):
        node.call("install", "1")
    assert node.tree() == before


def test_settings_are_written_only_where_there_are_none(node: FakeNode, tmp_path: Path) -> None:
    given = tmp_path / "given.toml"
    given.write_text("[cache]\nmax_bytes = 1\n")
    before = node.tree()
    node.call("install", "1", config=given)
    config = node.path("/etc/tandem/config.toml")
    assert config.read_text() == given.read_text()
    given.write_text("[cache]\nmax_bytes = 2\n")
    node.call("install", "1", config=given)
    assert config.read_text() == given.read_text()
    node.call("uninstall")
    assert node.tree() == before
    config.parent.mkdir()
    config.write_text("# a person's\n")
    before = node.tree()
    node.call("install", "1", config=given)
    assert config.read_text() == "# a person's\n"
    node.call("uninstall")
    assert node.tree() == before
    given.write_text("[")
    with pytest.raises(NodeError, match="cannot be the node's configuration"):
        node.call("install", "1", config=given)
    assert node.tree() == before


def test_sigterm_between_steps_leaves_what_was_done(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtimeclass.installer import steps

    steps_seen: list[str] = []
    original = steps.Stop.heed

    def watch(act: str, name: str) -> None:
        steps_seen.append(f"{act} {name}")

    def heed(self: steps.Stop) -> None:
        self.requested = len(steps_seen) >= 3
        original(self)

    monkeypatch.setattr(steps.Stop, "heed", heed)
    with pytest.raises(StoppedError):
        node.call("install", "1", watch=watch)
    assert steps_seen == ["do bundle", "do current", "do link"]
    monkeypatch.setattr(steps.Stop, "heed", original)
    assert journal(node)["operation"]["stage"] == "install"
    node.call("install", "1")
    node.works("1")


@pytest.mark.parametrize("first", ["", "1"])
@pytest.mark.parametrize("then", ["install", "uninstall"])
def test_kill_at_every_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    """A node restarts containerd when it likes, and the next call ends well, either way."""
    at = 0
    done = False
    while not done:
        at += 1
        node = make_node(tmp_path / f"{at}", monkeypatch)
        pristine = node.tree()
        if first:
            node.call("install", first)
        try:
            node.call("install", "2", before=kills(at))
            done = True
        except Killed:
            pass
        node.start()
        assert node.answers
        if then == "install":
            node.call("install", "2")
            node.works("2")
            assert leftovers(node) == {"2", "current", "install"}
        node.call("uninstall")
        assert node.tree() == pristine
        assert "tandem" not in node.running
    assert at > 15


def test_kill_at_every_act_of_uninstall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = 0
    done = False
    while not done:
        at += 1
        node = make_node(tmp_path / f"{at}", monkeypatch)
        pristine = node.tree()
        node.call("install", "1")
        try:
            node.call("uninstall", before=kills(at))
            done = True
        except Killed:
            pass
        if at % 2:
            node.call("uninstall")
            assert node.tree() == pristine
            assert "tandem" not in node.running
        else:
            node.call("install", "2")
            node.works("2")
            node.call("uninstall")
            assert node.tree() == pristine
    assert at > 10


@pytest.mark.parametrize("first", ["", "1"])
def test_full_disk_at_every_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    at = 0
    done = False
    while not done:
        at += 1
        node = make_node(tmp_path / f"{at}", monkeypatch)
        if first:
            node.call("install", first)
        failure = failure_of(node, at)
        done = failure is None
        assert done or "make room" in str(failure)
        if isinstance(failure, HostError):
            node.works(first)
        node.call("install", "2")
        node.works("2")
    assert at > 10


def failure_of(node: FakeNode, at: int) -> InstallerError | None:
    try:
        node.call("install", "2", before=fills(at))
    except (HostError, RollbackError) as error:
        return error
    return None


def without_journal(tree: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in tree.items() if "/install/" not in name}


def leftovers(node: FakeNode) -> set[str]:
    return {path.name for path in node.path("/opt/tandem").iterdir()}


def test_upgrade_killed_at_every_act_and_given_up(node: FakeNode) -> None:
    """The version from before is installed again, and then everything taken back."""
    before = node.tree()
    for at in range(1, 200):
        node.call("install", "1")
        try:
            node.call("install", "2", before=kills(at))
        except Killed:
            node.call("install", "1")
            node.call("uninstall")
            assert node.tree() == before, at
        else:
            break
    assert at > 20
    node.call("uninstall")
    assert node.tree() == before
