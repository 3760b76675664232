"""Helm installs, takes Tandem off the nodes by a value, and uninstalls, in a cluster."""

from pathlib import Path

import pytest

from tests.k8s.cluster import Cluster
from tests.k8s.conftest import PROGRAMS
from tests.manifests.documents import RUNTIMECLASS
from tests.support.containerd import Containerd

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
    assert "node/walk" in cluster.kubectl("get", "nodes", "-l", READY, "-o", "name")
    said = helm("upgrade", "tandem", chart, "--reuse-values", "--set", "uninstall=true", *wait)
    assert "helm uninstall tandem" in said
    assert cluster.kubectl("get", "nodes", "-l", READY, "-o", "name") == ""
    helm("uninstall", "tandem", *wait)
    left = "namespaces,runtimeclasses,clusterroles,validatingadmissionpolicies"
    ours = ("-l", "app.kubernetes.io/name=tandem", "-o", "name")
    assert cluster.kubectl("get", left, *ours) == ""
