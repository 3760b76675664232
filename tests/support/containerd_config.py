"""What the private containerds of the tests are told, one row per line of containerd."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support import images

CNI_PLUGINS = Path("/usr/lib/cni")
POD_SUBNET = "10.231.0.0/16"

CONFIG_1 = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  stats_collect_period = 1
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tandem]
    runtime_type = "io.containerd.tandem.v1"
    pod_annotations = ["io.containerd.tandem.v1/*", "module.wasm.image/*"]
    container_annotations = ["io.containerd.tandem.v1/*", "module.wasm.image/*"]
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tandem-crun]
    runtime_type = "io.containerd.tandem.v1"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tandem-crun.options]
      TypeUrl = "runtimeoptions.v1.Options"
      ConfigPath = "{folder}/tandem-crun.toml"
"""


@dataclass(frozen=True)
class Release:
    """A line of containerd: its programs and its configuration file."""

    containerd: Path
    ctr: Path
    config: str

    def write(self, folder: Path, cache: Path) -> None:
        """Write what containerd, its pod network and the shim read.

        Args:
            folder: everything that containerd makes is below it.
            cache: the shim's folder of compiled modules.
        """
        config = self.config.format(folder=folder, pause=images.PAUSE, plugins=CNI_PLUGINS)
        (folder / "config.toml").write_text(config)
        cache.mkdir(parents=True, exist_ok=True)
        shim = f'[cache]\ndirectory = "{cache}"\n'
        (folder / "tandem.toml").write_text(shim)
        (folder / "tandem-crun.toml").write_text(f'{shim}[linux]\nruntime = "crun"\n')
        (folder / "cni").mkdir()
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network(folder)))


RELEASES = {
    "1.6": Release(Path("/usr/bin/containerd"), Path("/usr/bin/ctr"), CONFIG_1),
}


def _pod_network(folder: Path) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "ipam"),
            "ranges": [[{"subnet": POD_SUBNET}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}
