"""The loader: a forked child that gets one module into the cache, reports, and exits.

Rules: it is thrown away, so it alone may compile, have threads, run into a limit or crash; the
forker never waits for it without watching its report. It takes the lock of the module's entry
before a slot of the node, so that those who wait for the same module hold no slot.
"""

import contextlib
import hashlib
import math
import os
import resource
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from shim.aot.cache import Cache
from shim.aot.entry import Artefact
from shim.aot.eviction import AskAlive, evict, nobody_to_ask
from shim.aot.limits import CompileLimits
from shim.aot.locks import slot
from shim.aot.priority import step_back
from shim.aot.report import Loaded, encode_error, encode_report
from shim.aot.source import ModuleSource
from shim.engine.code import Code
from shim.engine.compile import Compiled, compile_module
from shim.errdefs import (
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.kernel.constants import PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX

# signals that the forker may handle or block, and that must end a loader
_DEFAULT_SIGNALS = (
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGXCPU,
)


def run_loader(
    source: ModuleSource,
    cache: Cache,
    limits: CompileLimits,
    report_fd: int,
    ask_alive: AskAlive = nobody_to_ask,
) -> NoReturn:
    """Be the loader: called in a forked child that has one thread, ends the process.

    Args:
        source: where the module comes from.
        cache: where the artefact goes.
        limits: what this may take.
        report_fd: written once: see `parse_report`.
        ask_alive: see `evict`.
    """
    status = 1
    try:
        _become_own_process(source.kept_fds, report_fd)
        _limit(limits)
        _report(report_fd, encode_report(_load(source, cache, limits, ask_alive)))
        status = 0
    except MemoryError as error:
        _report(report_fd, encode_error(_too_little_memory(error, limits)))
    except ShimError as error:
        _report(report_fd, encode_error(error))
    except Exception as error:  # noqa: BLE001 - the last frame of this process
        _report(report_fd, encode_error(InternalError(f"loader failed: {error!r}")))
    finally:
        os._exit(status)


def _load(source: ModuleSource, cache: Cache, limits: CompileLimits, ask_alive: AskAlive) -> Loaded:
    source.prepare()
    if source.is_cgi:
        cache = cache.of(Code.INTERRUPTIBLE)
    digest = source.digest or _digest_of(source.read(limits.memory_bytes))
    found = cache.lookup(digest, source.image)
    made = _Made(found) if found else _verify_or_compile(source, digest, cache, limits)
    source.remember(cache, made.artefact)
    evict(cache, made.artefact, ask_alive)
    return Loaded(made.artefact, source.facts(), made.is_new, made.removed)


def _verify_or_compile(
    source: ModuleSource, digest: str, cache: Cache, limits: CompileLimits
) -> "_Made":
    _wait_at_most(limits)
    with cache.writing(digest) as entry:
        # somebody else may have compiled it while we waited for the lock
        artefact = cache.lookup(digest, source.image) or entry.verify(source.image)
        if artefact is not None:
            return _Made(artefact, removed=tuple(entry.removed))
        with slot(cache.slots, limits.parallel):
            _work_at_most(limits)
            # only now: those who wait for a slot need not have a module in memory
            binary = source.read(limits.memory_bytes)
            if _digest_of(binary) != digest:
                raise InvalidArgumentError("the module changed while it was read")
            compiled = _compile(binary, limits, cache.code)
            artefact = entry.finish(compiled.kind, compiled.artefact, len(binary), source.image)
        return _Made(artefact, is_new=True, removed=tuple(entry.removed))


def _compile(binary: bytes, limits: CompileLimits, code: Code) -> Compiled:
    try:
        return compile_module(binary, code=code)
    except ResourceExhaustedError as error:
        raise _too_little_memory(error, limits) from error


def _too_little_memory(error: Exception, limits: CompileLimits) -> ResourceExhaustedError:
    reason = str(error) or "no memory"
    return ResourceExhaustedError(f"{reason} ([compile] memory_bytes allows {limits.memory_bytes})")


@dataclass(frozen=True, slots=True)
class _Made:
    artefact: Artefact
    is_new: bool = False
    removed: tuple[str, ...] = ()


def _digest_of(binary: bytes) -> str:
    return hashlib.sha256(binary).hexdigest()


def _become_own_process(kept_fds: Iterable[int], report_fd: int) -> None:
    parent = os.getppid()
    LINUX.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "parent-death signal")
    if os.getppid() != parent:
        # it died before the kernel knew that we want to follow
        os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # A panic for want of memory that prints a backtrace wants more, and waits for itself for ever.
    os.environ["RUST_BACKTRACE"] = "0"
    null = os.open(os.devnull, os.O_RDWR)
    for fd, to in ((null, 0), (null, 1), (report_fd, 2)):
        os.dup2(fd, to)
    kept = sorted({2, *kept_fds, report_fd})
    for low, high in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)


def _limit(limits: CompileLimits) -> None:
    if limits.in_background:
        step_back()
    _work_at_most(limits)
    cpu_s = math.ceil(2 * limits.timeout_s * (os.cpu_count() or 1))
    _set_rlimit(resource.RLIMIT_CORE, 0)
    _set_rlimit(resource.RLIMIT_CPU, cpu_s)
    # RLIMIT_AS would count wasmtime's address space reservations, which cost nothing
    _set_rlimit(resource.RLIMIT_DATA, limits.memory_bytes)


def _work_at_most(limits: CompileLimits) -> None:
    # Native code is ended by the signal alone; whoever reaps this process knows what that means.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)


def _wait_at_most(limits: CompileLimits) -> None:
    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise UnavailableError(
            f"the module's turn to be compiled did not come within {limits.wait_s:g} s: this node"
            f" compiles {limits.parallel} at once ([compile] parallel); the next start tries again"
        )

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limits.wait_s)


def _set_rlimit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _report(report_fd: int, data: bytes) -> None:
    # the forker may be gone or may have stopped reading; there is nobody else to tell
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(report_fd, data) :]
