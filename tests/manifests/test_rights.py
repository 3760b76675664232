"""The DaemonSet has the rights that it needs, and the container that stays has none."""

from pathlib import Path
from typing import Any

import pytest

from tests.manifests.documents import INSTALL, UNINSTALL, Object, named, of_file

FILES = pytest.mark.parametrize("path", [INSTALL, UNINSTALL], ids=lambda path: path.stem)
READY = "io.containerd.tandem.v1/ready"


def pod(path: Path) -> Object:
    spec: Object = named(of_file(path))["DaemonSet", "tandem"]["spec"]["template"]["spec"]
    return spec


@FILES
def test_no_container_is_privileged(path: Path) -> None:
    spec = pod(path)
    assert spec["hostPID"] is False
    assert not {"hostIPC", "hostNetwork"} & spec.keys()
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    for container in (*spec["initContainers"], *spec["containers"]):
        context = container["securityContext"]
        assert context["privileged"] is False
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
    (installer,), (stays,) = spec["initContainers"], spec["containers"]
    assert installer["securityContext"]["capabilities"]["add"] == ["CHOWN"]
    assert "add" not in stays["securityContext"]["capabilities"]


@FILES
def test_what_stays_has_no_right(path: Path) -> None:
    (stays,) = pod(path)["containers"]
    assert "volumeMounts" not in stays
    assert stays["securityContext"]["runAsNonRoot"] is True
    assert pod(path)["automountServiceAccountToken"] is False


@FILES
def test_every_volume_is_mounted_where_the_node_has_it(path: Path) -> None:
    spec = pod(path)
    volumes: dict[str, Any] = {each["name"]: each for each in spec["volumes"]}
    (installer,) = spec["initContainers"]
    mounts = {each["name"]: each["mountPath"] for each in installer["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    root = installer["args"][installer["args"].index("--root") + 1]
    host = {name: each["hostPath"]["path"] for name, each in volumes.items() if "hostPath" in each}
    assert {mounts[name] for name in host} == {root + place for place in host.values()}
    assert "/" not in host.values()


def test_role_has_one_verb() -> None:
    objects = named(of_file(INSTALL))
    role = objects["ClusterRole", "tandem-installer"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]
    binding = objects["ClusterRoleBinding", "tandem-installer"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    account = objects["ServiceAccount", subject["name"]]
    assert account["metadata"]["namespace"] == subject["namespace"]
    assert pod(INSTALL)["serviceAccountName"] == subject["name"]
    user = f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    policy = objects["ValidatingAdmissionPolicy", "tandem-own-node"]
    assert user in policy["spec"]["matchConditions"][0]["expression"]


def test_pods_go_where_the_installer_has_been() -> None:
    runtime_class = named(of_file(INSTALL))["RuntimeClass", "tandem"]
    assert runtime_class["handler"] == "tandem"
    assert runtime_class["scheduling"] == {"nodeSelector": {READY: "true"}}
