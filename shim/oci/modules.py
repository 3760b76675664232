"""wagi's `modules.toml`: which modules of a container answer which requests by CGI.

Rules: pure. The file comes from an image or a volume and is not trusted: nothing but
`InvalidArgumentError` leaves this module. What would not be honoured is refused by name, with the
way out, and never ignored. Source: wagi docs/configuring_and_running.md, "The modules.toml
Configuration File"; `environment` is ours, since wagi has no variables of one module.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError
from shim.oci.paths import safe_path

DEFAULT_NAME = "modules.toml"
MAX_BYTES = 64 << 10
MAX_MODULES = 100
SCRIPT_NAME, ARGS = "${SCRIPT_NAME}", "${ARGS}"
"""What `argv` may hold: the route without its `/...`, and the parts of the query."""

_EVERYTHING = "/..."
_ROUTE = re.compile(r"/[\x21\x24-\x3e\x40-\x7e]*").fullmatch
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:").match
_KEYS = ("route", "module", "entrypoint", "argv", "environment")
_START = "_start"
_MAX_SHOWN = 80
# tomllib takes time by the square of a dotted key's parts: half a minute for 64 KiB of one.
_MAX_DOTS = 128
# wagi's other keys, and those of its older versions.
_WAYS_OUT = {
    "allowed_hosts": "name the servers in the pod's annotation"
    " io.containerd.tandem.v1/allowed-outbound-hosts",
    "bindle_server": "put the module into the image",
    "host": "routes are paths; let an Ingress tell hosts apart",
    "http_max_concurrency": "a guest's requests are bounded already; leave it out",
    "repository": "put the module into the image",
    "volumes": "mount a volume in the pod; a module sees all files of its container",
}


@dataclass(frozen=True, slots=True)
class CgiModule:
    """One `[[module]]`.

    Attributes:
        route: a path, or with `/...` at its end everything below it, too.
        module: the path of its file without `.` and `..`, absolute or from the working directory,
            or the title of an artifact's module.
        entrypoint: the function to call; None is the module's own entry.
        argv: the words of its arguments, with `SCRIPT_NAME` and `ARGS` in them; None is CGI's.
        env: its variables, as `NAME=value`.
    """

    route: str
    module: str
    entrypoint: str | None = None
    argv: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()


def is_modules_file(path: str) -> bool:
    """Whether a container whose entry point is this path has a table of modules."""
    return path.endswith(".toml")


def is_route(text: str) -> bool:
    """Whether a text is a route."""
    return bool(_ROUTE(text)) and "..." not in text.removesuffix(_EVERYTHING)


def parse_modules(data: bytes, name: str) -> tuple[CgiModule, ...]:
    """Read the file.

    Args:
        data: all of it, or more than `MAX_BYTES` of it.
        name: how errors call it.

    Raises:
        InvalidArgumentError: it says what it cannot mean; the text names the module and the way
            out.
    """
    document = _load(data, name)
    for key in document:
        if key != "module":
            raise InvalidArgumentError(
                f"{name}: unknown key {key[:_MAX_SHOWN]!r}; it has one [[module]] for each route"
            )
    tables = document.get("module")
    if not isinstance(tables, list) or not tables:
        raise InvalidArgumentError(f"{name} has no [[module]]; write one for each route")
    if len(tables) > MAX_MODULES:
        raise InvalidArgumentError(
            f"{name} has {len(tables)} modules, and {MAX_MODULES} are the most: let one program"
            " answer several paths by a route that ends in /..., or use several containers"
        )
    modules = tuple(_module(table, f"{name}: module {n}") for n, table in enumerate(tables, 1))
    numbers: dict[str, int] = {}
    for number, module in enumerate(modules, 1):
        earlier = numbers.setdefault(module.route, number)
        if earlier != number:
            raise InvalidArgumentError(
                f"{name}: modules {earlier} and {number} have the same route"
                f" {module.route[:_MAX_SHOWN]!r}; give one of them another"
            )
    return modules


def _load(data: bytes, name: str) -> Mapping[str, object]:
    if len(data) > MAX_BYTES:
        raise InvalidArgumentError(f"{name} has more than {MAX_BYTES} bytes")
    for number, line in enumerate(data.splitlines(), 1):
        if line.count(b".") > _MAX_DOTS:
            raise InvalidArgumentError(f"{name}: line {number} has more than {_MAX_DOTS} dots")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{name} is not valid TOML: {error}") from error


def _module(table: object, where: str) -> CgiModule:
    if not isinstance(table, dict):
        raise InvalidArgumentError(f"{where} is no table; begin each one with [[module]]")
    route = _text(table, "route", where)
    if route is None or not is_route(route):
        raise InvalidArgumentError(
            f"{where}: route is {_shown(route)}; it is a path, such as /path, or /path/... for"
            " everything below it"
        )
    where = f"{where} (route {route[:_MAX_SHOWN]})"
    for key in table:
        if key not in _KEYS:
            way_out = _WAYS_OUT.get(key, f"a module has {', '.join(_KEYS)}")
            raise InvalidArgumentError(
                f"{where}: key {key[:_MAX_SHOWN]!r} is not honoured: {way_out}"
            )
    entrypoint = _text(table, "entrypoint", where)
    if entrypoint == "":
        raise InvalidArgumentError(f"{where}: entrypoint names no function; leave it out")
    return CgiModule(
        route,
        _path(_text(table, "module", where), where),
        None if entrypoint == _START else entrypoint,
        _argv(_text(table, "argv", where), where),
        _environment(table.get("environment", {}), where),
    )


def _text(table: Mapping[str, object], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(f"{where}: {key} must be a string")
    if value is not None and "\0" in value:
        raise InvalidArgumentError(f"{where}: {key} holds a NUL")
    return value


def _path(text: str | None, where: str) -> str:
    if not text:
        raise InvalidArgumentError(f"{where}: module is missing; it is the path of a Wasm file")
    path = text.removeprefix("file://")
    if _SCHEME(path) or (path != text and not path.startswith("/")):
        raise InvalidArgumentError(
            f"{where}: module is {_shown(text)}, which is fetched from nowhere: put the module into"
            " the image, and write its path, or file:///path"
        )
    return "/" * path.startswith("/") + safe_path(path, f"{where}: module")


def _argv(text: str | None, where: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    words = tuple(text.split())
    if not words:
        raise InvalidArgumentError(f"{where}: argv is empty; leave it out for CGI's own")
    for word in words:
        rest = "" if word == ARGS else word.replace(SCRIPT_NAME, "")
        if "${" in rest:
            raise InvalidArgumentError(
                f"{where}: argv has the word {_shown(word)}; it may have {SCRIPT_NAME}, and"
                f" {ARGS} as a word of its own"
            )
    return words


def _environment(table: object, where: str) -> tuple[str, ...]:
    if not isinstance(table, dict) or not all(isinstance(each, str) for each in table.values()):
        raise InvalidArgumentError(f"{where}: environment must be a table of strings")
    for name, value in table.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidArgumentError(
                f"{where}: environment has {_shown(name)}, which is no variable: its name is empty"
                " or holds a =, or there is a NUL"
            )
    return tuple(f"{name}={value}" for name, value in table.items())


def _shown(text: str | None) -> str:
    return "missing" if text is None else repr(text[:_MAX_SHOWN])
