"""Install, use, upgrade and uninstall on a node with a real containerd."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.calls import run_outside
from tests.node.fake_node import FakeNode
from tests.support import images, probe
from tests.support.pods import ContainerSpec
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def succeeded(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def steps_of(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    events = [json.loads(line) for line in done.stderr.splitlines()]
    return {each["step"]: each.get("what", each["event"]) for each in events}


def stop_unit(node: FakeNode) -> None:
    code = (
        "from pathlib import Path; from runtimeclass.installer import host, systemd;"
        " systemd.Systemd(host.Host(Path('/'))).stop('tandemd.service')"
    )
    subprocess.run(node.beside_systemd([sys.executable, "-c", code]), check=True, timeout=60)


def without_state(node: FakeNode) -> dict[str, str]:
    """The node's files but for those of a running tandemd."""
    tree = node.tree()
    return {name: text for name, text in tree.items() if not name.startswith(("run/", "var/"))}


def test_install_upgrade_uninstall_leaves_no_trace(
    node: FakeNode, bundles: dict[str, Path]
) -> None:
    before = node.tree()
    assert "can be installed" in succeeded(node.installer("check", "--bundle", bundles["0.1.0"]))
    assert node.tree() == before

    done = node.installer("install", "--bundle", bundles["0.1.0"])
    assert "a guest ran" in succeeded(done)
    assert node.path("/opt/tandem/current").readlink() == Path("0.1.0")
    installed = without_state(node)

    done = node.installer("install", "--bundle", bundles["0.1.0"])
    succeeded(done)
    assert steps_of(done)["handler"] == "containerd offers it already"
    assert without_state(node) == installed
    succeeded(node.installer("verify"))
    assert without_state(node) == installed

    assert "in place of 0.1.0" in succeeded(node.installer("install", "--bundle", bundles["0.2.0"]))
    assert not node.path("/opt/tandem/0.1.0").exists()

    succeeded(node.installer("uninstall"))
    assert node.tree() == before
    assert "tandem" not in node.ctr("namespaces", "list", "--quiet")
    succeeded(node.installer("uninstall"))
    assert node.tree() == before


def test_pods_outlive_an_upgrade_and_keep_an_uninstall_waiting(
    node: FakeNode, bundles: dict[str, Path], tmp_path: Path
) -> None:
    before = node.tree()
    linux = node.import_image(images.busybox_image(tmp_path / "busybox.tar"))
    wasm = node.import_image(probe.probe_image(tmp_path / "probe.tar", probe.WASM))
    succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
    sleeper = ContainerSpec("linux", linux, command=["sleep", "1000"])
    with node.pod("old") as old, old.start(sleeper) as container:
        guest = old.start(ContainerSpec("wasm", wasm, args=["sleep", "1000"]))
        succeeded(node.installer("install", "--bundle", bundles["0.2.0"]))
        assert node.path("/opt/tandem/0.1.0").exists()
        assert container.exec("echo", "alive").stdout == "alive\n"
        assert guest.is_running()
        with node.pod("new") as new, new.start(sleeper) as other:
            assert other.exec("echo", "new").stdout == "new\n"
        refused = node.installer("uninstall")
        assert refused.returncode == 8
        assert "/old" in refused.stdout
        assert container.exec("echo", "alive").stdout == "alive\n"
        assert node.installer("uninstall", "--wait", "2").returncode == 8
        succeeded(node.installer("verify"))
        guest.stop(grace=0)
    shims = node.path("/run/tandem/s")
    wait_for("end of the pod's shim", lambda: {each.name for each in shims.iterdir()} == {"lock"})
    assert "removed 0.1.0" in succeeded(node.installer("install", "--bundle", bundles["0.2.0"]))
    succeeded(node.installer("uninstall", "--wait", "60"))
    assert node.tree() == before


def test_broken_bundle_is_taken_back(node: FakeNode, bundles: dict[str, Path]) -> None:
    before = node.tree()
    done = node.installer("install", "--bundle", bundles["9.9.9"])
    assert (done.returncode, "this shim is broken" in done.stdout) == (9, True)
    assert node.tree() == before
    succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
    installed = without_state(node)
    assert node.installer("install", "--bundle", bundles["9.9.9"]).returncode == 9
    after = without_state(node)
    assert {k: v for k, v in after.items() if "/install/" not in k} == {
        k: v for k, v in installed.items() if "/install/" not in k
    }
    succeeded(node.installer("verify"))


