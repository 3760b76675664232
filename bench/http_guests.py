"""What the benchmark `http` compares: components made elsewhere, and the yardstick for serving.

Made once and kept in `.cache/guests`: a JavaScript component by componentize-js, a Python component
by componentize-py, and the wasmtime command, whose package is data here.
"""

import subprocess
from pathlib import Path

from tests.support import guests, web_guests

_SOURCES = Path(__file__).parent / "guests" / "http"


def javascript() -> Path:
    """A component that answers `fetch` events, 13 MB: one of them in an instance's life."""
    return web_guests.javascript(_SOURCES / "app.js")


def javascript_handler() -> Path:
    """A component that exports the handler itself, which may be called again."""
    return web_guests.javascript(_SOURCES / "raw.js")


def python() -> Path:
    """A component with CPython in it, 18 MB."""
    return web_guests.python(_SOURCES)


def wasmtime_command() -> Path:
    """The wasmtime command, which has `serve`."""
    command = guests.installed("wasmtime", _SOURCES / "requirements.lock") / "wasmtime_cli/wasmtime"
    # the package forgets it
    command.chmod(0o755)
    return command


def compiled(component: Path) -> Path:
    """The component as `wasmtime serve` takes it without compiling."""
    command = wasmtime_command()

    def build(target: Path) -> None:
        subprocess.run([command, "compile", "-o", target, component], check=True)

    return guests.made(
        "http-compiled", f"{command.parent}{component.name}".encode(), ".cwasm", build
    )
