"""Which of a spec's mounts the jail makes, and how; pure.

Left out is what only a Linux process needs: /proc, /sys, cgroup, mqueue, devpts, and whatever is
not a bind below /dev. Every mount is nodev and nosuid, whatever the spec says: no guest can use
device nodes or set-user-id files, so only an escaped one would miss them.
"""

import posixpath
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.kernel import constants as c
from shim.kernel.mount_options import parse_mount_options
from shim.oci.spec import Mount

_LEFT_OUT_TYPES = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"})
_LEFT_OUT_TREES = ("/dev", "/proc", "/sys")
_ALWAYS = c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOSUID


@dataclass(frozen=True, slots=True)
class Volume:
    """One mount of the jail: a bind of `source`, or a new tmpfs where `source` is empty."""

    destination: str
    source: str = ""
    recursive: bool = False
    attributes: int = _ALWAYS
    clear: int = 0
    follows_node: bool = False
    tmpfs_options: tuple[str, ...] = ()


def build_volumes(mounts: tuple[Mount, ...]) -> tuple[Volume, ...]:
    """The mounts to make, in the spec's order.

    Raises:
        InvalidArgumentError: a mount contradicts itself.
        UnimplementedError: a mount asks for what the jail does not give.
    """
    volumes = (_build_volume(mount) for mount in mounts)
    return tuple(volume for volume in volumes if volume is not None)


def _build_volume(mount: Mount) -> Volume | None:
    options = parse_mount_options(mount.options)
    is_bind = options.is_bind or mount.type == "bind"
    destination = _destination(mount)
    if mount.type in _LEFT_OUT_TYPES or (not is_bind and _is_below(destination, _LEFT_OUT_TREES)):
        return None
    if mount.id_mapped or {"idmap", "ridmap"} & set(options.data):
        raise UnimplementedError(f"mount {destination}: id-mapped mounts are not supported")
    if options.propagation in {"shared", "rshared"}:
        raise UnimplementedError(
            f"mount {destination}: a wasm container cannot mount, so Bidirectional mount "
            "propagation has no meaning; use HostToContainer or None"
        )
    attributes = options.attributes | _ALWAYS
    if is_bind:
        if options.data:
            raise InvalidArgumentError(
                f"mount {destination}: a bind mount has no option {options.data[0]!r}"
            )
        return Volume(
            destination,
            _source(mount),
            recursive=bool(options.flags & c.MS_REC),
            attributes=attributes,
            clear=options.clear,
            follows_node=options.propagation in {"slave", "rslave"},
        )
    if mount.type == "tmpfs":
        return Volume(destination, attributes=attributes, tmpfs_options=options.data)
    raise UnimplementedError(
        f"mount {destination}: a file system of type {mount.type!r} cannot be mounted in a wasm "
        "container; mount it on the node and bind it"
    )


def _destination(mount: Mount) -> str:
    # A relative destination is old style for one below the root, as runc reads it.
    destination = posixpath.normpath("/" + mount.destination.lstrip("/"))
    if destination == "/" or "\0" in destination:
        raise InvalidArgumentError(
            f"mount destination {mount.destination!r} is not a path below the root"
        )
    return destination


def _source(mount: Mount) -> str:
    if not mount.source.startswith("/") or "\0" in mount.source:
        raise InvalidArgumentError(
            f"mount {mount.destination}: the source {mount.source!r} of a bind is not absolute"
        )
    return mount.source


def _is_below(path: str, trees: tuple[str, ...]) -> bool:
    return any(path == tree or path.startswith(tree + "/") for tree in trees)
