"""A loader whose caller has nothing else to do, as the command and the watcher.

Rules: the caller has one thread, since this forks; native code is made in the loader and nowhere
else (docs/decisions/0002-the-pod-shim-forks-its-loaders.md). The pod shim has a loop to serve
meanwhile, and a way of its own (`shim.pod.loading`).
"""

import os
import select
import signal
import time
from collections.abc import Callable

from shim.aot.cache import Cache
from shim.aot.eviction import AskAlive, nobody_to_ask
from shim.aot.limits import CompileLimits
from shim.aot.loader import run_loader
from shim.aot.report import Loaded, parse_report
from shim.aot.source import ModuleSource
from shim.errdefs import DeadlineExceededError
from shim.process.forking import fork

_READ_BYTES = 64 << 10
# The loader ends itself first, with better words.
_GRACE_S = 5.0
_TICK_S = 0.1


def load_waiting(
    source: ModuleSource,
    cache: Cache,
    limits: CompileLimits,
    *,
    tick: Callable[[], None] = lambda: None,
    alive: AskAlive = nobody_to_ask,
) -> Loaded:
    """Get a module into the cache, by a loader where it is not there.

    Args:
        source: the module.
        cache: where its artefact goes.
        limits: of the loader.
        tick: called some times a second meanwhile; it must not start a thread.
        alive: see `shim.aot.eviction.evict`; called in the loader.

    Raises:
        ShimError: the loader's own error, or that it took too long.
    """
    report, writer = os.pipe2(os.O_CLOEXEC)
    pid = fork()
    if pid == 0:
        os.close(report)
        run_loader(source, cache, limits, writer, alive)
    os.close(writer)
    try:
        output = _read_all(report, limits.total_s + _GRACE_S, tick)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(report)
    return parse_report(os.waitpid(pid, 0)[1], output)


def _read_all(fd: int, timeout_s: float, tick: Callable[[], None]) -> bytes:
    chunks: list[bytes] = []
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        tick()
        if select.select([fd], [], [], _TICK_S)[0]:
            chunk = os.read(fd, _READ_BYTES)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    raise DeadlineExceededError(f"the loader of the module did not end within {timeout_s:g} s")
