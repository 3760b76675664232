"""A node to install on: a root directory, and a containerd in a room that takes it for its own.

The room's /etc, /opt, /run, /usr/local/bin and /var/lib are the root's: what the installer puts
below the root is where containerd, the shim and tandemd look for it, at the same paths as on a
node. A loop in the room starts containerd again whenever it ends, and `restart_command` has it end;
or it is a unit of a real systemd, which is the first process of a namespace in the room. Nothing
stays when the with statement ends.
"""

import contextlib
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.node.roots import CRI_3
from tests.support import images
from tests.support.containerd_config import CNI_PLUGINS, RELEASES, pod_network
from tests.support.cri import Cri
from tests.support.node import Room, Service, remove_cgroups
from tests.support.pods import Pod
from tests.support.waiting import wait_for

# As kubeadm's documentation has it, and what the machines of the tests need.
CONFIG_2 = """\
# containerd's configuration, written by a person.
version = 2
oom_score = 0

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "{pause}"   # imported
    netns_mounts_under_state_dir = true
    restrict_oom_score_adj = true
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "{plugins}"
      conf_dir = "/etc/cni/net.d"
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
"""
CONFIG_3 = """\
# containerd's configuration, written by a person.
version = 3
imports = ["/etc/containerd/conf.d/*.toml"]

[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
BOUND = ("/etc", "/opt", "/run", "/usr/local/bin", "/var/lib")
_COPIED = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "ssl")
_INSTALLER = (sys.executable, "-m", "runtimeclass.installer")
_UNIT = """\
[Service]
ExecStart={containerd} --config {config}
Environment=PATH={path}
Restart=always
RestartSec=100ms
KillMode=process
Delegate=yes
"""
_LOOP = """\
cd /
while :; do
  {containerd} --config {config} &
  echo $! > /run/containerd.pid
  wait $!
  sleep 0.1
