"""The installed executables, run as containerd runs them, with a run directory of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty

from shim.api import task_pb2
from tests.support.tandem_home import TandemHome
from tests.support.ttrpc_client import ClosedError, TtrpcClient

BIN = Path(__file__).parent.parent.parent / ".venv" / "bin"
LAUNCHERS = ("containerd-shim-tandem-v1", "tandem-launcher")
TASK = "containerd.task.v2.Task"
TIMEOUT_S = 30.0


class Installed:
    """One node: its executables, its run directory, its bundles, and the pods on it."""

    def __init__(self, directory: Path, bin_directory: Path = BIN) -> None:
        self.bin = bin_directory
        self.home = TandemHome(directory)
        self.directory = directory
        self.run_dir = self.home.run_dir
        self._addresses: set[str] = set()

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        ours = {"TTRPC_ADDRESS": f"{self.directory}/e.sock"}
        return {"PATH": os.environ["PATH"], **self.home.environment, **ours, **(extra or {})}

    def bundle(self, container_id: str, document: Any = None, *, group: str = "") -> Path:
        path = self.directory / container_id
        path.mkdir()
        annotations = {"io.kubernetes.cri.sandbox-id": group} if group else {}
        content = {"annotations": annotations} if document is None else document
        (path / "config.json").write_text(
            content if isinstance(content, str) else json.dumps(content)
        )
        return path

    def arguments(self, container_id: str, action: str) -> list[str]:
        flags = ["-namespace", "n", "-address", "/c.sock", "-publish-binary", "/bin/containerd"]
        return [*flags, "-id", container_id, action]

    def run(
        self,
        launcher: str,
        *words: str,
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end of its output: whoever keeps that open makes this time out."""
        return subprocess.run(
            [self.bin / launcher, *words],
            cwd=cwd or self.directory,
            env=self.env(env),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start(
        self, launcher: str, container_id: str, *, group: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        bundle = self.bundle(container_id, group=group)
        done = self.run(launcher, *self.arguments(container_id, "start"), cwd=bundle)
        if done.returncode == 0:
            self.expect(done.stdout.decode())
        return done

    def expect(self, address: str) -> None:
        """Shut the pod shim at this address down at the end."""
        self._addresses.add(address)

    def connect(self, address: str) -> int:
        """Ask the pod shim at this address who it is."""
        client = TtrpcClient(address)
        try:
            request = task_pb2.ConnectRequest(id="any")
            return client.call(TASK, "Connect", request, task_pb2.ConnectResponse).shim_pid
        finally:
            client.close()

    def close(self) -> None:
        for address in self._addresses:
            with contextlib.suppress(OSError, ClosedError):
                client = TtrpcClient(address)
                with contextlib.closing(client):
                    client.call(TASK, "Shutdown", task_pb2.ShutdownRequest(id="any"), Empty)
        self.home.stop_daemon()


@contextlib.contextmanager
def installed(bin_directory: Path = BIN) -> Iterator[Installed]:
    """A node that is gone afterwards. Its path is short, since sockets' are."""
    directory = Path(tempfile.mkdtemp(prefix="tdn", dir="/tmp"))
    node = Installed(directory, bin_directory)
    try:
        yield node
    finally:
        node.close()
        shutil.rmtree(directory)


def executables(directory: Path) -> Path:
    """A copy of the installed executables, for a test to spoil."""
    copy = directory / "bin"
    copy.mkdir()
    for name in (*LAUNCHERS, "tandem", "tandemd"):
        shutil.copy2(BIN / name, copy / name)
    return copy
