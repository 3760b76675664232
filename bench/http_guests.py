"""What the benchmark `http` compares: components made elsewhere, and the yardstick for serving.

Made once and kept in `.cache/guests`: a JavaScript component by componentize-js, a Python component
by componentize-py, and the wasmtime command, whose package is data here.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import guests

_SOURCES = Path(__file__).parent / "guests" / "http"
# The one that componentize-js 0.23 knows `fetch` events for; its tools bring a later one.
_WIT_VERSION, _WIT_BROUGHT = "0.2.10", "0.2.12"
_WORLD = f"package tandem:bench;\nworld proxy {{ include wasi:http/proxy@{_WIT_VERSION}; }}\n"


def javascript() -> Path:
    """A component that answers `fetch` events, 13 MB: one of them in an instance's life."""
    return _javascript("http-js", "app.js")


def javascript_handler() -> Path:
    """A component that exports the handler itself, which may be called again."""
    return _javascript("http-js-handler", "raw.js")


def _javascript(name: str, source: str) -> Path:
    tools = _tools()

    def build(target: Path) -> None:
        # The tools are found beside the script.
        script = shutil.copy(_SOURCES / "build.mjs", tools / "build.mjs")
        command: list[str | Path] = [
            "node",
            script,
            _SOURCES / source,
            tools / "interfaces",
            target,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return guests.made(name, _recipe(source, "build.mjs", "npm.lock"), ".wasm", build)


def python() -> Path:
    """A component with CPython in it, 18 MB."""
    tools, packages = _tools(), guests.packages()

    def build(target: Path) -> None:
        code = "import sys, componentize_py; sys.argv[0] = 'x'; componentize_py.script()"
        options: list[str | Path] = ["--quiet", "-d", tools / "interfaces", "-w", "proxy"]
        verb: list[str | Path] = ["componentize", "-p", _SOURCES, "app", "-o", target]
        subprocess.run(
            [sys.executable, "-c", code, *options, *verb],
            env={"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"},
            check=True,
        )

    recipe = _recipe("app.py", "npm.lock") + guests.LOCK.read_bytes()
    return guests.made("http-py", recipe, ".wasm", build)


def wasmtime_command() -> Path:
    """The wasmtime command, which has `serve`."""
    lock = _SOURCES / "requirements.lock"

    def build(target: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--target", target, "-r", lock], check=True
        )
        # the package forgets it
        (target / "wasmtime_cli" / "wasmtime").chmod(0o755)

    return guests.made("wasmtime", lock.read_bytes(), "", build) / "wasmtime_cli" / "wasmtime"


def compiled(component: Path) -> Path:
    """The component as `wasmtime serve` takes it without compiling."""
    command = wasmtime_command()

    def build(target: Path) -> None:
        subprocess.run([command, "compile", "-o", target, component], check=True)

    return guests.made(
        "http-compiled", f"{command.parent}{component.name}".encode(), ".cwasm", build
    )


def _tools() -> Path:
    if shutil.which("npm") is None:
        raise RuntimeError("the benchmark http makes its guests with npm: apt-get install npm")

    def build(target: Path) -> None:
        target.mkdir()
        shutil.copy(_SOURCES / "package.json", target / "package.json")
        shutil.copy(_SOURCES / "npm.lock", target / "package-lock.json")
        command = ["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        brought = target / "node_modules/@bytecodealliance/jco/lib/wit/builtin" / _WIT_BROUGHT
        interfaces = target / "interfaces"
        shutil.copytree(brought, interfaces / "deps")
        for file in interfaces.rglob("*.wit"):
            file.write_text(file.read_text().replace(_WIT_BROUGHT, _WIT_VERSION))
        (interfaces / "world.wit").write_text(_WORLD)

    return guests.made("http-tools", _recipe("package.json", "npm.lock"), "", build)


def _recipe(*names: str) -> bytes:
    return b"".join((_SOURCES / name).read_bytes() for name in names)
