"""An API server takes every object, field by field, and holds the installer's token to its node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.cluster import NODE as OTHER
from tests.k8s.cluster import Cluster
from tests.manifests.documents import EXAMPLES, INSTALL, UNINSTALL
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

APPLY = ("apply", "--server-side", "--validate=strict")
READY = {"io.containerd.tandem.v1/ready": "true"}
# Without a kubelet, so that nothing happens there but what the tests do.
NODE = "away"
_NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"pool": "a"}}}


@pytest.fixture(scope="module")
def token(cluster: Cluster) -> Iterator[str]:
    """That of an installer's pod, as the kubelet would get it."""
    # No pod of the DaemonSet's own: it would label the node, too.
    installed = INSTALL.read_text().replace("kubernetes.io/os: linux", "kubernetes.io/os: none")
    cluster.kubectl(*APPLY, "-f", "-", stdin=installed)
    cluster.kubectl(*APPLY, "-f", "-", stdin=json.dumps(_NODE))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "installer", "namespace": "tandem-system"},
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": "tandem-installer",
            "containers": [{"name": "sleep", "image": "localhost/none:1"}],
        },
    }
    cluster.kubectl(*APPLY, "-f", "-", stdin=json.dumps(pod))
    bound = ("--bound-object-kind=Pod", "--bound-object-name=installer")
    yield cluster.kubectl("-n", "tandem-system", "create", "token", "tandem-installer", *bound)
    forced = ("--force", "--grace-period=0")
    cluster.kubectl("-n", "tandem-system", "delete", "pod", "installer", *forced)
    cluster.kubectl("delete", "node", NODE)
    cluster.kubectl("delete", "--wait", "-f", str(INSTALL), "--request-timeout=120s")


def patch(cluster: Cluster, token: str, node: str, change: dict[str, Any]) -> tuple[int, Any]:
    return cluster.request("PATCH", f"/api/v1/nodes/{node}", token, change)


@pytest.mark.parametrize("path", [INSTALL, UNINSTALL, *EXAMPLES], ids=lambda path: path.stem)
def test_every_object_is_taken(cluster: Cluster, token: str, path: Path) -> None:
    cluster.kubectl(*APPLY, "--dry-run=server", "--force-conflicts", "-f", str(path))


def test_policy_is_well_typed(cluster: Cluster, token: str) -> None:
    policy = ("validatingadmissionpolicy", "tandem-own-node")

    def status() -> Any:
        return json.loads(cluster.kubectl("get", *policy, "-o", "json"))["status"]

    wait_for("the types of the policy", lambda: "typeChecking" in status())
    assert status()["typeChecking"] == {}


def test_the_installer_labels_its_node_and_takes_the_label_away(
    cluster: Cluster, token: str
) -> None:
    status, node = patch(cluster, token, NODE, {"metadata": {"labels": READY}})
    assert status == 200, node
    assert READY.items() <= node["metadata"]["labels"].items()
    gone = dict.fromkeys(READY)
    status, node = patch(cluster, token, NODE, {"metadata": {"labels": gone}})
    assert status == 200
    assert not READY.keys() & node["metadata"]["labels"].keys()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metadata": {"labels": {"color": "red"}}}, "labels io.containerd.tandem.v1/"),
        ({"metadata": {"labels": {"pool": None}}}, "labels io.containerd.tandem.v1/"),
        ({"metadata": {"labels": {"pool": "b"}}}, "labels io.containerd.tandem.v1/"),
        ({"metadata": {"annotations": {"a": "b"}}}, "labels, nothing else"),
        ({"metadata": {"finalizers": ["a.example/b"]}}, "labels, nothing else"),
        ({"spec": {"unschedulable": True}}, "labels, nothing else"),
        ({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, "labels, nothing else"),
    ],
)
def test_it_changes_nothing_else(
    cluster: Cluster, token: str, change: dict[str, Any], reason: str
) -> None:
    status, answer = patch(cluster, token, NODE, change)
    assert status == 403, answer
    assert reason in answer["message"]


def test_it_changes_no_other_node(cluster: Cluster, token: str) -> None:
    status, answer = patch(cluster, token, OTHER, {"metadata": {"labels": READY}})
    assert status == 403
    assert "the node that it runs on" in answer["message"]


def test_a_token_of_no_pod_changes_nothing(cluster: Cluster, token: str) -> None:
    loose = cluster.kubectl("-n", "tandem-system", "create", "token", "tandem-installer")
    status, answer = patch(cluster, loose, NODE, {"metadata": {"labels": READY}})
    assert status == 403
    assert "the node that it runs on" in answer["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/nodes/{NODE}"),
        ("GET", "/api/v1/nodes"),
        ("DELETE", f"/api/v1/nodes/{OTHER}"),
        ("PATCH", f"/api/v1/nodes/{NODE}/status"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/secrets"),
    ],
)
def test_it_has_no_other_right(cluster: Cluster, token: str, method: str, path: str) -> None:
    status, answer = cluster.request(method, path, token, {})
    assert status == 403
    assert "cannot" in answer["message"]
