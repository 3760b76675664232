"""A containerd as a node has it before Tandem comes: in its usual places, without the handler.

Its configuration is /etc/containerd/config.toml of the room, its socket lies below
/run/containerd, it knows nothing of the checkout, and whoever ends it gets a new one: no systemd
runs in a room. What is written below the node's directories stays in the room, in overlays.
"""

import shutil
import signal
from pathlib import Path

from typing_extensions import override

from tests.support.containerd import Containerd
from tests.support.waiting import wait_for

CONFIG = "/etc/containerd/config.toml"
_SETUP = f"""
mkdir -p "$1/c" /run/containerd
mount --bind "$1/c" /run/containerd
for place in etc opt usr/local/bin var; do
  over=$1/node/$place
  mkdir -p "$over/upper" "$over/work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$over/upper,workdir=$over/work" overlay "/$place"
done
mkdir -p /etc/containerd
cp "$1/plain.toml" {CONFIG}
"""


class NodeContainerd(Containerd):
    """See the module; not started until `start` or the with statement."""

    @property
    @override
    def address(self) -> Path:
        return self.folder / "c" / "containerd.sock"

    @override
    def start_service(self) -> None:
        text = (self.folder / "config.toml").read_text()
        text = text.replace(f"{self.folder}/c.sock", "/run/containerd/containerd.sock")
        # The handlers of the tests are the last tables; runc's is the first of them.
        plain, found, _ = text.partition(f'[plugins."{self._release.plugin}".containerd.runtimes.t')
        assert found
        (self.folder / "plain.toml").write_text(plain)
        self.must("sh", "-euc", _SETUP, "sh", str(self.folder))
        again = f"while :; do {self._release.containerd} --config {CONFIG}; sleep 0.2; done"
        self._service = self.room.spawn(["sh", "-c", again], self._environment(), self.log_path)
        wait_for("containerd that is ready to run pods", self.cri.is_ready, 60, pause=0.1)

    @override
    def end_service(self, signal_number: int = signal.SIGTERM) -> None:
        # The starter, not containerd: that ends with the room.
        super().end_service(signal.SIGKILL)

    def must(self, *argv: str) -> str:
        """Run a command in the room; it must not fail."""
        done = self.run(list(argv))
        assert done.returncode == 0, f"{argv}: {done.stderr.strip()}"
        return done.stdout

    @override
    def _environment(self) -> dict[str, str]:
        """That of a node: nothing of the checkout is found by it."""
        env = super()._environment()
        for name in ("TANDEM_SOCKET", "TANDEM_CONFIG", "VIRTUAL_ENV"):
            env.pop(name, None)
        places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        env["PATH"] = ":".join([*map(str, self._release.search_path), *places])
        assert shutil.which("containerd-shim-tandem-v1", path=env["PATH"]) is None
        return env