done
"""


class FakeNode:
    """One node; `root` is what the installer is given as --root."""

    def __init__(
        self, release: str, *, config: str = "", config_path: str = "", systemd: bool = False
    ) -> None:
        """Describe it: a key of RELEASES, containerd's configuration and where it lies."""
        self._release = RELEASES[release]
        self._systemd = systemd
        form = CONFIG_3 if self._release.plugin == CRI_3 else CONFIG_2
        self._config = (config or form).format(pause=images.PAUSE, plugins=CNI_PLUGINS)
        self.config_path = config_path or "/etc/containerd/config.toml"
        self.name = ""
        self.root = Path()
        self._room: Room | None = None
        self._service: Service | None = None
        self._cri: Cri | None = None

    def __enter__(self) -> Self:
        try:
            return self._start()
        except BaseException as error:
            error.add_note(f"the end of containerd's log:\n{self.log_tail()}")
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"the end of containerd's log:\n{self.log_tail()}")
        self.stop()

    @property
    def room(self) -> Room:
        """Where containerd lives."""
        assert self._room is not None
        return self._room

    @property
    def cri(self) -> Cri:
        """Its CRI; survives restarts."""
        assert self._cri is not None
        return self._cri

    @property
    def config_file(self) -> Path:
        """containerd's configuration, as the tests see it."""
        return self.path(self.config_path)

    @property
    def restart_command(self) -> str:
        """For --restart-command."""
        return str(self.root.parent / "restart")

    def path(self, name: str) -> Path:
        """Where the tests see a path of the node's."""
        return self.root / name.lstrip("/")

    def _start(self) -> Self:
        folder = Path(tempfile.mkdtemp(prefix="tdn-"))
        self.name = f"tandem-{secrets.token_hex(4)}"
        self.root = folder / "root"
        for name in (
            *BOUND,
            "/etc/systemd/system",
            "/etc/cni/net.d",
            "/run/containerd",
            "/var/lib/cni",
            "/usr/local/sbin",
        ):
            self.path(name).mkdir(parents=True, exist_ok=True)
        for name in _COPIED:
            source = Path("/etc") / name
            if source.is_dir():
                shutil.copytree(source, self.path(f"/etc/{name}"), symlinks=True)
            elif source.exists():
                shutil.copy(source, self.path(f"/etc/{name}"))
        self.config_file.parent.mkdir(parents=True)
        self.config_file.write_text(self._config)
        network = json.dumps(pod_network(Path("/run")))
        self.path("/etc/cni/net.d/10-pods.conflist").write_text(network)
        self._room = Room()
        for name in BOUND:
            subprocess.run(
                self.room.command(["mount", "--bind", self.path(name), name]), check=True
            )
        self._write_restart()
        self._cri = Cri(self.path("/run/containerd/containerd.sock"))
        self.start_containerd()
        self.ctr("images", "import", images.pause_image(folder / "pause.tar"))
        self.cri.wait_for_image(images.PAUSE)
        return self

    def start_containerd(self) -> None:
        """Start the loop that keeps containerd running, and wait for its CRI."""
        path = ":".join(map(str, self._path()))
        given = {"containerd": self._release.containerd, "config": self.config_path, "path": path}
        argv: list[str | Path] = ["sh", "-c", _LOOP.format(**given)]
        if self._systemd:
            self.path("/etc/systemd/system/containerd.service").write_text(_UNIT.format(**given))
            argv = [Path(__file__).with_name("systemd.sh"), self.name]
        self._service = self.room.spawn(argv, {"PATH": path}, self.log_path)
        wait_for("containerd", self.cri.is_ready, 60, pause=0.1)

    def stop(self) -> None:
        """End everything, remove everything. Safe to call twice."""
        try:
            if self._cri is not None:
                if self._service is not None and self._cri.is_ready():
                    self.cri.remove_all_pods()
                self._cri.close()
        finally:
            self._cri = None
            if self._service is not None:
                self._service.end(signal.SIGKILL)
                self._service = None
            if self._room is not None:
                self._room.close()
                self._room = None
            if self.name:
                # systemd's processes end a moment after its namespace.
                wait_for("end of the node's cgroups", self._no_cgroups)
                shutil.rmtree(self.root.parent)
                self.name = ""

    def _no_cgroups(self) -> bool:
        with contextlib.suppress(OSError):
            remove_cgroups(self.name)
            return True
        return False

    def installer(
        self, stage: str, *arguments: str | Path, timeout: float = 300.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a stage of the installer on the node itself, from the checkout."""
        given = [*_INSTALLER, stage, *map(str, arguments)]
        if self._systemd:
            return _run(self.beside_systemd(given), timeout)
        if stage != "verify":
            given += ["--restart", "signal"]
        return _run(self.room.command(given), timeout)

    def killed_installer(self, step: str, stage: str, *arguments: str | Path) -> int:
        """Run it on the node until that step begins; its exit status, -9 where it was killed."""
        given = [sys.executable, "-m", "tests.node.killed", step, stage, *map(str, arguments)]
        done = _run(self.room.command([*given, "--restart", "signal"]), 120)
        return -9 if done.returncode in {-9, 137} else done.returncode

    def restart_containerd(self) -> None:
        """End containerd, and wait until the loop has brought it up again."""
        old = self.path("/run/containerd.pid").read_text()
        subprocess.run([self.restart_command], check=True)
        wait_for("new containerd", lambda: self.path("/run/containerd.pid").read_text() != old)
        wait_for("containerd", self.cri.is_ready, 60, pause=0.1)

    def beside_systemd(self, argv: list[str]) -> list[str]:
        """The command line in systemd's namespaces, and, as in a container, in pids of its own."""
        systemd = next(
            each.host_pid
            for each in self.room.processes()
            if each.command[:1] == ("/usr/bin/systemd",)
        )
        entered = ["nsenter", f"--target={systemd}", "--mount", "--net", "--pid", "--"]
        return [*entered, "unshare", "--pid", "--fork", *argv]

    def installer_outside(
        self, stage: str, *arguments: str | Path, timeout: float = 300.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run it as in a container: the node's root lies elsewhere, its processes are not seen."""
        given = [*_INSTALLER, stage, "--root", str(self.root), *map(str, arguments)]
        if stage != "verify":
            given += ["--restart-command", self.restart_command]
        return _run(given, timeout)

    def pod(self, name: str, handler: str = "tandem") -> Pod:
        """A pod, to be used in a with statement."""
        folder = self.root.parent / "pods"
        return Pod(self.cri, folder, name, handler=handler, cgroup_parent=f"/{self.name}")

    def import_image(self, archive: Path) -> str:
        """Import an OCI archive for pods; returns its name."""
        name = images.image_name(archive)
        self.ctr("images", "import", archive)
        self.cri.wait_for_image(name)
        return name

    def ctr(self, *arguments: str | Path, namespace: str = "k8s.io") -> str:
        """Run ctr in the room, and return its output."""
        argv = [self._release.ctr, "--namespace", namespace, *arguments]
        done = subprocess.run(
            self.room.command(argv), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tree(self) -> dict[str, str]:
        """Every file of the node's that is not containerd's own, by its bytes and mode."""
        found = {}
        for top in ("/etc", "/opt", "/run/tandem", "/usr/local", "/var/lib/tandem"):
            for path in sorted(self.path(top).rglob("*")):
                name = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[name] = f"-> {path.readlink()}"
                elif path.is_file():
                    found[name] = f"{path.stat().st_mode:o} {path.read_bytes().hex()}"
                else:
                    found[name] = f"{path.stat().st_mode:o}"
        return found

    @property
    def log_path(self) -> Path:
        """What containerd wrote."""
        return self.root.parent / "containerd.log"

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of that."""
        if not self.log_path.exists():
            return "(none)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _path(self) -> Sequence[Path]:
        here = (Path("/usr/local/sbin"), Path("/usr/local/bin"), *self._release.search_path)
        return (*here, *map(Path, ("/usr/sbin", "/usr/bin", "/sbin", "/bin")))

    def _write_restart(self) -> None:
        script = Path(self.restart_command)
        kill = self.room.command(["sh", "-c", "kill $(cat /run/containerd.pid)"])
        words = " ".join(f"'{word}'" for word in kill)
        script.write_text(f"#!/bin/sh\nexec {words}\n")
        script.chmod(0o755)


def _run(argv: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
