"""What a container's jail is made of, as data; every refusal is made here, before any fork.

Rules: pure but for the compilation of filters, which is cached. Where the spec is silent, the plan
holds what runc would do. What the guest cannot use is left out instead of refused.
"""

import posixpath
import resource
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.jail.seccomp import compile_filters, compile_supervisor_filter
from shim.jail.volumes import Volume, build_volumes
from shim.kernel import constants as c
from shim.oci.spec import LinuxNamespace, Process, Rlimit, Spec

# In the order of joining: the user namespace last, because joining it gives up the rights over
# those that belong to the node.
_JOINED = {
    "network": c.CLONE_NEWNET,
    "ipc": c.CLONE_NEWIPC,
    "uts": c.CLONE_NEWUTS,
    "user": c.CLONE_NEWUSER,
}
# Without /proc and cgroup mounts nobody can tell these from the node's own. A pid namespace is the
# spawner's affair, and a new one would make the guest its init, deaf to signals.
_WITHOUT_EFFECT = frozenset({"pid", "mount", "cgroup"})

# Numbers: include/uapi/linux/capability.h. The rest would be no use to a guest, whose only system
# calls are wasmtime's file and socket calls.
_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_NET_BIND_SERVICE": 10,
}
_DEFAULT_UMASK = 0o022
_MAX_ID = 2**32 - 2
_MAX_OOM_SCORE_ADJ = 1000
_MAX_HOSTNAME_BYTES = 64


@dataclass(frozen=True, slots=True)
class JailPlan:
    """Everything that `enter` needs, checked; `rootfs` None: it is that of a joined namespace.

    With `worker_filters`, the process may make others, which load these.
    """

    rootfs: Path | None
    root_readonly: bool
    pid_namespace: Path | None
    joined_namespaces: tuple[tuple[int, Path], ...]
    unshare_flags: int
    hostname: str
    volumes: tuple[Volume, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    rlimits: tuple[tuple[int, int, int], ...]
    oom_score_adj: int | None
    capabilities: int
    filters: tuple[bytes, ...]
    worker_filters: tuple[bytes, ...] = ()


def build_plan(spec: Spec, rootfs: Path) -> JailPlan:
    """Turn a spec into a plan for the root file system that is mounted at `rootfs`.

    Raises:
        InvalidArgumentError: the spec contradicts itself.
        UnimplementedError: the spec asks for what a Wasm container cannot have.
    """
    namespaces = _by_type(spec.namespaces)
    _check_user_namespace(namespaces, spec)
    process, user = spec.process, spec.process.user
    for number in (user.uid, user.gid, *user.additional_gids):
        if not 0 <= number <= _MAX_ID:
            raise InvalidArgumentError(f"process.user: {number} is not a user or group id")
    pid_path = namespaces.get("pid", "")
    return JailPlan(
        rootfs=rootfs,
        root_readonly=spec.root_readonly,
        pid_namespace=Path(pid_path) if pid_path else None,
        joined_namespaces=tuple(
            (kind, Path(namespaces[name])) for name, kind in _JOINED.items() if namespaces.get(name)
        ),
        unshare_flags=c.CLONE_NEWNS
        | sum(kind for name, kind in _JOINED.items() if namespaces.get(name) == ""),
        hostname=_hostname(spec, namespaces),
        volumes=build_volumes(spec.mounts),
        cwd=_cwd(process),
        uid=user.uid,
        gid=user.gid,
        groups=user.additional_gids,
        umask=_DEFAULT_UMASK if user.umask is None else user.umask & 0o777,
        rlimits=tuple(_rlimit(limit) for limit in process.rlimits),
        oom_score_adj=_oom_score_adj(process),
        capabilities=_capabilities(process),
        filters=compile_filters(spec.seccomp),
    )


def with_workers(plan: JailPlan) -> JailPlan:
    """The same for a process that runs no guest itself, but makes those that do.

    The container's own profile holds for both.
    """
    denied, *profile = plan.filters
    return replace(plan, filters=(compile_supervisor_filter(), *profile), worker_filters=(denied,))


def build_exec_plan(spec: Spec, namespaces: Sequence[tuple[int, Path]]) -> JailPlan:
    """Turn a spec, with the process to be executed in place of its own, into a plan that enters the
    container's jail, whose namespaces (kind, path) are given in the order of joining.

    Raises:
        ShimError: as for `build_plan`.
    """
    return replace(
        build_plan(spec, Path("/")),
        rootfs=None,
        joined_namespaces=tuple(namespaces),
        unshare_flags=0,
        hostname="",
        volumes=(),
    )


def _by_type(namespaces: tuple[LinuxNamespace, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for namespace in namespaces:
        if namespace.type not in _JOINED and namespace.type not in _WITHOUT_EFFECT:
            raise UnimplementedError(
                f"linux.namespaces: type {namespace.type!r} is not supported for a wasm container"
            )
        if namespace.type in found:
            raise InvalidArgumentError(f"linux.namespaces: {namespace.type} is listed twice")
        if namespace.path and not namespace.path.startswith("/"):
            raise InvalidArgumentError(
                f"linux.namespaces: path {namespace.path!r} of {namespace.type} is not absolute"
            )
        found[namespace.type] = namespace.path
    if found.get("mount"):
        raise UnimplementedError(
            f"a wasm container cannot join the mount namespace {found['mount']}; it has its own"
        )
    return found


def _check_user_namespace(namespaces: dict[str, str], spec: Spec) -> None:
    if namespaces.get("user") == "" or spec.uid_mappings or spec.gid_mappings:
        raise UnimplementedError(
            "new user namespaces are not supported for a wasm container; set hostUsers: true"
        )


def _hostname(spec: Spec, namespaces: dict[str, str]) -> str:
    if not spec.hostname or namespaces.get("uts") != "":
        return ""
    if len(spec.hostname.encode()) > _MAX_HOSTNAME_BYTES:
        raise InvalidArgumentError(f"hostname {spec.hostname!r} is longer than 64 bytes")
    return spec.hostname


def _cwd(process: Process) -> str:
    if not process.cwd.startswith("/") or "\0" in process.cwd:
        raise InvalidArgumentError(f"process.cwd {process.cwd!r} is not an absolute path")
    return posixpath.normpath("/" + process.cwd.lstrip("/"))


def _rlimit(limit: Rlimit) -> tuple[int, int, int]:
    kind = getattr(resource, limit.type, None) if limit.type.startswith("RLIMIT_") else None
    if kind is None:
        raise InvalidArgumentError(f"process.rlimits: {limit.type!r} is not a resource limit")
    soft, hard = _limit_value(limit.soft), _limit_value(limit.hard)
    if hard not in {soft, resource.RLIM_INFINITY} and not 0 <= soft <= hard:
        raise InvalidArgumentError(f"process.rlimits: {limit.type} has a soft limit above its hard")
    return kind, soft, hard


def _limit_value(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 2**63 - 1 or value < 0 else value


def _oom_score_adj(process: Process) -> int | None:
    score = process.oom_score_adj
    if score is not None and not -_MAX_OOM_SCORE_ADJ <= score <= _MAX_OOM_SCORE_ADJ:
        raise InvalidArgumentError(f"process.oomScoreAdj {score} is not within -1000 and 1000")
    return score


def _capabilities(process: Process) -> int:
    # A user other than 0 loses its capabilities on execve(2); an instance has no execve to lose
    # them on.
    if process.user.uid != 0:
        return 0
    return sum(
        1 << number
        for name, number in _CAPABILITIES.items()
        if name in process.effective_capabilities
    )