def test_containerd_that_does_not_come_back_is_given_its_configuration_back(
    node: FakeNode, bundles: dict[str, Path]
) -> None:
    before = node.tree()
    # What decides is whether the handler comes: here nobody ends the old containerd.
    run_outside(node, "install", "--bundle", bundles["0.1.0"]).good()
    succeeded(node.installer("uninstall"))
    Path(node.restart_command).write_text("#!/bin/sh\nexit 0\n")
    done = run_outside(node, "install", "--bundle", bundles["0.1.0"], "--timeout", "3")
    done.failed(6, "does not offer the handler")
    assert node.tree() == before
    assert node.cri.is_ready()


def test_unparsable_configuration_is_refused_and_nothing_changed(
    node: FakeNode, bundles: dict[str, Path]
) -> None:
    node.config_file.write_text("version = \n")
    before = node.tree()
    for stage in ("check", "install"):
        done = node.installer(stage, "--bundle", bundles["0.1.0"])
        assert done.returncode == 3
        assert "is not valid TOML" in done.stdout
        assert node.tree() == before


def test_configuration_that_a_person_changed_keeps_that_change(
    node: FakeNode, bundles: dict[str, Path]
) -> None:
    succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
    changed = node.config_file.read_text() + "\n[debug]\n  level = 'info'\n"
    node.config_file.write_text(changed)
    succeeded(node.installer("uninstall"))
    rest = node.config_file.read_text()
    assert "level = 'info'" in rest
    assert "tandem" not in rest


def test_systemd_restarts_containerd_and_keeps_tandemd(
    systemd_node: FakeNode, bundles: dict[str, Path], tmp_path: Path
) -> None:
    node = systemd_node
    before = node.tree()
    assert "by restarting containerd.service" in succeeded(
        node.installer("check", "--bundle", bundles["0.1.0"])
    )
    done = node.installer("install", "--bundle", bundles["0.1.0"])
    succeeded(done)
    assert steps_of(done)["unit"] == "tandemd.service runs /opt/tandem/0.1.0"
    linux = node.import_image(images.busybox_image(tmp_path / "busybox.tar"))
    sleeper = ContainerSpec("linux", linux, command=["sleep", "1000"])
    with node.pod("old") as pod, pod.start(sleeper) as container:
        done = node.installer("install", "--bundle", bundles["0.2.0"])
        succeeded(done)
        assert steps_of(done)["unit"] == "tandemd.service runs /opt/tandem/0.2.0"
        assert node.path("/opt/tandem/0.1.0").exists()
        assert container.exec("echo", "alive").stdout == "alive\n"
        assert node.installer("install", "--bundle", bundles["9.9.9"]).returncode == 9
        assert container.exec("echo", "alive").stdout == "alive\n"
        unit = node.path("/etc/systemd/system/tandemd.service").read_text()
        assert "ExecStart=/opt/tandem/0.2.0/bin/tandemd\n" in unit
        assert node.installer("uninstall").returncode == 8
    succeeded(node.installer("uninstall", "--wait", "60"))
    assert node.tree() == before


def test_daemon_that_a_pod_brought_up_gives_way_to_the_unit(
    systemd_node: FakeNode, bundles: dict[str, Path]
) -> None:
    node = systemd_node
    before = node.tree()
    succeeded(node.installer("install", "--bundle", bundles["0.1.0"]))
    stop_unit(node)
    with node.pod("first"):
        by_pod = int(node.path("/run/tandem/tandemd.pid").read_text())
        done = node.installer("install", "--bundle", bundles["0.2.0"])
        succeeded(done)
        assert steps_of(done)["unit"] == "tandemd.service runs /opt/tandem/0.2.0"
        assert int(node.path("/run/tandem/tandemd.pid").read_text()) != by_pod
        with node.pod("second"):
            pass
        stop_unit(node)
        with node.pod("third"):
            pass
    succeeded(node.installer("uninstall", "--wait", "60"))
    assert node.tree() == before
