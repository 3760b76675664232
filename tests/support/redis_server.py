"""A Redis server of a test's own, on a port of the loopback interface that nobody else has.

It may listen in another network namespace; the test reaches it by its socket in any case.
"""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import wait_for


class RedisServer:
    """Start and stop it; its data is gone with it."""

    def __init__(self, folder: Path, *options: str, network: Path | None = None) -> None:
        """Describe one: its folder, options of the command, and the network namespace."""
        self._folder = folder
        self.socket = folder / "redis.sock"
        self._prefix = ["nsenter", f"--net={network}", "--"] if network else []
        self._options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        """Where it is, as an annotation says it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [*self._prefix, "redis-server", "--port", str(self.port), "--save", ""]
        command += ["--unixsocket", str(self.socket), "--dir", str(self._folder), *self._options]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for("the Redis server", self._listens)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            return True
        return False


@contextlib.contextmanager
def redis_server(folder: Path, *options: str, network: Path | None = None) -> Iterator[RedisServer]:
    """One, for a with statement."""
    server = RedisServer(folder, *options, network=network)
    server.start()
    try:
        yield server
    finally:
        server.stop()
