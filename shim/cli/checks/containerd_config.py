"""containerd's configuration: which runtimes it offers, told from its file and what that imports.

Rules: reads, and decides nothing for containerd; a file that it would refuse is an error here.
Source: containerd's documentation of its configuration, versions 2, 3 and 4.
"""

import glob
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim.errdefs import InvalidArgumentError

DEFAULT = Path("/etc/containerd/config.toml")
TYPE = "io.containerd.tandem.v1"
BINARY = "containerd-shim-tandem-v1"
# By the version of the file, where the table of runtimes is.
TABLES = {
    2: ("io.containerd.grpc.v1.cri", "containerd"),
    3: ("io.containerd.cri.v1.runtime", "containerd"),
}
_MAX_FILES = 64


@dataclass(frozen=True, slots=True)
class Runtime:
    """One entry of the runtimes table; `table` is the name of the plugin whose it is."""

    handler: str
    table: str
    type: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What matters to us. `version` is what the main file says, 1 where it says nothing."""

    version: int = 1
    runtimes: tuple[Runtime, ...] = ()
    disabled: tuple[str, ...] = ()
    address: str = ""
    files: tuple[Path, ...] = field(default=())

    @property
    def ours(self) -> tuple[Runtime, ...]:
        """The entries that are Tandem's."""
        return tuple(
            each
            for each in self.runtimes
            if each.type == TYPE or Path(each.type or each.path).name == BINARY
        )


def read_configuration(path: Path) -> Configuration:
    """Read a configuration and what it imports; a missing file is an empty one.

    Raises:
        InvalidArgumentError: a file is no TOML, or cannot be read.
    """
    documents = dict(_documents(path, set()))
    if path not in documents:
        return Configuration()
    runtimes: dict[tuple[str, str], Runtime] = {}
    disabled: list[str] = []
    address = ""
    # What is imported is merged over the file that imports it.
    for document in documents.values():
        disabled += map(str, document.get("disabled_plugins") or [])
        for runtime in _runtimes(document):
            runtimes[runtime.table, runtime.handler] = runtime
        grpc = _table(document, "grpc") or _table(
            document, "plugins", "io.containerd.server.v1.grpc"
        )
        address = str(grpc.get("address") or address)
    version = documents[path].get("version")
    return Configuration(
        version if isinstance(version, int) else 1,
        tuple(runtimes.values()),
        tuple(disabled),
        address,
        tuple(documents),
    )


def _documents(path: Path, seen: set[Path]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if path in seen or len(seen) >= _MAX_FILES:
        return
    seen.add(path)
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgumentError(f"{path} is unusable: {error}") from error
    yield path, document
    imports = document.get("imports")
    for pattern in imports if isinstance(imports, list) else []:
        # Path.glob takes no absolute pattern.
        for name in sorted(glob.glob(str(path.parent / str(pattern)))):  # noqa: PTH207
            yield from _documents(Path(name), seen)


def _runtimes(document: Mapping[str, Any]) -> Iterator[Runtime]:
    for plugin, section in TABLES.values():
        table = _table(document, "plugins", plugin, section, "runtimes")
        for handler, entry in table.items():
            if isinstance(entry, dict):
                kind, path = entry.get("runtime_type"), entry.get("runtime_path")
                yield Runtime(handler, plugin, str(kind or ""), str(path or ""))


def _table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
