"""The config.json with which an OCI runtime executes a Linux program in a Wasm container.

The container itself is none of the runtime's, so that its programs get one of their own: with the
container's root file system, volumes, user, limits and profiles, in the container's namespaces, and
in a pid namespace, since the guest's jail has none that a Linux program could be let into. Rules:
pure. What keeps the node's devices away from runc's containers, the control group's device filter,
stays behind when the program moves into the container's own group; so every mount but /dev is
nodev here, and nobody may make a device.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shim.errdefs import InvalidArgumentError

_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_OF_ONE_CONTAINER = ("hooks", "hostname", "domainname")
_NODEV, _DEV = "nodev", "dev"


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
        namespaces: those of the running instance, by the spec's names ("network", "ipc", "uts").
        cgroups_path: a group for the time before the program moves into the container's.

    Raises:
        InvalidArgumentError: the process is not an object.
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
    joined = [
        {"type": entry["type"], "path": entry.get("path") or str(instance[entry["type"]])}
        for entry in wanted
        if entry.get("type") in instance
    ]
    pid = next((entry for entry in wanted if entry.get("type") == "pid"), {"type": "pid"})
    return [*joined, pid, {"type": "mount"}]


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    if mount.get("destination") == "/dev":
        return mount
    options = [option for option in mount.get("options") or [] if option != _DEV]
    # devpts is nothing but devices, which this container has made.
    if mount.get("type") != "devpts" and _NODEV not in options:
        options.append(_NODEV)
    return {**mount, "options": options}


def _without_mknod(process: Mapping[str, Any]) -> dict[str, Any]:
    capabilities = dict(process.get("capabilities") or {})
    for name in _CAPABILITY_SETS:
        if capabilities.get(name):
            capabilities[name] = [each for each in capabilities[name] if each != "CAP_MKNOD"]
    return {**process, "capabilities": capabilities} if capabilities else dict(process)
