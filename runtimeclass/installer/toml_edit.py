"""The handler's table in a configuration of containerd's: put in, taken out, judged.

Rules: pure, text to text. No result is believed: it is parsed again, and must hold exactly what the
old text held and the table. What a person wrote stays as it is, comments and form included: the
table is appended, and only where TOML does not allow that (an inline table, an earlier `tandem`) is
the document edited by tomlkit. Source: containerd's documentation of its configuration, versions 2
to 4, and `containerd config dump` of 1.6, 1.7 and 2.1.
"""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from runtimeclass.installer.errors import NodeError

HANDLER = "tandem"
RUNTIME_TYPE = "io.containerd.tandem.v1"
# Of a pod's and a container's annotations, those that the shim reads.
ANNOTATIONS = ("io.containerd.tandem.v1/*", "module.wasm.image/*")
# By the version of the file, whose table of runtimes containerd reads.
PLUGINS = {
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
    4: "io.containerd.cri.v1.runtime",
}
_NOTE = "# Tandem's, by its installer; `tandem-installer uninstall` takes it out.\n"
# containerd 1.x has a runtime by default, and drops it where the configuration has another.
_DEFAULT = "runc"
_DEFAULT_TABLE = {"runtime_type": "io.containerd.runc.v2"}
_DEFAULT_NOTE = (
    "# containerd's own default, which it has not by itself where another one is named.\n"
)


@dataclass(frozen=True, slots=True)
class Handler:
    """What containerd is told of the handler. `path` names the binary where PATH does not lead to
    it; `options` are those of containerd's table of that name."""

    path: str = ""
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def table(self) -> dict[str, object]:
        """As containerd's configuration has it."""
        table: dict[str, object] = {"runtime_type": RUNTIME_TYPE}
        if self.path:
            table["runtime_path"] = self.path
        table["pod_annotations"] = list(ANNOTATIONS)
        table["container_annotations"] = list(ANNOTATIONS)
        if self.options:
            table["options"] = dict(self.options)
        return table


def parse(text: str, name: str) -> dict[str, Any]:
    """Read a TOML.

    Raises:
        NodeError: it is none.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NodeError(f"{name} is not valid TOML ({error}): mend it first") from error


def schema_of(document: Mapping[str, Any], name: str, containerd: Sequence[int]) -> int:
    """The version of a configuration, which `containerd` of that version must read as it is meant.

    An empty document is of the version that this containerd writes.

    Raises:
        NodeError: it is version 1, unknown, or not read by this containerd.
    """
    version = document.get("version")
    if version is None and not document:
        return 2 if tuple(containerd) < (2,) else 3
    if version is None or version == 1:
        raise NodeError(
            f"{name} is a configuration of version 1, in which containerd reads no runtime's table:"
            f" have `containerd --config {name} config migrate` write it anew (or say `version = 2`"
            " and name plugins in full), restart containerd, then call again"
        )
    if version not in PLUGINS:
        raise NodeError(f"{name} has version {version!r}, which this installer does not know")
    # 1.6 reads such a file and silently passes over its plugins; 1.7 does not start with it.
    if version > 2 and tuple(containerd) < (2,):
        running = ".".join(map(str, containerd))
        raise NodeError(
            f"{name} has version {version}, and containerd {running} reads 2 at most: write it for"
            " version 2 first"
        )
    return int(version)


def with_handler(
    text: str, name: str, schema: int, handler: Handler, containerd: Sequence[int]
) -> str:
    """The text with the handler's table; the same text where it has that already.

    A containerd of version 1.x that has no runtime but its default is told that one, too.

    Raises:
        NodeError: it is no TOML, or has a form into which no table can be put.
    """
    old = parse(text, name)
    wanted = copy.deepcopy(old)
    wanted.setdefault("version", schema)
    runtimes = wanted
    for key in ("plugins", PLUGINS[schema], "containerd", "runtimes"):
        runtimes = runtimes.setdefault(key, {})
        if not isinstance(runtimes, dict):
            raise NodeError(f"{name}: {key} is no table: mend it first")
    tables: dict[str, Mapping[str, object]] = {HANDLER: handler.table}
    if tuple(containerd) < (2,) and not runtimes.keys() - {HANDLER}:
        tables = {_DEFAULT: _DEFAULT_TABLE, **tables}
    runtimes.update(copy.deepcopy(tables))
    if wanted == old:
        return text
    ours = _default_block(schema) * (_DEFAULT in tables) + block(schema, handler)
    for result in (_appended(text, old, schema, ours), _edited(text, schema, tables)):
        if result is not None and _is(result, wanted):
            return result
    raise NodeError(
        f"{name} has a form into which no table can be put: add to it by hand\n"
        f"{block(schema, handler)}"
    )


def without_handler(text: str, name: str) -> str | None:
    """The text without the handler's table; None where it has none.

    Raises:
        NodeError: it is no TOML, or has a form out of which the table cannot be taken.
    """
    wanted = parse(text, name)
    gone: set[str] = set()
    for plugin in set(PLUGINS.values()):
        tables: Any = wanted
        for key in ("plugins", plugin, "containerd", "runtimes"):
            tables = tables.get(key) if isinstance(tables, dict) else None
        if isinstance(tables, dict) and tables.pop(HANDLER, None) is not None:
            gone.add(HANDLER)
            # Another runtime that has come since would have containerd drop its default again.
            if _DEFAULT_NOTE in text and tables == {_DEFAULT: _DEFAULT_TABLE}:
                gone.add(_DEFAULT)
                tables.clear()
    if not gone:
        return None
    for result in (_unappended(text), _unedited(text, gone)):
        if result is not None and _is(result, wanted, loosely=True):
            return result
    raise NodeError(
        f"the table of the runtime {HANDLER} cannot be cut out of {name}: do it by hand"
    )


def drop_in(schema: int, handler: Handler) -> str:
    """A file of its own, for containerd to merge."""
    return f"version = {schema}\n\n{block(schema, handler)}"


def block(schema: int, handler: Handler) -> str:
    """The handler's tables alone."""
    where = f"plugins.'{PLUGINS[schema]}'.containerd.runtimes.{HANDLER}"
    table = handler.table
    options = table.pop("options", None)
    text = f"{_NOTE}[{where}]\n{_lines(table)}"
    if isinstance(options, dict):
        text += f"[{where}.options]\n{_lines(options)}"
    return text


