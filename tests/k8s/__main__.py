"""`make test-k8s`: Tandem in the cluster of the current kubeconfig, from nothing to nothing.

Variables:
    IMAGE       the node image, where the cluster's nodes find it (default: the manifests' own)
    REGISTRY    where the guest's image is pushed to and pulled from: registry.example/tests
    IMPORT      instead: a command that has the nodes import an OCI archive, its last word:
                `kind load image-archive`, `k3s ctr images import`
    LINUX_IMAGE the Linux container's (default: the examples' own)
    RESTART     how containerd is restarted on nodes without systemd: signal
    TIMEOUT     seconds for each wait (default: 300)
Where no cluster answers, it says so and that is all.
"""

import os
import sys
from pathlib import Path

from tests.k8s.kubectl import Kubectl, KubectlError
from tests.k8s.walk import Settings, walk


def main() -> int:
    env = os.environ
    kubectl = Kubectl(Path(sys.executable).parent / "kubectl", float(env.get("TIMEOUT", "300")))
    try:
        server = kubectl.server_version()
    except KubectlError as error:
        print(f"no cluster to test: {error}")
        print(
            "set KUBECONFIG to one's file; see the head of tests/k8s/__main__.py for the variables"
        )
        return 0
    settings = Settings(
        image=env.get("IMAGE", ""),
        registry=env.get("REGISTRY", "").rstrip("/"),
        importer=env.get("IMPORT", ""),
        linux_image=env.get("LINUX_IMAGE", ""),
        restart=env.get("RESTART", ""),
    )
    print(f"Tandem in a cluster, Kubernetes {server}")
    return walk(kubectl, settings)


if __name__ == "__main__":
    sys.exit(main())
