"""A private containerd with CRI and a pod network, in a folder and in namespaces of its own.

`with Containerd("1.6") as containerd` is ready to run pods when the block begins, and leaves
nothing behind when it ends: no process, mount, link, cgroup or file. The runtime handlers are
`runc`, `tandem` and `tandem-crun`. The shim's daemon belongs to this containerd alone: its
socket and its configuration lie in the same folder (TANDEM_SOCKET, TANDEM_CONFIG).
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import images, network
from tests.support.containerd_config import RELEASES
from tests.support.cri import Cri
from tests.support.node import Process, Room, Service, remove_cgroups, sockets_of
from tests.support.pods import Pod
from tests.support.waiting import wait_for

CRI_NAMESPACE = "k8s.io"


class Containerd:
    """One containerd and its room. Not started until `start` or the with statement."""

    def __init__(
        self,
        release: str,
        transport: str = "ttrpc",
        *,
        cache: Path | None = None,
        env: Mapping[str, str] | None = None,
        parent: Path | None = None,
        shims: Path | None = None,
    ) -> None:
        """Describe it.

        Args:
            release: a key of RELEASES.
            transport: what it and our shim speak, one of TRANSPORTS.
            cache: the shim's folder of compiled modules; none means one of its own, removed at the
                end.
            env: further environment of containerd, which the shim inherits.
            parent: where its folder is made; none means where temporary files are.
            shims: the directory with our executables; none means the virtual environment's.
        """
        self._release = RELEASES[release]
        self._transport = transport
        self._cache = cache
        self._env = dict(env or {})
        self._parent = parent or Path(tempfile.gettempdir())
        self._shims = shims or Path(sys.executable).parent
        self._room: Room | None = None
        self._service: Service | None = None
        self._cri: Cri | None = None
        self.folder = Path()
        self.name = ""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
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
        """The namespaces that it runs in."""
        if self._room is None:
            raise RuntimeError("containerd is not started")
        return self._room

    @property
    def cri(self) -> Cri:
        """The connection to its CRI; it outlives restarts of containerd."""
        if self._cri is None:
            raise RuntimeError("containerd is not started")
        return self._cri

    @property
    def address(self) -> Path:
        """Its gRPC socket."""
        return self.folder / "c.sock"

    @property
    def tandem_socket(self) -> Path:
        """The socket of the shim's node daemon; the folder around it is the shim's run folder."""
        return self.folder / "tandem" / "tandemd.sock"

    def start(self) -> Self:
        """Make the folder and the room, start containerd, import the pause image.

        Raises:
            TimeoutError: it is not ready to run pods within 60 s.
        """
        # Not mkdtemp's choice of letters: the name is one of containerd's namespaces, too.
        self.folder = self._parent / f"tandem-{secrets.token_hex(4)}"
        self.folder.mkdir(mode=0o700)
        self.name = self.folder.name
        self._release.write(self.folder, self._cache or self.folder / "cache", self._transport)
        self.tandem_socket.parent.mkdir(mode=0o700)
        self._room = Room()
        self._cri = Cri(self.address)
        self.start_service()
        self.import_image(images.pause_image(self.folder / "pause.tar"))
        return self

    def start_service(self) -> None:
        """Start the containerd process and wait until pods can run; also after `end_service`."""
        argv: list[str | Path] = [self._release.containerd, "--config", self.folder / "config.toml"]
        self._service = service = self.room.spawn(argv, self._environment(), self.log_path)

        def ready_or_dead() -> bool:
            return not service.is_running() or self.cri.is_ready()

        wait_for("containerd that is ready to run pods", ready_or_dead, 60, pause=0.1)
        if not service.is_running():
            raise RuntimeError(f"containerd did not start:\n{self.log_tail()}")

    def end_service(self, signal_number: int = signal.SIGTERM) -> None:
        """End the containerd process alone: pods run on."""
        if self._service is not None:
            self._service.end(signal_number)
            self._service = None

    def restart(self, signal_number: int = signal.SIGTERM) -> None:
        """End the containerd process and start it again; pods run on."""
        self.end_service(signal_number)
        self.start_service()

    def stop(self) -> None:
        """Remove all pods, end everything, remove everything. Safe to call twice."""
        try:
            if self._service is not None and self._service.is_running():
                self.cri.remove_all_pods()
                self.end_service()
        finally:
            if self._cri is not None:
                self._cri.close()
                self._cri = None
            if self._room is not None:
                self._room.close()
                self._room = None
            if self.name:
                remove_cgroups(self.name)
                shutil.rmtree(self.folder)
                self.name = ""

    def import_image(self, archive: Path, namespace: str = CRI_NAMESPACE) -> str:
        """Import an OCI archive and return the image's name.

        Images in CRI's own namespace are waited for, so that a pod can use them at once.
        """
        name = images.image_name(archive)
        self.ctr("images", "import", archive, namespace=namespace)
        if namespace == CRI_NAMESPACE:
            self.cri.wait_for_image(name)
        return name

    def ctr(self, *args: str | Path, namespace: str = CRI_NAMESPACE, timeout: float = 120.0) -> str:
        """Run ctr and return its standard output.

        Tasks are best run in a namespace named `name`, whose cgroups are removed at the end.

        Raises:
            RuntimeError: it failed; the text is its standard error.
        """
        done = self.run_ctr(*args, namespace=namespace, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"ctr {' '.join(map(str, args))}: {done.stderr.strip()}")
        return done.stdout

    def run_ctr(
        self, *args: str | Path, namespace: str, timeout: float = 120.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run ctr, whose status and output a container's may be; the timeout is in seconds."""
        command: list[str | Path] = [self._release.ctr, "--address", self.address]
        return self.run([*command, "--namespace", namespace, *args], timeout)

    def run(
        self, argv: list[str | Path], timeout: float = 120.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in containerd's room and environment; the timeout is in seconds."""
        return subprocess.run(
            self.room.command(argv),
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
            env=self._environment(),
        )

    def daemon(self) -> Process | None:
        """The shim's node daemon; None while there is none."""
        try:
            pid = int(self.tandem_socket.with_name("tandemd.pid").read_text())
        except FileNotFoundError:
            return None
        return next((process for process in self.room.processes() if process.pid == pid), None)

    def pod_processes(self) -> list[Process]:
        """Every process that pods account for: shims, pause, containers.

        The daemon's spares, forked ahead of their work, are known by its listening socket.
        """
        daemon = self.daemon()
        listening = sockets_of(daemon.host_pid) if daemon else set()
        return [
            process
            for process in self.room.processes()
            if process != daemon
            and process.command[:1] != (str(self._release.containerd),)
            and not listening & sockets_of(process.host_pid)
        ]

    def pod(self, name: str, handler: str) -> Pod:
        """A pod of this containerd, to be used in a with statement."""
        folder = self.folder / "pods"
        return Pod(self.cri, folder, name, handler=handler, cgroup_parent=f"/{self.name}")

    def http_get(self, url: str, timeout: float = 10.0) -> network.HttpReply:
        """Fetch a page as the node: by a pod's IP. The timeout is in seconds per operation."""
        return network.http_get(self.room.network, url, timeout)

    @property
    def log_path(self) -> Path:
        """What containerd and the shims wrote."""
        return self.folder / "containerd.log"

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of that."""
        if not self.log_path.exists():
            return "(none)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _environment(self) -> dict[str, str]:
        programs = (self._shims, *self._release.search_path)
        path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        return {
            **os.environ,
            "PATH": ":".join([*map(str, programs), path]),
            "TANDEM_SOCKET": str(self.tandem_socket),
            "TANDEM_CONFIG": str(self.folder / "tandem.toml"),
            **self._env,
        }
