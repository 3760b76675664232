"""Gets a module's compiled artefact: from the cache, or from a loader forked for it.

Rules: the pod shim never compiles; the loader is a child of its own, ended at the time limit; a
module's errors come back as the loader's words.
"""

import asyncio
import os
import signal

import structlog

from shim.aot.cache import Cache
from shim.aot.eviction import AskAlive, nobody_to_ask
from shim.aot.limits import CompileLimits
from shim.aot.loader import run_loader
from shim.aot.report import Loaded, parse_report
from shim.aot.source import ModuleSource
from shim.errdefs import DeadlineExceededError
from shim.process.forking import fork
from shim.process.reaper import Reaper

_READ_BYTES = 64 << 10
# The loader ends itself first, with better words; this is for one that cannot.
_GRACE_S = 1.0

_log = structlog.get_logger()


async def load_artefact(
    source: ModuleSource,
    cache: Cache,
    limits: CompileLimits,
    reaper: Reaper,
    ask_alive: AskAlive = nobody_to_ask,
) -> Loaded:
    """The artefact of a module; a loader may `ask_alive`, see `evict`.

    Raises:
        ShimError: the module is none, or compiling it took more than it may.
    """
    found = source.find(cache)
    if found is not None:
        return found
    loaded = await _run_loader(source, cache, limits, reaper, ask_alive)
    for reason in loaded.removed:
        _log.warning("artefact not believed and removed", reason=reason)
    if loaded.is_new:
        _log.info("module compiled", digest=loaded.artefact.digest)
    return loaded


async def _run_loader(
    source: ModuleSource,
    cache: Cache,
    limits: CompileLimits,
    reaper: Reaper,
    ask_alive: AskAlive,
) -> Loaded:
    report, report_writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = fork()
    except BaseException:
        os.close(report)
        os.close(report_writer)
        raise
    if pid == 0:
        os.close(report)
        run_loader(source, cache, limits, report_writer, ask_alive)
    os.close(report_writer)
    exited = reaper.watch(pid)
    try:
        output = await asyncio.wait_for(_read_all(report), limits.total_s + _GRACE_S)
        ended = await asyncio.wait_for(asyncio.shield(exited), _GRACE_S)
    except TimeoutError:
        raise DeadlineExceededError(
            f"the loader of the module did not end within {limits.total_s:g} s"
            " ([compile] timeout_s in the configuration)"
        ) from None
    finally:
        os.close(report)
        if reaper.is_unreaped(pid):
            os.kill(pid, signal.SIGKILL)
    # What parse_report wants is a wait status, or a signal's number below zero.
    return parse_report(128 - ended.status if ended.status > 128 else ended.status << 8, output)


async def _read_all(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    chunks: list[bytes] = []
    while True:
        readable = asyncio.Event()
        loop.add_reader(fd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(fd)
        chunk = os.read(fd, _READ_BYTES)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
