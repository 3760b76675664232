"""Helm itself makes of the chart what the one file says, and what its values say otherwise."""

import subprocess
from pathlib import Path

import yaml

from tests.manifests.documents import (
    INSTALL,
    ROOT,
    RUNTIMECLASS,
    UNINSTALL,
    Object,
    named,
    objects,
    of_file,
)

CHART = RUNTIMECLASS / "chart"
HELM = ROOT / ".cache" / "k8s" / "bin" / "helm"
DAEMON_SET = ("DaemonSet", "tandem")
POLICIES = {
    ("ValidatingAdmissionPolicy", "tandem-own-node"),
    ("ValidatingAdmissionPolicyBinding", "tandem-own-node"),
}


def helm(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HELM, *words], capture_output=True, text=True, check=False)


def rendered(*words: str | Path) -> dict[tuple[str, str], Object]:
    done = helm("template", "tandem", CHART, "--kube-version", "1.30.0", *words)
    assert done.returncode == 0, done.stderr
    return named(objects(done.stdout))


def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_chart_is_the_one_file() -> None:
    assert rendered() == named(of_file(INSTALL))


def test_uninstalling_is_a_value() -> None:
    expected = named(of_file(INSTALL)) | named(of_file(UNINSTALL))
    assert rendered("--set", "uninstall=true") == expected


def test_policy_can_be_left_out() -> None:
    expected = named(of_file(INSTALL))
    for name in POLICIES:
        del expected[name]
    assert rendered("--set", "ownNodePolicy=false") == expected


def test_older_clusters_are_refused() -> None:
    done = helm("template", "tandem", CHART, "--kube-version", "1.29.0")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.30" in done.stderr


def test_values_reach_their_places(tmp_path: Path) -> None:
    values = {
        "image": {"repository": "registry.example/node", "tag": "9", "pullPolicy": "Always"},
        "nodeSelector": {"pool": "functions"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "installArguments": ["install", "--root", "/host", "--restart", "none"],
        "resources": {"requests": {"memory": "1Gi"}},
        "overhead": {"memory": "20Mi"},
        "apiServerPorts": [{"protocol": "TCP", "port": 8443}],
        "volumes": [{"name": "opt", "hostPath": {"path": "/opt"}}],
        "volumeMounts": [{"name": "opt", "mountPath": "/host/opt"}],
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    made = rendered("-f", tmp_path / "values.yaml")
    spec = made[DAEMON_SET]["spec"]["template"]["spec"]
    (installer,), (sleeper,) = spec["initContainers"], spec["containers"]
    for container in (installer, sleeper):
        assert container["image"] == "registry.example/node:9"
        assert container["imagePullPolicy"] == "Always"
    assert installer["args"] == values["installArguments"]
    assert installer["resources"]["requests"]["memory"] == "1Gi"
    assert [each["name"] for each in spec["volumes"]] == ["opt", "token"]
    assert [each["name"] for each in installer["volumeMounts"]] == ["opt", "token"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "functions"}
    assert spec["tolerations"] == values["tolerations"]
    assert made["RuntimeClass", "tandem"]["overhead"]["podFixed"]["memory"] == "20Mi"
    (rule,) = made["NetworkPolicy", "api-server-only"]["spec"]["egress"]
    assert rule["ports"] == values["apiServerPorts"]
