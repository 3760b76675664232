"""Helm installs, takes Tandem off the nodes by a value, and uninstalls, in a cluster."""

from pathlib import Path

import pytest

from tests.k8s.cluster import Cluster
from tests.k8s.conftest import PROGRAMS
from tests.manifests.documents import RUNTIMECLASS
from tests.support.containerd import Containerd
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

READY = "io.containerd.tandem.v1/ready=true"


def test_install_upgrade_uninstall(containerd: Containerd, cluster: Cluster) -> None:
    def helm(*words: str | Path) -> str:
        program = PROGRAMS / "helm"
        done = containerd.run(["env", f"KUBECONFIG={cluster.kubeconfig}", program, *words])
        assert done.returncode == 0, done.stderr
        return done.stdout

    chart = RUNTIMECLASS / "chart"
    wait = ("--wait", "--timeout", "120s")
    assert "runtimeClassName: tandem" in helm("install", "tandem", chart, *wait)
    # Helm takes a DaemonSet that nobody has looked at yet for one that is ready.
    ready = ("get", "nodes", "-l", READY, "-o", "name")
    wait_for("the label", lambda: "node/walk" in cluster.kubectl(*ready), 60)
    said = helm("upgrade", "tandem", chart, "--reuse-values", "--set", "uninstall=true", *wait)
    assert "helm uninstall tandem" in said
    wait_for("the end of the label", lambda: not cluster.kubectl(*ready), 60)
    helm("uninstall", "tandem", *wait)
    left = "namespaces,runtimeclasses,clusterroles,validatingadmissionpolicies"
    ours = ("-l", "app.kubernetes.io/name=tandem", "-o", "name")
    assert cluster.kubectl("get", left, *ours) == ""
