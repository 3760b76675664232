"""A loader of the command's own: it compiles a module into the node's cache, as a pod's does.

Rules: the loader is forked (docs/decisions/0002-the-pod-shim-forks-its-loaders.md), so that this
process has one thread until it is; native code is made there and nowhere else.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from shim.aot.cache import Cache
from shim.aot.limits import CompileLimits
from shim.aot.loader import run_loader
from shim.aot.report import Loaded, parse_report
from shim.aot.source import ModuleSource
from shim.config import Config
from shim.engine.config import compatibility_key
from shim.errdefs import DeadlineExceededError
from shim.process.forking import fork

_READ_BYTES = 64 << 10
# The loader ends itself first, with better words.
_GRACE_S = 5.0
_TICK_S = 0.1


def node_cache(config: Config) -> Cache:
    """The node's cache.

    Raises:
        PermissionDeniedError: it is somebody else's.
    """
    return Cache(Path(config.cache.directory), config.cache.max_bytes, compatibility_key())


def compile_limits(config: Config) -> CompileLimits:
    """What the configuration gives a loader."""
    section = config.compile
    return CompileLimits(section.memory_bytes, section.timeout_s, section.parallel)


def load_module(
    source: ModuleSource, cache: Cache, limits: CompileLimits, tick: Callable[[], None]
) -> Loaded:
    """Get a module into the cache, by a loader where it is not there.

    Args:
        source: the module.
        cache: where its artefact goes.
        limits: of the loader.
        tick: called some times a second meanwhile; it must not start a thread.

    Raises:
        ShimError: the loader's own error, or that it took too long.
    """
    report, writer = os.pipe2(os.O_CLOEXEC)
    pid = fork()
    if pid == 0:
        os.close(report)
        run_loader(source, cache, limits, writer)
    os.close(writer)
    try:
        output = _read_all(report, time.monotonic() + limits.total_s + _GRACE_S, tick)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(report)
    return parse_report(os.waitpid(pid, 0)[1], output)


def _read_all(fd: int, deadline: float, tick: Callable[[], None]) -> bytes:
    chunks: list[bytes] = []
    while time.monotonic() < deadline:
        tick()
        if select.select([fd], [], [], _TICK_S)[0]:
            chunk = os.read(fd, _READ_BYTES)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    raise DeadlineExceededError("compiling the module took longer than [compile] timeout_s allows")