def _default_block(schema: int) -> str:
    where = f"plugins.'{PLUGINS[schema]}'.containerd.runtimes.{_DEFAULT}"
    return f"{_DEFAULT_NOTE}[{where}]\n{_lines(_DEFAULT_TABLE)}"


def _lines(table: Mapping[str, object]) -> str:
    return "".join(f"  {key} = {tomlkit.item(value).as_string()}\n" for key, value in table.items())


def _appended(text: str, old: Mapping[str, Any], schema: int, ours: str) -> str:
    # A root key may only stand before the first table, so at the top, where none is missed.
    head = "" if "version" in old else f"version = {schema}\n"
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{head}{text}{gap}{ours}"


def _edited(text: str, schema: int, ours: Mapping[str, Mapping[str, object]]) -> str | None:
    try:
        document: Any = tomlkit.parse(text)
        tables = document
        for key in ("plugins", PLUGINS[schema], "containerd", "runtimes"):
            if key not in tables:
                tables[key] = tomlkit.table(is_super_table=True)
            tables = tables[key]
        for name, table in ours.items():
            tables[name] = dict(table)
        return tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None


def _unappended(text: str) -> str | None:
    """Cut out what `_appended` put in: from our note to the next table that is not ours."""
    before, note, rest = text.partition(_NOTE)
    if not note:
        return None
    default, note, _ = before.partition(_DEFAULT_NOTE)
    if note and before.removeprefix(default) in map(_default_block, PLUGINS):
        before = default
    lines = rest.splitlines(keepends=True)
    end = 0
    for end, line in enumerate(lines):  # noqa: B007 (the place is what is looked for)
        if line.startswith("[") and f".runtimes.{HANDLER}" not in line:
            break
    else:
        end = len(lines)
    return before.removesuffix("\n") + "".join(lines[end:])


def _unedited(text: str, gone: set[str]) -> str | None:
    try:
        document: Any = tomlkit.parse(text)
        for plugin in set(PLUGINS.values()):
            tables = document
            for key in ("plugins", plugin, "containerd", "runtimes"):
                tables = tables.get(key, {})
            for name in gone.intersection(tables):
                del tables[name]
        return tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None


def _is(text: str, wanted: Mapping[str, Any], *, loosely: bool = False) -> bool:
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    return _stripped(found) == _stripped(wanted) if loosely else found == wanted


def _stripped(value: Any) -> Any:
    """Without empty tables, which mean nothing to containerd."""
    if not isinstance(value, dict):
        return value
    inner = {key: _stripped(each) for key, each in value.items()}
    return {key: each for key, each in inner.items() if each != {}}
