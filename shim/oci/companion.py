"""The config.json with which an OCI runtime executes a Linux program in a Wasm container.

The container itself is none of the runtime's, so that its programs get one of their own: with the
container's root file system, volumes, user, limits and profiles, in the container's namespaces, and
in a pid namespace that is held for them, since the guest is in the node's. Rules: pure. What keeps
the node's devices away from runc's containers, the control group's device filter, stays behind when
the program moves into the container's own group; so every mount is nodev here with all below it,
but for a /dev that the OCI runtime fills, and nobody may make a device.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shim.errdefs import InvalidArgumentError, UnimplementedError

_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_OF_ONE_CONTAINER = ("hooks", "hostname", "domainname")
_NODEV = ("nodev", "rnodev")
_DEV = frozenset({"dev", "rdev"})


def companion_config(
    config: Mapping[str, Any],
    process: Mapping[str, Any],
    rootfs: Path,
    namespaces: Mapping[str, Path],
    cgroups_path: str,
) -> dict[str, Any]:
    """The configuration for one program.

    Args:
        config: the container's own config.json.
        process: the spec's process.
        rootfs: where the container's root file system is mounted; the caller makes it nodev.
        namespaces: those of the running instance, and the pid namespace, by the spec's names
            ("network", "ipc", "uts", "pid").
        cgroups_path: a group for the time before the program moves into the container's.

    Raises:
        InvalidArgumentError: the process is not an object.
        UnimplementedError: the container is in a user namespace.
    """
    if not isinstance(process, dict):
        raise InvalidArgumentError("process is not an object")
    changed = copy.deepcopy({k: v for k, v in config.items() if k not in _OF_ONE_CONTAINER})
    changed["process"] = _without_mknod(process)
    changed["root"] = {**changed.get("root", {}), "path": str(rootfs)}
    changed["mounts"] = [_mount(mount) for mount in changed.get("mounts") or []]
    linux = changed.setdefault("linux", {})
    linux["cgroupsPath"] = cgroups_path
    linux["namespaces"] = _namespaces(linux.get("namespaces") or [], namespaces)
    # Set in the namespaces already.
    linux.pop("sysctl", None)
    return changed


def _namespaces(wanted: list[dict[str, Any]], instance: Mapping[str, Path]) -> list[dict[str, Any]]:
    if any(entry.get("type") == "user" for entry in wanted):
        raise UnimplementedError(
            "a Linux program cannot be executed in a wasm container with a user namespace"
        )
    joined = [
        {"type": entry["type"], "path": entry.get("path") or str(instance[entry["type"]])}
        for entry in wanted
        if entry.get("type") in instance
    ]
    if not any(entry["type"] == "pid" for entry in joined):
        # The spec says the node's, which is for the guest alone.
        joined.append({"type": "pid", "path": str(instance["pid"])})
    # What the instance has no use for, and a program with a /sys/fs/cgroup has.
    cgroup = [entry for entry in wanted if entry.get("type") == "cgroup"]
    return [*joined, *cgroup, {"type": "mount"}]


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    kind, options = mount.get("type"), mount.get("options") or []
    if kind == "devpts" or (kind == "tmpfs" and mount.get("destination") == "/dev"):
        # Nothing but devices, which the OCI runtime makes: those that the container may have.
        return mount
    kept = [option for option in options if option not in _DEV and option not in _NODEV]
    # The recursive one is for binds alone: a volume may have mounts below it.
    is_bind = kind == "bind" or not {"bind", "rbind"}.isdisjoint(options)
    return {**mount, "options": [*kept, *(_NODEV if is_bind else _NODEV[:1])]}


def _without_mknod(process: Mapping[str, Any]) -> dict[str, Any]:
    capabilities = dict(process.get("capabilities") or {})
    for name in _CAPABILITY_SETS:
        if capabilities.get(name):
            capabilities[name] = [each for each in capabilities[name] if each != "CAP_MKNOD"]
    return {**process, "capabilities": capabilities} if capabilities else dict(process)
