"""The part of an OCI runtime spec (config.json) that Tandem reads, as frozen data.

Rules: no I/O; unknown members are ignored, as the OCI spec asks; a member of the wrong type is an
`InvalidArgumentError` that names it. Source: opencontainers/runtime-spec, config.md and
config-linux.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from shim.oci.document import Node, load_json

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


@lru_cache(maxsize=1)
def parse_spec(document: bytes) -> Spec:
    """Read a config.json; the same again, as `start` and the first Create of a pod do, is free.

    Raises:
        InvalidArgumentError: it is not JSON, or a member has the wrong type.
    """
    top = Node(load_json(document, "config.json"), "")
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
    return _parse_resources(Node(load_json(document, "resources"), "resources", document=""))


def parse_process(document: bytes) -> Process:
    """Read the `process` object alone, as the request of an exec carries it.

    Raises:
        InvalidArgumentError: it is not JSON, or a member has the wrong type.
    """
    return _parse_process(Node(load_json(document, "process"), "process", document=""))


def _parse_process(node: Node) -> Process:
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


def _parse_mount(node: Node) -> Mount:
    return Mount(
        destination=node.get("destination", str, ""),
        type=node.get("type", str, ""),
        source=node.get("source", str, ""),
        options=node.of("options", str),
        id_mapped=bool(node.get("uidMappings", list, [])),
    )


def _parse_resources(node: Node) -> Resources:
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


def _parse_hooks(node: Node) -> dict[str, tuple[Hook, ...]]:
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


def _parse_mappings(node: Node, name: str) -> tuple[tuple[int, int, int], ...]:
    return tuple(
        (
            entry.get("containerID", int, 0),
            entry.get("hostID", int, 0),
            entry.get("size", int, 0),
        )
        for entry in node.nodes(name)
    )
