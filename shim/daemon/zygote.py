"""tandemd, the node daemon: a process that has everything imported and does nothing but fork.

Each launcher's call is served by a child; a child that serves the first `start` of a pod becomes
that pod's shim. The children are forked ahead: a few spares wait in accept, already warm, so that
neither the fork nor the page faults after it are part of anybody's waiting. Rules: one thread for
life, asserted before every fork; no wasm is run or compiled here; pods outlive the daemon, so its
end touches nothing but its socket and its pid file; a spare dies with the daemon
(prctl(2) PR_SET_PDEATHSIG) until it has work.
"""

import contextlib
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from shim import sockets
from shim.config import Config
from shim.daemon.serving import serve_launcher, warm_up
from shim.daemon.watcher import WatcherKeeper
from shim.errdefs import ShimError
from shim.kernel.constants import PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX
from shim.pod.main import Host, run_pod
from shim.process.forking import fork
from shim.rundir import RunDir

_SPARES = 2
_FORK_RETRY_S = 0.2
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# See shim.pod.rehearsal.
_REHEARSALS = 8


class _StopRequested(BaseException):
    """SIGTERM or SIGINT arrived."""


class Zygote:
    """The daemon; `lock_fd` is its lock, held; no configuration where it cannot be read."""

    def __init__(self, run_dir: RunDir, lock_fd: int, host: Host, config: Config | None) -> None:
        self._run_dir = run_dir
        self._lock_fd = lock_fd
        self._host = host
        self._watcher = WatcherKeeper(config, host.compatibility_key)
        self._pid = os.getpid()
        # The read end of each spare's pipe; its other end closes when the spare has work, or dies.
        self._spares: set[int] = set()
        run_dir.socket.unlink(missing_ok=True)
        self._listener = sockets.listen(run_dir.socket)

    def serve(self) -> None:
        """Serve launchers until SIGTERM."""
        self._run_dir.daemon_pid.write_text(str(self._pid))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for number in _STOP_SIGNALS:
            signal.signal(number, _stop)
        with contextlib.suppress(_StopRequested):
            for _ in range(_REHEARSALS):
                warm_up(self._run_dir)
            # What is alive now is alive in every pod shim: keep the collector from touching, and so
            # copying, it.
            gc.collect()
            gc.freeze()
            self._keep_spares()
        # No spare is killed here: one that has work meanwhile may be a pod's shim. The others go
        # with this process, by their parent-death signal.
        for path in (self._run_dir.socket, self._run_dir.daemon_pid):
            path.unlink(missing_ok=True)

    def _keep_spares(self) -> None:
        poll = select.poll()
        while True:
            while len(self._spares) < _SPARES:
                try:
                    poll.register(self._fork_spare(), select.POLLHUP)
                except (OSError, ShimError) as error:
                    report(f"cannot fork: {error}")
                    time.sleep(_FORK_RETRY_S)
            # After the spares, for whom somebody may be waiting.
            if (watcher := self._fork_watcher()) is not None:
                poll.register(watcher, select.POLLHUP)
            for fd, _ in poll.poll(self._watcher.timeout_ms):
                poll.unregister(fd)
                os.close(fd)
                self._spares.discard(fd)
                if fd == self._watcher.fd:
                    self._watcher.ended()

    def _fork_watcher(self) -> int | None:
        with _stop_signals_blocked():
            try:
                return self._watcher.start_if_due()
            except (OSError, ShimError) as error:
                report(f"cannot fork the watcher: {error}")
                return None

    def _fork_spare(self) -> int:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            with _stop_signals_blocked():
                pid = fork()
                if pid == 0:
                    self._be_spare(ours, theirs)
        except BaseException:
            os.close(ours)
            os.close(theirs)
            raise
        os.close(theirs)
        self._spares.add(ours)
        return ours

    def _be_spare(self, parents_end: int, working: int) -> NoReturn:
        status = 1
        try:
            LINUX.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:
                os._exit(0)
            for number in (*_STOP_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for fd in (parents_end, self._lock_fd, *self._spares, self._watcher.fd):
                if fd is not None:
                    os.close(fd)
            os.setsid()
            warm_up(self._run_dir)
            self._host.rehearse()
            self._serve(working)
            status = 0
        except BaseException:  # noqa: BLE001 (the last frame of this process: say it and end)
            traceback.print_exc()
        finally:
            os._exit(status)

    def _serve(self, working: int) -> None:
        """Serve calls until one makes this process part of a pod or a clean-up; see that
        through."""
        in_pool = True

        def leave_pool() -> None:
            nonlocal in_pool
            if not in_pool:
                return
            in_pool = False
            LINUX.prctl(PR_SET_PDEATHSIG, 0)
            self._listener.close()
            os.close(working)

        while in_pool:
            connection, _ = self._listener.accept()
            with contextlib.suppress(ConnectionError):
                pod = serve_launcher(connection, self._run_dir, leave_pool)
                if pod is not None:
                    run_pod(pod, self._host)


@contextlib.contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """What a handler raises inside a hook of os.fork is swallowed there, and the signal with
    it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def report(text: str) -> None:
    """One line on the daemon's own stderr: its log file, or the journal."""
    sys.stderr.write(f"tandemd: {text}\n")
    sys.stderr.flush()
