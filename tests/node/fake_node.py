"""A node to install on: a root directory, and a containerd in a room that takes it for its own.

The room's /etc, /opt, /run, /usr/local/bin and /var/lib are the root's: what the installer puts
below the root is where containerd, the shim and tandemd look for it, at the same paths as on a
node. A loop in the room starts containerd again whenever it ends, and `restart_command` has it end.
Before each start it runs the script `before_start`, in which a test says what a distribution does
then, or what goes wrong. Or containerd is a unit of a real systemd, which is the first process of a
namespace in the room. Nothing stays when the with statement ends.
"""

import contextlib
import hashlib
import json
import os
import re
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

from tests.node.forms import CONFIGS
from tests.support import images
from tests.support.containerd_config import CNI_PLUGINS, RELEASES, STACKS, pod_network
from tests.support.cri import Cri
from tests.support.node import Room, Service, remove_cgroups
from tests.support.pods import ContainerSpec, Pod
from tests.support.waiting import wait_for

_INSTALLER = (sys.executable, "-m", "runtimeclass.installer")
BOUND = ("/etc", "/opt", "/run", "/usr/local/bin", "/var/lib")
_COPIED = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "ssl")
# What changes without the installer: containerd's own, systemd's, and the loop's.
_OTHERS = {
    *("run/containerd", "run/node", "run/ipam", "run/netns", "run/systemd"),
    *("var/lib/containerd", "var/lib/cni"),
}
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
  if ! sh /run/node/before; then sleep 0.1; continue; fi
  echo >> /run/node/starts
  {containerd} --config {config} &
  echo $! > /run/node/pid
  wait $!
