"""The part of an OCI runtime spec (config.json) that Tandem reads, as frozen data.

Rules: no I/O; unknown members are ignored, as the OCI spec asks; a member of the wrong type is an
`InvalidArgumentError` that names it. Source: opencontainers/runtime-spec, config.md and
config-linux.md.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast

from shim.errdefs import InvalidArgumentError

_T = TypeVar("_T")

HOOK_STAGES = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of `mounts`: absolute `destination` in the container, `source` on the host."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    id_mapped: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """The identity that the process runs under; ids are those of the container's user namespace."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int | None = None


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One resource limit, for example `RLIMIT_NOFILE`."""

    type: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Process:
    """What runs in the container."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    effective_capabilities: frozenset[str] = frozenset()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class LinuxNamespace:
    """A kernel namespace: of `type` (`network`, `pid`, ...), a new one where `path` is empty."""

    type: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of the container's cgroup; None where the spec sets none."""

    memory_limit_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_check_before_update: bool = False
    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    unified: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hook:
    """A program to run at a point of the container's life; `timeout_s` 0 is none."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed config.json."""

    root_path: str = "rootfs"
    root_readonly: bool = False
    process: Process = Process()
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    namespaces: tuple[LinuxNamespace, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    seccomp: Mapping[str, Any] | None = None
    uid_mappings: tuple[tuple[int, int, int], ...] = ()
    gid_mappings: tuple[tuple[int, int, int], ...] = ()
    hooks: Mapping[str, tuple[Hook, ...]] = field(default_factory=dict)


class _Node:
    """A JSON object with typed access; errors name the member's full path."""

    def __init__(self, value: object, path: str, document: str = "config.json: ") -> None:
        """`document` is what every error begins with."""
        if not isinstance(value, dict):
            raise InvalidArgumentError(f"{document}{path or 'the document'} is not an object")
        self._members: dict[str, object] = value
        self._path = path
        self._document = document

    @property
    def is_empty(self) -> bool:
        return not self._members

    def get(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = f"{'an' if kind is int else 'a'} {kind.__name__}"
            raise InvalidArgumentError(f"{self._where(name)} is not {wanted}")
        self._check(name, value)
        return value

    def optional_int(self, name: str) -> int | None:
        return None if self._members.get(name) is None else self.get(name, int, 0)

    def node(self, name: str) -> "_Node":
        value = self._members.get(name)
        return _Node({} if value is None else value, self._below(name), self._document)

    def nodes(self, name: str) -> Iterator["_Node"]:
        for index, value in enumerate(self.get(name, list, [])):
            yield _Node(value, f"{self._below(name)}[{index}]", self._document)

    def of(self, name: str, kind: type[_T]) -> tuple[_T, ...]:
        values: list[object] = self.get(name, list, [])
        for value in values:
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise InvalidArgumentError(
                    f"{self._where(name)} holds more than {kind.__name__} values"
                )
            self._check(name, value)
        return cast("tuple[_T, ...]", tuple(values))

    def string_map(self, name: str) -> dict[str, str]:
        members = self.get(name, dict, {})
        for key, value in members.items():
            if not isinstance(value, str):
                raise InvalidArgumentError(f"{self._where(name)}[{key!r}] is not a str")
        return members

    def _check(self, name: str, value: object) -> None:
        """Refuse what JSON can say and no system call can be told."""
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            problem = f"{value[:200]!r} holds a NUL or a lone surrogate"
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            problem = "does not fit into 64 bits"
        else:
            return
        raise InvalidArgumentError(f"{self._where(name)}: {problem}")

    def _where(self, name: str) -> str:
        return f"{self._document}{self._below(name)}"

    def _below(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


@lru_cache(maxsize=1)
def parse_spec(document: bytes) -> Spec:
    """Read a config.json; the same again, as `start` and the first Create of a pod do, is free.

    Raises:
        InvalidArgumentError: it is not JSON, or a member has the wrong type.
    """
    top = _Node(_load(document, "config.json"), "")
    root, linux = top.node("root"), top.node("linux")
    return Spec(
        root_path=root.get("path", str, "rootfs"),
        root_readonly=root.get("readonly", bool, False),
        process=_parse_process(top.node("process")),
        hostname=top.get("hostname", str, ""),
        mounts=tuple(_parse_mount(node) for node in top.nodes("mounts")),
        annotations=top.string_map("annotations"),
        namespaces=tuple(
            LinuxNamespace(node.get("type", str, ""), node.get("path", str, ""))
            for node in linux.nodes("namespaces")
        ),
        cgroups_path=linux.get("cgroupsPath", str, ""),
        resources=_parse_resources(linux.node("resources")),
        seccomp=linux.get("seccomp", dict, {}) or None,
        uid_mappings=_parse_mappings(linux, "uidMappings"),
        gid_mappings=_parse_mappings(linux, "gidMappings"),
        hooks=_parse_hooks(top.node("hooks")),
    )


def parse_resources(document: bytes) -> Resources:
    """Read the `linux.resources` object alone, as the request of an update carries it.

    Raises:
        InvalidArgumentError: it is not JSON, or a member has the wrong type.
    """
    return _parse_resources(_Node(_load(document, "resources"), "resources", document=""))


def parse_process(document: bytes) -> Process:
    """Read the `process` object alone, as the request of an exec carries it.

    Raises:
        InvalidArgumentError: it is not JSON, or a member has the wrong type.
    """
    return _parse_process(_Node(_load(document, "process"), "process", document=""))


def _load(document: bytes, name: str) -> object:
    try:
        value: object = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{name} is not valid JSON: {error}") from error
    return value


def _parse_process(node: _Node) -> Process:
    user = node.node("user")
    return Process(
        args=node.of("args", str),
        env=node.of("env", str),
        cwd=node.get("cwd", str, "/"),
        user=User(
            uid=user.get("uid", int, 0),
            gid=user.get("gid", int, 0),
            additional_gids=user.of("additionalGids", int),
            umask=user.optional_int("umask"),
        ),
        effective_capabilities=frozenset(node.node("capabilities").of("effective", str)),
        rlimits=tuple(
            Rlimit(entry.get("type", str, ""), entry.get("soft", int, 0), entry.get("hard", int, 0))
            for entry in node.nodes("rlimits")
        ),
        no_new_privileges=node.get("noNewPrivileges", bool, False),
        oom_score_adj=node.optional_int("oomScoreAdj"),
        terminal=node.get("terminal", bool, False),
    )


def _parse_mount(node: _Node) -> Mount:
    return Mount(
        destination=node.get("destination", str, ""),
        type=node.get("type", str, ""),
        source=node.get("source", str, ""),
        options=node.of("options", str),
        id_mapped=bool(node.get("uidMappings", list, [])),
    )


def _parse_resources(node: _Node) -> Resources:
    memory, cpu, pids = node.node("memory"), node.node("cpu"), node.node("pids")
    return Resources(
        memory_limit_bytes=memory.optional_int("limit"),
        memory_reservation_bytes=memory.optional_int("reservation"),
        memory_swap_bytes=memory.optional_int("swap"),
        memory_check_before_update=memory.get("checkBeforeUpdate", bool, False),
        cpu_shares=cpu.optional_int("shares"),
        cpu_quota_us=cpu.optional_int("quota"),
        cpu_period_us=cpu.optional_int("period"),
        cpuset_cpus=cpu.get("cpus", str, ""),
        cpuset_mems=cpu.get("mems", str, ""),
        pids_limit=pids.optional_int("limit"),
        unified=tuple(sorted(node.string_map("unified").items())),
    )


def _parse_hooks(node: _Node) -> dict[str, tuple[Hook, ...]]:
    if node.is_empty:
        return {}
    stages = {
        stage: tuple(
            Hook(
                path=entry.get("path", str, ""),
                args=entry.of("args", str),
                env=entry.of("env", str),
                timeout_s=entry.get("timeout", int, 0),
            )
            for entry in node.nodes(stage)
        )
        for stage in HOOK_STAGES
    }
    return {stage: hooks for stage, hooks in stages.items() if hooks}


def _parse_mappings(node: _Node, name: str) -> tuple[tuple[int, int, int], ...]:
    return tuple(
        (
            entry.get("containerID", int, 0),
            entry.get("hostID", int, 0),
            entry.get("size", int, 0),
        )
        for entry in node.nodes(name)
    )
