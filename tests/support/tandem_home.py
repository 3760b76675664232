"""A run directory, a configuration and a cache of Tandem's own for one test session, with the end
of the daemon that launchers start there.
"""

import contextlib
import os
import signal
from pathlib import Path

from tests.support import leaks


class TandemHome:
    """What TANDEM_SOCKET and TANDEM_CONFIG point to. Keep `directory` short: sun_path."""

    def __init__(self, directory: Path, runtime: str = "runc", transport: str = "ttrpc") -> None:
        self.directory = directory
        self.run_dir = directory / "run"
        self.cache = directory / "cache"
        self.socket = self.run_dir / "tandemd.sock"
        self.config = directory / "config.toml"
        self.run_dir.mkdir(mode=0o700, parents=True)
        self.config.write_text(
            f'[cache]\ndirectory = "{self.cache}"\n[linux]\nruntime = "{runtime}"\n'
            f'[shim]\ntransport = "{transport}"\n'
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"TANDEM_SOCKET": str(self.socket), "TANDEM_CONFIG": str(self.config)}

    @property
    def daemon_pid(self) -> int | None:
        """The pid of the daemon; None where none runs."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.run_dir / "tandemd.pid").read_text())
            if pid in {process.pid for process in leaks.descendants(os.getpid())}:
                return pid
        return None

    def stop_daemon(self, number: int = signal.SIGTERM) -> None:
        """End the daemon and wait until it is gone."""
        pid = self.daemon_pid
        if pid is None:
            return
        os.kill(pid, number)
        if not leaks.wait_until(lambda: not _exists(pid)):
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"the daemon {pid} outlived signal {number}")


def _exists(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists()