done
"""


class FakeNode:
    """One node; `root` is what the installer is given as --root."""

    def __init__(
        self, release: str, *, config: str = "", config_path: str = "", systemd: bool = False
    ) -> None:
        """Describe it: a key of RELEASES, containerd's configuration and where it lies."""
        self._systemd = systemd
        self.release = RELEASES[release]
        self.config = (config or CONFIGS[release]).format(pause=images.PAUSE, plugins=CNI_PLUGINS)
        self.config_path = config_path or "/etc/containerd/config.toml"
        self.name = ""
        self.root = Path()
        self.folder = Path()
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
    def loop_pid(self) -> int:
        """The machine's pid of what keeps containerd running."""
        assert self._service is not None
        return self._service.host_pid

    @property
    def config_file(self) -> Path:
        """containerd's configuration, as the tests see it."""
        return self.path(self.config_path)

    @property
    def restart_command(self) -> str:
        """For --restart-command."""
        return str(self.folder / "restart")

    def path(self, name: str) -> Path:
        """Where the tests see a path of the node's."""
        return self.root / name.lstrip("/")

    def _start(self) -> Self:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="tdn-"))
        self.name = f"tandem-{secrets.token_hex(4)}"
        self.root = folder / "root"
        for name in (*BOUND, "/etc/cni/net.d", "/etc/systemd/system", "/run/node", "/var/lib/cni"):
            self.path(name).mkdir(parents=True, exist_ok=True)
        for name in _COPIED:
            source = Path("/etc") / name
            if source.is_dir():
                shutil.copytree(source, self.path(f"/etc/{name}"), symlinks=True)
            elif source.exists():
                shutil.copy(source, self.path(f"/etc/{name}"))
        self.config_file.parent.mkdir(parents=True)
        self.config_file.write_text(self.config)
        self.before_start("")
        network = json.dumps(pod_network(Path("/run")))
        self.path("/etc/cni/net.d/10-pods.conflist").write_text(network)
        self._room = Room()
        for name in BOUND:
            subprocess.run(
                self.room.command(["mount", "--bind", self.path(name), name]), check=True
            )
        # As systemd has it: what is mounted later is seen by installers that have begun before.
        self.sh("mount --make-rshared /")
        self._write_restart()
        self._cri = Cri(self.path("/run/containerd/containerd.sock"))
        self.start_containerd()
        self.import_image(images.pause_image(folder / "pause.tar"))
        self.import_image(images.busybox_image(folder / "busybox.tar"))
        return self

    def start_containerd(self) -> None:
        """Start the loop that keeps containerd running, and wait for its CRI."""
        path = ":".join(map(str, self._path()))
        given = {"containerd": self.release.containerd, "config": self.config_path, "path": path}
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
                shutil.rmtree(self.folder)
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

    def beside_systemd(self, argv: list[str]) -> list[str]:
        """The command line in systemd's namespaces, and, as in a container, in pids of its own."""
        systemd = next(
            each.host_pid
            for each in self.room.processes()
            if each.command[:1] == ("/usr/bin/systemd",)
        )
        entered = ["nsenter", f"--target={systemd}", "--mount", "--net", "--pid", "--"]
        return [*entered, "unshare", "--pid", "--fork", *argv]

    def before_start(self, script: str) -> None:
        """What is done before each start of containerd; if it fails, there is no start."""
        self.path("/run/node/before").write_text(script)

    @property
    def starts(self) -> int:
        """How often containerd was started."""
        return self.path("/run/node/starts").read_text().count("\n")

    def sh(self, script: str) -> None:
        """Run a script on the node."""
        subprocess.run(self.room.command(["sh", "-euc", script]), check=True)

    @property
    def current(self) -> str:
        """The version that is in force."""
        return self.path("/opt/tandem/current").readlink().name

    def run_runc_pod(self) -> None:
        """Have runc's own shim run a container, which says so."""
        with self.pod("linux", "runc") as pod:
            spec = ContainerSpec("said", images.BUSYBOX, ["echo", "runc works"])
            with pod.start(spec) as container:
                container.wait_for_log("runc works")
                assert container.wait().exit_code == 0

    def running_versions(self) -> set[str]:
        """The versions from which processes of this node run."""
        lines = [" ".join(each.command) for each in self.room.processes()]
        return {name for line in lines for name in re.findall(r"/opt/tandem/([^/ ]+)/", line)}

    def restart(self) -> None:
        """End containerd, and wait for the next one."""
        before = self.starts
        self.sh("kill $(cat /run/node/pid)")
        wait_for("another containerd", lambda: self.starts > before)
        wait_for("its CRI", self.cri.is_ready, 60, pause=0.1)

    def hide(self, *directories: Path) -> None:
        """Put an empty directory over each of these, for everybody on the node.

        What containerd and runc are executed from stays, where it lies below one of them.
        """
        self.sh(f"mkdir /run/node/stacks; mount --bind {STACKS} /run/node/stacks")
        for directory in directories:
            self.sh(f"mount -t tmpfs tmpfs {directory}")
            if STACKS.is_relative_to(directory):
                self.sh(f"mkdir -p {STACKS}; mount --bind /run/node/stacks {STACKS}")

    def pod(self, name: str, handler: str = "tandem") -> Pod:
        """A pod, to be used in a with statement."""
        folder = self.folder / "pods"
        return Pod(self.cri, folder, name, handler=handler, cgroup_parent=f"/{self.name}")

    def import_image(self, archive: Path) -> str:
        """Import an OCI archive for pods; returns its name."""
        name = images.image_name(archive)
        self.ctr("images", "import", archive)
        self.cri.wait_for_image(name)
        return name

    def ctr(self, *arguments: str | Path, namespace: str = "k8s.io") -> str:
        """Run ctr in the room, and return its output."""
        argv = [self.release.ctr, "--namespace", namespace, *arguments]
        done = subprocess.run(
            self.room.command(argv), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tree(self) -> dict[str, str]:
        """Everything on the node that is not containerd's own: mode and digest, or target."""
        found = {}
        for folder, directories, files in os.walk(self.root):
            top = Path(folder).relative_to(self.root)
            directories[:] = [each for each in directories if str(top / each) not in _OTHERS]
            for name in (*directories, *files):
                path = Path(folder, name)
                status = path.lstat()
                text = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
                if path.is_symlink():
                    text += f" -> {path.readlink()}"
                elif path.is_file():
                    text += f" {hashlib.sha256(path.read_bytes()).hexdigest()}"
                found[str(top / name)] = text
        return found

    @property
    def log_path(self) -> Path:
        """What containerd wrote."""
        return self.folder / "containerd.log"

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of that."""
        if not self.log_path.exists():
            return "(none)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _path(self) -> Sequence[Path]:
        here = (Path("/usr/local/sbin"), Path("/usr/local/bin"), *self.release.search_path)
        return (*here, *map(Path, ("/usr/sbin", "/usr/bin", "/sbin", "/bin")))

    def _write_restart(self) -> None:
        script = Path(self.restart_command)
        kill = self.room.command(["sh", "-c", "kill $(cat /run/node/pid)"])
        words = " ".join(f"'{word}'" for word in kill)
        script.write_text(f"#!/bin/sh\nexec {words}\n")
        script.chmod(0o755)


def _run(argv: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
