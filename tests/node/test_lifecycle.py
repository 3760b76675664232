"""Install, use, upgrade and uninstall on a node with a real containerd."""

import json
from pathlib import Path

import pytest

from tests.node.bundles import make_bundle
from tests.node.fake_node import FakeNode

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def test_install_verify_uninstall_leaves_no_trace(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "0.1.0")
    with FakeNode("1.6") as node:
        before = node.tree()
        done = node.installer("check", "--bundle", bundle)
        assert done.returncode == 0, done.stderr + done.stdout
        assert node.tree() == before

        done = node.installer("install", "--bundle", bundle)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "a guest ran" in done.stdout
        assert node.path("/opt/tandem/current").readlink() == Path("0.1.0")
        installed = node.tree()

        done = node.installer("install", "--bundle", bundle)
        assert done.returncode == 0, done.stderr + done.stdout
        assert {k: v for k, v in node.tree().items() if "journal" not in k and "run/" not in k} == {
            k: v for k, v in installed.items() if "journal" not in k and "run/" not in k
        }
        events = [json.loads(line) for line in done.stderr.splitlines()]
        handler = next(each["what"] for each in events if each.get("step") == "handler")
        assert handler == "containerd offers it already"

        done = node.installer("verify")
        assert done.returncode == 0, done.stderr + done.stdout

        done = node.installer("uninstall")
        assert done.returncode == 0, done.stderr + done.stdout
        assert node.tree() == before
        assert "tandem" not in node.ctr("namespaces", "list", "--quiet")
