"""Plays the pod shim for the engine's tests: forks loaders and instances, and reads what they say.

Nothing is compiled or run in the test process itself, since it forks again and again.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from shim.aot.cache import Artefact, Cache
from shim.aot.limits import CompileLimits
from shim.aot.loader import run_loader
from shim.aot.report import Loaded, parse_report
from shim.aot.source import FileSource
from shim.engine.code import Code
from shim.engine.config import compatibility_key, new_engine
from shim.engine.run import Instance, Program
from tests.support import guests

LIMITS = CompileLimits(memory_bytes=2 << 30, timeout_s=120)
LARGE = 1 << 30


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status, negative for a signal, and its output."""

    status: int
    stdout: str
    stderr: str


def new_cache(directory: Path, max_bytes: int = LARGE, code: Code = Code.PLAIN) -> Cache:
    """A cache for the engine as it is."""
    return Cache(directory, max_bytes, compatibility_key(), code)


def write_module(folder: Path, module: str | bytes | Path, name: str = "app.wasm") -> Path:
    """Write a module text, a binary, or a copy of a file."""
    path = folder / name
    if isinstance(module, Path):
        path.write_bytes(module.read_bytes())
    else:
        path.write_bytes(guests.binary(module) if isinstance(module, str) else module)
    return path


def start_loader(
    module: Path, cache: Cache, limits: CompileLimits = LIMITS, identity: str = "image"
) -> tuple[int, int]:
    """Fork a loader; returns its pid and the fd of its report."""
    report, writer = os.pipe2(os.O_CLOEXEC)
    module_fd = os.open(module, os.O_RDONLY | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        run_loader(FileSource(module_fd, identity), cache, limits, writer)
    os.close(writer)
    os.close(module_fd)
    return pid, report


def finish_loader(pid: int, report: int) -> Artefact:
    """Wait for a loader; its error is raised."""
    return loaded_by(pid, report).artefact


def loaded_by(pid: int, report: int) -> Loaded:
    """All that a loader has to say; its error is raised."""
    with open(report, "rb") as reader:
        output = reader.read()
    return parse_report(os.waitpid(pid, 0)[1], output)


def load(
    module: Path, cache: Cache, limits: CompileLimits = LIMITS, identity: str = "image"
) -> Artefact:
    """Get a module's artefact from a loader."""
    return finish_loader(*start_loader(module, cache, limits, identity))


def find(module: Path, cache: Cache, identity: str = "image") -> Artefact | None:
    """Ask the cache for a module's artefact."""
    with module.open("rb") as file:
        return cache.find(file.fileno(), identity)


def program(
    artefact: Artefact,
    *args: str,
    function: str | None = None,
    env: tuple[str, ...] = (),
    cwd: str = "/",
) -> Program:
    """A program with `app` and `args` as its arguments."""
    return Program(artefact.path, artefact.kind, function, ("app", *args), env, cwd)


def run(engine: wasmtime.Engine, wanted: Program, root: Path | None = None) -> Ended:
    """Run a program in a forked process, below `root` (chroot) if given, as instances do."""

    def body() -> int:
        instance = Instance.load(engine, wanted)
        if root:
            os.chroot(root)
            os.chdir("/")
        instance.prepare()
        return instance.run()

    return forked(body)


def run_module(
    folder: Path, module: str | bytes | Path, *args: str, function: str | None = None
) -> Ended:
    """Compile and run a module."""
    artefact = load(write_module(folder, module), new_cache(folder / "cache"))
    return run(new_engine(), program(artefact, *args, function=function))


def forked(body: Callable[[], int]) -> Ended:
    """Run `body` in a forked process that ends with its result, without any clean-up."""
    out, out_writer = os.pipe2(os.O_CLOEXEC)
    err, err_writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        status = 199
        try:
            os.dup2(out_writer, 1)
            os.dup2(err_writer, 2)
            for number in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            status = body()
        except Exception as error:
            os.write(2, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)
    os.close(out_writer)
    os.close(err_writer)
    with open(out, "rb") as stdout, open(err, "rb") as stderr:
        texts = stdout.read().decode(), stderr.read().decode()
    return Ended(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *texts)
