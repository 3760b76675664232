"""The node's configuration: /etc/tandem/config.toml, every key optional, unknown keys refused by
name.

Rules: stdlib only. containerd's runtime options may name another file of the same form
(`ConfigPath`).
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from shim.errdefs import InvalidArgumentError
from shim.outbound.policy import METADATA, check_settings

DEFAULT_PATH = "/etc/tandem/config.toml"
PATH_VARIABLE = "TANDEM_CONFIG"
TRANSPORTS = ("ttrpc", "grpc")


@dataclass(frozen=True, slots=True)
class Cache:
    """Compiled modules: where they are, how many bytes they may take, and whether containerd's
    images are compiled when they are pulled."""

    directory: str = "/var/lib/tandem/cache"
    max_bytes: int = 4 << 30
    warm_on_pull: bool = False


@dataclass(frozen=True, slots=True)
class Compile:
    """What compiling one module may take, and how many are compiled at once on the node."""

    timeout_s: int = 120
    memory_bytes: int = 4 << 30
    parallel: int = max((os.cpu_count() or 1) // 2, 1)


@dataclass(frozen=True, slots=True)
class Containerd:
    """The containerd whose images are compiled when they are pulled: its gRPC socket."""

    address: str = "/run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True)
class Images:
    """Where the command keeps its own images; containerd's are containerd's business."""

    directory: str = "/var/lib/tandem/images"


@dataclass(frozen=True, slots=True)
class Keyvalue:
    """What guests may put into key-value stores."""

    max_value_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Linux:
    """Linux containers: the OCI runtime's binary, and whether systemd keeps the cgroups."""

    runtime: str = "runc"
    systemd_cgroup: bool = False


@dataclass(frozen=True, slots=True)
class Outbound:
    """Requests that guests make: networks that none of them may reach, whatever its pod says, and
    whether one whose pod says nothing may reach all others (`allow`) or none (`deny`)."""

    block: tuple[str, ...] = METADATA
    default: str = "allow"


@dataclass(frozen=True, slots=True)
class Shim:
    """How containerd talks to a pod's shim: one of `TRANSPORTS`."""

    transport: str = "ttrpc"


@dataclass(frozen=True, slots=True)
class Http:
    """How components are served that answer HTTP requests; a pod may set each key for itself.

    `memory_bytes` is for each linear memory of an instance, `timeout_s` for a guest from the end of
    the request's header to that of the answer's body, `client_timeout_s` for a client that has to
    send or read. `reuse` is how many requests an instance may answer, one after the other; with
    `workers` 0 there are as many processes as the container's CPU limit is processors, and each has
    `connections` and `concurrency` for itself. `fuel` is the number of instructions that a request
    may take. Without a value, there is no `health` path, no `metrics` address, and no limit of
    fuel.
    """

    listen: str = "0.0.0.0:8080"
    backlog: int = 1024
    connections: int = 512
    concurrency: int = 64
    memory_bytes: int = 256 << 20
    timeout_s: int = 60
    max_header_bytes: int = 64 << 10
    max_request_bytes: int = 8 << 30
    max_response_bytes: int = 8 << 30
    header_timeout_s: int = 10
    idle_timeout_s: int = 60
    client_timeout_s: int = 30
    reuse: int = 1
    workers: int = 0
    health: str = ""
    metrics: str = ""
    fuel: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """All sections."""

    cache: Cache = Cache()
    compile: Compile = Compile()
    containerd: Containerd = Containerd()
    http: Http = Http()
    images: Images = Images()
    keyvalue: Keyvalue = Keyvalue()
    linux: Linux = Linux()
    outbound: Outbound = Outbound()
    shim: Shim = Shim()


def load_config(path: Path) -> Config:
    """Read a configuration file; a missing default file is an empty one.

    What the daemon has read, a file that did not change since, its children need not parse again.

    Raises:
        InvalidArgumentError: it cannot be read, is not TOML, or holds an unknown key or a wrong
            type.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path == Path(DEFAULT_PATH):
            return Config()
        raise InvalidArgumentError(f"configuration {path} does not exist") from None
    except OSError as error:
        raise InvalidArgumentError(f"configuration {path} cannot be read: {error}") from error
    return _load_version(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _load_version(path: Path, *_version: int) -> Config:
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"configuration {path} cannot be read: {error}") from error
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str) -> Config:
    """Read the text of a configuration; `name` is for the errors' texts.

    Raises:
        InvalidArgumentError: as `load_config`.
    """
    return config_of(parse_toml(text, name=name), name=name)


def parse_toml(text: str, *, name: str) -> dict[str, object]:
    """Read a TOML.

    Raises:
        InvalidArgumentError: it is none.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgumentError(f"configuration {name} is not valid TOML: {error}") from error


def config_of(document: Mapping[str, object], *, name: str) -> Config:
    """The configuration that a TOML's document is.

    Raises:
        InvalidArgumentError: it holds an unknown key or a wrong type.
    """
    config = Config()
    for section, values in document.items():
        if section not in {f.name for f in fields(Config)}:
            raise InvalidArgumentError(f"configuration {name} has an unknown key {section!r}")
        if not isinstance(values, dict):
            raise InvalidArgumentError(f"configuration {name}: [{section}] is not a table")
        changed = _section(getattr(config, section), values, f"configuration {name}: [{section}]")
        config = replace(config, **{section: changed})
    outbound = config.outbound
    check_settings(outbound.block, outbound.default, f"configuration {name}: [outbound]")
    if config.shim.transport not in TRANSPORTS:
        raise InvalidArgumentError(
            f"configuration {name}: [shim] transport is {config.shim.transport[:40]!r}:"
            f" it must be one of {', '.join(TRANSPORTS)}"
        )
    return config


def _section(defaults: Any, values: Mapping[str, object], where: str) -> Any:
    changed: dict[str, Any] = {}
    for key, value in values.items():
        known = getattr(defaults, key, None) if not key.startswith("_") else None
        if known is None:
            raise InvalidArgumentError(f"{where} has an unknown key {key!r}")
        if isinstance(known, tuple):
            changed[key] = _texts(value, f"{where} {key}")
            continue
        if type(value) is not type(known):
            raise InvalidArgumentError(f"{where} {key} must be a {type(known).__name__}")
        if value == "" or (type(value) is int and value <= 0):
            raise InvalidArgumentError(f"{where} {key} must not be empty, zero or negative")
        changed[key] = value
    return replace(defaults, **changed)


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InvalidArgumentError(f"{where} must be a list of strings")
    return tuple(value)
