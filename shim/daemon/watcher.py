"""Makes the watcher, a child of the daemon that compiles images when they are pulled, where the
configuration asks for it; and makes another where one has died.

Rules: it dies with the daemon (prctl(2) PR_SET_PDEATHSIG); its code is imported in the child alone.
"""

import os
import signal
import time
import traceback
from typing import NoReturn

from shim.config import Config
from shim.jail.inherited import drop_inherited
from shim.kernel.constants import PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX
from shim.process.forking import fork

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_STEADY_S = 60.0


class WatcherKeeper:
    """Keeps one watcher alive, if there is to be one."""

    def __init__(self, config: Config | None, compatibility_key: str) -> None:
        self._config = config if config and config.cache.warm_on_pull else None
        self._compatibility_key = compatibility_key
        # The read end of its pipe, whose other end closes when it dies.
        self.fd: int | None = None
        self._begun = self._due = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def timeout_ms(self) -> int | None:
        """How long the daemon may sleep before it calls `start_if_due` again; None is for ever."""
        if self._config is None or self.fd is not None:
            return None
        return max(int((self._due - time.monotonic()) * 1000) + 1, 0)

    def start_if_due(self) -> int | None:
        """Fork one, where there is to be one and none is; returns the descriptor to poll, if any.

        Raises:
            OSError: the kernel refuses another process.
            InternalError: this process has a second thread.
        """
        if self._config is None or self.fd is not None or time.monotonic() < self._due:
            return None
        self._begun = time.monotonic()
        self._due = self._begun + self._pause_s
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        daemon = os.getpid()
        try:
            pid = fork()
            if pid == 0:
                _be_watcher(self._config, self._compatibility_key, daemon, theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self.fd = ours
        return ours

    def ended(self) -> None:
        """It has died, and its descriptor is closed: make another, later if it was a short life."""
        self.fd = None
        if time.monotonic() - self._begun > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        self._due = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


def _be_watcher(config: Config, compatibility_key: str, daemon: int, alive: int) -> NoReturn:
    try:
        LINUX.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != daemon:
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        drop_inherited([2, alive])
        for _ in range(2):
            os.open(os.devnull, os.O_RDWR)
        from shim.watcher.main import Watcher  # noqa: PLC0415 (see above)

        Watcher(config, compatibility_key).run()
    except BaseException:  # noqa: BLE001 (the last frame of this process: say it and end)
        traceback.print_exc()
    finally:
        os._exit(1)
