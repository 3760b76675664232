"""The loader: a forked child that gets one module into the cache, reports, and exits.

Rules: it is thrown away, so it alone may compile, have threads, run into a limit or crash; the
forker never waits for it without watching its report. What it writes to stderr goes to the report
as well, since a crash of native code explains itself nowhere else; the last line is the report.
"""

import contextlib
import hashlib
import json
import math
import os
import resource
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from shim import errdefs
from shim.aot.cache import Artefact, Cache
from shim.aot.eviction import evict
from shim.aot.source import JSON, Loaded, ModuleSource
from shim.engine.compile import compile_module
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.kernel.constants import PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX
from shim.wasm.binary import Kind

_NICE = 10
# signals that the forker may handle or block, and that must end a loader
_DEFAULT_SIGNALS = (
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGXCPU,
)
_MAX_ERROR_CHARS = 8192
_MAX_TAIL_BYTES = 2048
# what wasmtime, its threads and the kernel say when RLIMIT_DATA is reached
_OUT_OF_MEMORY = ("memory allocation of", "os error 12", "os error 11", "ThreadPoolBuildError")


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What a loader may use: bytes of private memory, and seconds of wall time."""

    memory_bytes: int
    timeout_s: float


def run_loader(
    source: ModuleSource, cache: Cache, limits: CompileLimits, report_fd: int
) -> NoReturn:
    """Be the loader: called in a forked child that has one thread, ends the process.

    Args:
        source: where the module comes from.
        cache: where the artefact goes.
        limits: memory (RLIMIT_DATA) and wall time.
        report_fd: written once: see `parse_report`.
    """
    status = 1
    try:
        _become_own_process(source.kept_fds, report_fd)
        _limit(limits)
        artefact = _load(source, cache, limits)
        _report(
            report_fd,
            {
                "path": str(artefact.path),
                "kind": artefact.kind,
                "digest": artefact.digest,
                "facts": source.facts(),
            },
        )
        status = 0
    except (MemoryError, ResourceExhaustedError) as error:
        reason = str(error) or "no memory"
        _report_error(report_fd, ResourceExhaustedError(f"{reason} ({_memory_limit(limits)})"))
    except ShimError as error:
        _report_error(report_fd, error)
    except Exception as error:  # noqa: BLE001 - the last frame of this process
        _report_error(report_fd, InternalError(f"loader failed: {error!r}"))
    finally:
        os._exit(status)


def parse_report(status: int, output: bytes) -> Loaded:
    """Turn what a loader wrote to its report fd, until the end of the file, into its result.

    Args:
        status: its wait status, as waitpid returns it.
        output: all that it wrote.

    Raises:
        ShimError: the loader's own error, or the description of its death.
    """
    try:
        report = json.loads(output.rpartition(b"\n")[2])
        if "error" in report:
            error = getattr(errdefs, report["class"], InternalError)(report["error"])
        else:
            artefact = Artefact(Path(report["path"]), Kind(report["kind"]), report["digest"])
            return Loaded(artefact, report["facts"])
    except (ValueError, KeyError, TypeError):
        error = describe_loader_death(status, output[-_MAX_TAIL_BYTES:])
    raise error


def describe_loader_death(status: int, stderr_tail: bytes) -> ShimError:
    """Say why a loader ended without a report.

    Args:
        status: its wait status; an exit code, negative for a signal, is understood as well.
        stderr_tail: the end of what it wrote.
    """
    code = os.waitstatus_to_exitcode(status) if status >= 0 else status
    lines = stderr_tail.decode(errors="replace").strip().splitlines()
    for line in lines:
        if any(text in line for text in _OUT_OF_MEMORY):
            return ResourceExhaustedError(
                "compiling the module needs more memory than [compile] memory_bytes allows"
                f" ({line})"
            )
    if -code in {signal.SIGALRM, signal.SIGXCPU}:
        return DeadlineExceededError(
            "compiling the module took longer than [compile] timeout_s allows"
        )
    if -code == signal.SIGKILL:
        return UnavailableError(
            "the loader was killed (signal 9) while it compiled the module; most likely the node"
            " or the pod's cgroup ran out of memory"
        )
    words = " ".join(lines) or "it said nothing"
    how = f"died by signal {-code}" if code < 0 else f"exited with {code}"
    return InternalError(f"the loader {how} while it compiled the module: {words}")


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
    os.nice(_NICE)
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)
    cpu_s = math.ceil(limits.timeout_s * (os.cpu_count() or 1))
    _set_rlimit(resource.RLIMIT_CORE, 0)
    _set_rlimit(resource.RLIMIT_CPU, cpu_s)
    # RLIMIT_AS would count wasmtime's address space reservations, which cost nothing
    _set_rlimit(resource.RLIMIT_DATA, limits.memory_bytes)


def _set_rlimit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _load(source: ModuleSource, cache: Cache, limits: CompileLimits) -> Artefact:
    source.prepare()
    digest, binary = source.digest, b""
    if digest is None:
        binary = source.read(limits.memory_bytes)
        digest = hashlib.sha256(binary).hexdigest()
    artefact = cache.lookup(digest)
    if artefact is None:
        artefact = _compile(binary or source.read(limits.memory_bytes), digest, cache)
    source.remember(cache, artefact)
    evict(cache, artefact)
    return artefact


def _compile(binary: bytes, digest: str, cache: Cache) -> Artefact:
    with cache.writing(digest) as writer:
        # somebody else may have compiled it while we waited for the lock
        artefact = cache.lookup(digest)
        if artefact is None:
            compiled = compile_module(binary)
            artefact = writer.finish(compiled.kind, compiled.artefact)
    return artefact


def _memory_limit(limits: CompileLimits) -> str:
    return f"[compile] memory_bytes allows {limits.memory_bytes}"


def _report_error(report_fd: int, error: ShimError) -> None:
    _report(report_fd, {"error": str(error)[:_MAX_ERROR_CHARS], "class": type(error).__name__})


def _report(report_fd: int, members: dict[str, JSON]) -> None:
    # the forker may be gone or may have stopped reading; there is nobody else to tell
    with contextlib.suppress(OSError):
        data = b"\n" + json.dumps(members).encode()
        while data:
            data = data[os.write(report_fd, data) :]
