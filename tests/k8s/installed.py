"""`python -m tests.k8s.installed ARCHIVE`: the walk with the real node image, on a node made here.

From a node that has never heard of Tandem, by the DaemonSet, to a served request, and back: then
the node must be as before, containerd's configuration byte for byte.
"""

import subprocess
import sys
from pathlib import Path

from tests.k8s.cluster import Cluster
from tests.k8s.conftest import PROGRAMS, ROOT
from tests.k8s.node import CONFIG, NodeContainerd
from tests.support import images, leaks

# Everything below a node's directories that an installer writes.
_PLACES = (
    "/opt/tandem /usr/local/bin/containerd-shim-tandem-v1 /var/lib/tandem /run/tandem /etc/tandem"
)


def main(archive: Path) -> int:
    """Take the walk; the exit status is its."""
    leaks.become_subreaper()
    with NodeContainerd("2.1") as containerd, Cluster(containerd, PROGRAMS) as cluster:
        containerd.import_image(images.busybox_image(containerd.folder / "busybox.tar"))
        ctr = ["ctr", "--address", str(containerd.address), "--namespace", "k8s.io"]
        containerd.must(*ctr, "images", "import", str(archive.resolve()))
        variables = {
            "KUBECONFIG": cluster.kubeconfig,
            "IMPORT": f"{' '.join(ctr)} images import",
            "LINUX_IMAGE": images.BUSYBOX,
            "RESTART": "signal",
        }
        given = [f"{name}={value}" for name, value in variables.items()]
        walk: list[str | Path] = ["env", "-C", ROOT, *given, sys.executable, "-m", "tests.k8s"]
        status = subprocess.run(containerd.room.command(walk), check=False).returncode
        if status == 0:
            left = containerd.run(["sh", "-c", f"ls -d {_PLACES} 2>/dev/null"]).stdout.split()
            before = (containerd.folder / "plain.toml").read_text()
            if left or containerd.must("cat", CONFIG) != before:
                print(f"FAILED: the node is not as before: {left or CONFIG}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
