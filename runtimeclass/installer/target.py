"""Which file of the node's gets the handler, and which text it then holds.

Rules: pure but for reading the node. containerd 1.x merges an imported file's plugins by replacing
the whole plugin, CRI's other settings and runtimes included (measured on 1.6 and 1.7), so there the
table goes into the one file whose CRI table counts; 2.x merges deeply, if the imported file has the
main file's version (with another, one of the two is lost, measured on 2.1). So a file of our own is
used where containerd is 2.x, its configuration imports a directory already, and in that version.
"""

import os
from dataclasses import dataclass

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.layouts import Place
from runtimeclass.installer.toml_edit import (
    HANDLER,
    PLUGINS,
    Handler,
    block,
    drop_in,
    parse,
    schema_of,
    with_handler,
    without_handler,
)

_NAME = "tandem.toml"
_BASE = '{{ template "base" . }}\n'
# k3s and rke2 have the base template since September 2023, with this containerd.
_BASE_SINCE = (1, 7, 3)
_DISABLED = {"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}
_MAX_IMPORTS = 64


@dataclass(frozen=True, slots=True)
class Target:
    """A file to write, `text` it shall hold, and `why` it is this one."""

    path: str
    text: str
    why: str


def choose_target(
    host: Host, place: Place, containerd: tuple[int, ...], handler: Handler
) -> Target:
    """What to write where.

    Raises:
        NodeError: this configuration cannot be changed, for a reason that the text names.
    """
    config, method = place.config, place.layout.method
    text = host.read(config)
    document = parse(text or "", config)
    schema = schema_of(document, config, containerd)
    disabled = _DISABLED.intersection(map(str, document.get("disabled_plugins") or []))
    if disabled:
        raise NodeError(
            f"{config} disables the plugin {disabled.pop()}, so kubelet cannot use this containerd:"
            " take it out of disabled_plugins, restart containerd, then call again"
        )
    if method == "go-template":
        return _rancher(host, place, containerd, schema, handler)
    if method == "k0s" and "k0s_managed=true" in (text or "").partition("\n")[0]:
        path = f"{place.layout.source}/{_NAME}"
        return Target(path, drop_in(schema, handler), "k0s merges the files of this directory")
    if method == "template":
        source = place.layout.source
        given = host.read(source) or ""
        schema = schema_of(parse(given, source), source, containerd)
        new = with_handler(given, source, schema, handler, containerd)
        return Target(source, new, f"{config} is made of it")
    directory = _imported_directory(host, config, document) if containerd >= (2,) else ""
    if directory:
        path = f"{directory}/{_NAME}"
        return Target(path, drop_in(schema, handler), f"{config} imports this directory")
    path = _effective(host, config, schema) if containerd < (2,) else config
    given = host.read(path) or ""
    own = schema_of(parse(given, path), path, containerd)
    why = "containerd reads it" if path == config else f"its CRI table replaces that of {config}"
    return Target(path, with_handler(given, path, own, handler, containerd), why)


def cut_handler(path: str, data: bytes) -> bytes | None:
    """Our part cut out of a file that somebody else changed since; None where it has none.

    Raises:
        NodeError: it has a form out of which nothing can be cut.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NodeError(f"{path} is no text: take out the runtime tandem by hand") from error
    if path.endswith(".tmpl"):
        for schema in PLUGINS:
            start = text.find(block(schema, Handler()).splitlines()[0])
            if start >= 0:
                return (text[:start].removesuffix("\n") + _after_block(text[start:])).encode()
        return None
    cut = without_handler(text, path)
    return None if cut is None else cut.encode()


def has_handler(path: str, data: bytes) -> bool:
    """Whether a file of containerd's configuration has a runtime of our name, whoever's it is."""
    text = data.decode(errors="replace")
    if path.endswith(".tmpl"):
        return f".runtimes.{HANDLER}]" in text
    return without_handler(text, path) is not None


def _after_block(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines[2:], 2):
        if (line.startswith("[") and f".runtimes.{HANDLER}" not in line) or line.startswith("{{"):
            return "".join(lines[index:])
    return ""


def _rancher(
    host: Host, place: Place, containerd: tuple[int, ...], schema: int, handler: Handler
) -> Target:
    """k3s and rke2 write the configuration anew at each start, from a template in Go's language."""
    source = place.layout.source
    rendered = parse(host.read(place.config) or "", place.config)
    directory = _imported_directory(host, place.config, rendered) if containerd >= (2,) else ""
    if directory:
        why = f"{place.config} imports this directory"
        return Target(f"{directory}/{_NAME}", drop_in(schema, handler), why)
    name = "config-v3.toml.tmpl" if schema >= 3 else "config.toml.tmpl"
    path = f"{source}/{name}"
    template = host.read(path)
    ours = block(schema, handler)
    if template is None and containerd < _BASE_SINCE:
        raise NodeError(
            f"this {place.layout.name} is older than September 2023 and has no base template: copy"
            f" {place.config} to {path}, or upgrade, then call again"
        )
    why = f"{place.layout.name} makes {place.config} of it"
    if template is None:
        return Target(path, f"{_BASE}\n{ours}", why)
    if ours in template:
        return Target(path, template, why)
    rest = cut_handler(path, template.encode())
    given = template if rest is None else rest.decode()
    if f".runtimes.{HANDLER}]" in given:
        raise NodeError(f"{path} has a runtime tandem that is not ours: take it out first")
    return Target(path, f"{given.rstrip()}\n\n{ours}", why)


def _imported_directory(host: Host, config: str, document: dict[str, object]) -> str:
    """A directory of which the configuration imports every file, and that is there or can be."""
    imports = document.get("imports")
    for pattern in imports if isinstance(imports, list) else []:
        directory, last = os.path.split(_absolute(config, str(pattern)))
        if last in {"*.toml", "*"} and not host.writable(directory):
            return directory
    return ""


def _effective(host: Host, config: str, schema: int) -> str:
    """The last of the main file and its imports that has a CRI table: for 1.x, the only one."""
    found = config
    seen: list[str] = []
    waiting = [config]
    while waiting and len(seen) < _MAX_IMPORTS:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.append(path)
        document = parse(host.read(path) or "", path)
        plugins = document.get("plugins")
        if isinstance(plugins, dict) and PLUGINS[schema] in plugins:
            found = path
        imports = document.get("imports")
        for pattern in imports if isinstance(imports, list) else []:
            waiting += host.glob(_absolute(path, str(pattern)))
    return found


def _absolute(config: str, pattern: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(config), pattern))  # noqa: PTH118, PTH120
