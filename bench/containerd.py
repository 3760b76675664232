"""A plain containerd of the benchmark's own, without CRI and pod network, and its ctr.

Rules: ctr is executed directly, with nothing around it: a constant added to both sides would hide
their difference.
"""

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.node import Node
from tests.support.waiting import wait_for

_CONTAINERD = "/usr/bin/containerd"
_CTR = "/usr/bin/ctr"
_READY_S = 30.0

_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


class PlainContainerd:
    """Runs while its with statement lasts."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._folder = node.directory
        self._output = self._folder / "ctr.out"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        config = self._folder / "containerd.toml"
        config.write_text(_CONFIG.format(folder=self._folder))
        self._process = self._node.spawn([_CONTAINERD, "--config", config], "containerd.log")
        wait_for("a containerd that answers", self._is_ready, _READY_S, pause=0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._node.end(self._process)

    def import_image(self, archive: Path, *flags: str) -> None:
        """Import an OCI archive."""
        self._ctr("images", "import", *flags, str(archive))

    def run(self, runtime: str, image: str, container_id: str, *args: str) -> tuple[float, bytes]:
        """`ctr run --rm`: its wall time in seconds, and what it wrote.

        Raises:
            RuntimeError: it failed; the text is its output.
        """
        fifos = f"--fifo-dir={self._folder / 'fifo'}"
        return self._ctr("run", "--rm", fifos, "--runtime", runtime, image, container_id, *args)

    def _is_ready(self) -> bool:
        try:
            self._ctr("version")
        except RuntimeError:
            return False
        return True

    def _ctr(self, *args: str) -> tuple[float, bytes]:
        argv = [_CTR, "--address", str(self._folder / "c.sock"), "--namespace", self._node.name]
        with self._output.open("wb") as output:
            actions = [
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ]
            begin = time.perf_counter()
            pid = os.posix_spawn(_CTR, [*argv, *args], self._node.environment, file_actions=actions)
            _, status = os.waitpid(pid, 0)
            elapsed = time.perf_counter() - begin
        text = self._output.read_bytes()
        if status:
            raise RuntimeError(f"ctr {' '.join(args)}: {text.decode(errors='replace').strip()}")
        return elapsed, text
