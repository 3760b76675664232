"""What the private containerds of the tests are told, one row per line of containerd.

1.6 is this Debian's own, with its runc and crun. 1.7 and 2.1 come from newer suites, by `make
stacks`: 1.7 with this Debian's runc and the newer crun (the older one refuses the OCI version that
it writes), 2.1 with both newer.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support import images

STACKS = Path(__file__).parents[2] / ".cache" / "stacks"
CNI_PLUGINS = Path("/usr/lib/cni")
POD_SUBNET = "10.231.0.0/16"
TRANSPORTS = ("ttrpc", "grpc")

# The machine's root may lack CAP_SYS_RESOURCE: restrict_oom_score_adj has no score lowered.
FORM_2 = """\
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
"""
FORM_3 = """\
version = 3
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  stats_collect_period = 1
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{folder}/cni"
"""
HANDLERS = """\
[plugins."{plugin}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."{plugin}".containerd.runtimes.tandem]
  runtime_type = "io.containerd.tandem.v1"
  pod_annotations = ["io.containerd.tandem.v1/*", "module.wasm.image/*"]
  container_annotations = ["io.containerd.tandem.v1/*", "module.wasm.image/*"]
[plugins."{plugin}".containerd.runtimes.tandem-crun]
  runtime_type = "io.containerd.tandem.v1"
  [plugins."{plugin}".containerd.runtimes.tandem-crun.options]
    TypeUrl = "runtimeoptions.v1.Options"
    ConfigPath = "{folder}/tandem-crun.toml"
"""


@dataclass(frozen=True)
class Release:
    """A line of containerd: where its programs are, and the form of its configuration file."""

    programs: Path
    form: str
    plugin: str
    crun: str = "crun"
    runtimes: Path | None = None

    @property
    def containerd(self) -> Path:
        """The daemon."""
        return self.programs / "containerd"

    @property
    def ctr(self) -> Path:
        """Its command line client."""
        return self.programs / "ctr"

    @property
    def search_path(self) -> list[Path]:
        """Where its own shim is, then its runc and crun: before everything else in PATH."""
        return [self.programs, *([self.runtimes] if self.runtimes else [])]

    def write(self, folder: Path, cache: Path, transport: str) -> None:
        """Write what containerd, its pod network and the shim read.

        Args:
            folder: everything that containerd makes is below it.
            cache: the shim's folder of compiled modules.
            transport: what containerd and our shim speak, one of TRANSPORTS.

        Raises:
            FileNotFoundError: its programs are not there.
        """
        if not self.containerd.exists():
            raise FileNotFoundError(f"no {self.containerd}: run make stacks")
        names = {"folder": folder, "pause": images.PAUSE, "plugins": CNI_PLUGINS}
        config = (self.form + HANDLERS).format(plugin=self.plugin, **names)
        (folder / "config.toml").write_text(config)
        cache.mkdir(parents=True, exist_ok=True)
        shim = f'[cache]\ndirectory = "{cache}"\n'
        if transport != "ttrpc":
            shim += f'[shim]\ntransport = "{transport}"\n'
        (folder / "tandem.toml").write_text(shim)
        (folder / "tandem-crun.toml").write_text(f'{shim}[linux]\nruntime = "{self.crun}"\n')
        (folder / "cni").mkdir()
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(pod_network(folder)))


NEWER = STACKS / "newer" / "bin"
RELEASES = {
    "1.6": Release(Path("/usr/bin"), FORM_2, "io.containerd.grpc.v1.cri"),
    "1.7": Release(
        STACKS / "containerd-1.7", FORM_2, "io.containerd.grpc.v1.cri", crun=str(NEWER / "crun")
    ),
    "2.1": Release(STACKS / "containerd-2", FORM_3, "io.containerd.cri.v1.runtime", runtimes=NEWER),
}


def pod_network(folder: Path) -> dict[str, object]:
    """The configuration of the pods' network; addresses given out are noted below the folder."""
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
