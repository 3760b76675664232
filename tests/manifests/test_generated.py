"""What is committed is what the source says, and what it says is what was meant."""

from pathlib import Path

import pytest
import yaml

from runtimeclass.manifests import CHART, ROOT, rendered
from shim import __version__
from tests.manifests.documents import INSTALL, UNINSTALL, Object, named, of_file, pod_of


def written() -> set[str]:
    bases = [ROOT / "kustomize" / name for name in ("shared", "base", "uninstall")]
    folders = [ROOT, *bases, CHART / "templates"]
    return {str(path.relative_to(ROOT)) for each in folders for path in each.glob("*.yaml")}


def test_files_are_what_the_source_says() -> None:
    files = rendered()
    assert written() == set(files), "run make manifests"
    assert [name for name, text in files.items() if (ROOT / name).read_text() != text] == []


def test_comments_are_kept() -> None:
    """Of every source and part, in every file that holds it."""
    installed = INSTALL.read_text()
    for path in (Path(ROOT, "manifests/source/daemon-set.yaml"), *ROOT.glob("manifests/parts/*")):
        lines = [line.strip() for line in path.read_text().splitlines()]
        comments = [line for line in lines if line.startswith("# ") and "# chart:" not in line]
        assert [line for line in comments if line not in installed] == []


@pytest.mark.parametrize("path", [INSTALL, UNINSTALL])
def test_one_image_of_this_version_and_nobodys_registry(path: Path) -> None:
    pods = [pod for each in of_file(path) if (pod := pod_of(each))]
    images = {
        container["image"]
        for pod in pods
        for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])
    }
    assert images == {f"localhost/tandem-node:{__version__}"}


def test_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_uninstalling_replaces_installing() -> None:
    """The same object, so that both are never at work on one node; only what it runs differs."""
    (uninstall,) = of_file(UNINSTALL)
    install = named(of_file(INSTALL))["DaemonSet", "tandem"]
    assert uninstall["metadata"] == install["metadata"]
    assert uninstall["spec"]["selector"] == install["spec"]["selector"]
    (first,), (other,) = (_pod(each)["initContainers"] for each in (install, uninstall))
    assert (first["args"][0], other["args"][0]) == ("install", "uninstall")
    for pod in (_pod(install), _pod(uninstall)):
        del pod["initContainers"]
    for container in (first, other):
        del container["args"], container["name"]
    assert first == other
    assert _pod(install) == _pod(uninstall)


def _pod(daemon_set: Object) -> Object:
    spec: Object = daemon_set["spec"]["template"]["spec"]
    return spec
