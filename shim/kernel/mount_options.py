"""Mount options as fstab, containerd and the OCI spec write them, as flags of the kernel.

Rules: pure. Source: mount(8) and the runtime spec's list in config.md, "Linux mount options".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shim.kernel import constants as c

# option: (flags of mount(2), attributes that it sets, attributes that it takes back)
_FLAGS: dict[str, tuple[int, int, int]] = {
    "ro": (c.MS_RDONLY, c.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, 0, c.MOUNT_ATTR_RDONLY),
    "nosuid": (c.MS_NOSUID, c.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, 0, c.MOUNT_ATTR_NOSUID),
    "nodev": (c.MS_NODEV, c.MOUNT_ATTR_NODEV, 0),
    "dev": (0, 0, c.MOUNT_ATTR_NODEV),
    "noexec": (c.MS_NOEXEC, c.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, 0, c.MOUNT_ATTR_NOEXEC),
    "nosymfollow": (0, c.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "noatime": (c.MS_NOATIME, c.MOUNT_ATTR_NOATIME, c.MOUNT_ATTR_ATIME),
    "relatime": (c.MS_RELATIME, c.MOUNT_ATTR_RELATIME, c.MOUNT_ATTR_ATIME),
    "strictatime": (c.MS_STRICTATIME, c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR_ATIME),
    "nodiratime": (c.MS_NODIRATIME, c.MOUNT_ATTR_NODIRATIME, 0),
    "bind": (c.MS_BIND, 0, 0),
    "rbind": (c.MS_BIND | c.MS_REC, 0, 0),
    "sync": (c.MS_SYNCHRONOUS, 0, 0),
    "dirsync": (c.MS_DIRSYNC, 0, 0),
}
_WITHOUT_EFFECT = frozenset({"defaults", "async", "diratime", "atime", "nolazytime", "silent"})
_PROPAGATION = frozenset(
    {"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"}
)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Parsed options; `data` is what only the file system itself understands, in order."""

    flags: int = 0
    attributes: int = 0
    clear: int = 0
    propagation: str = ""
    data: tuple[str, ...] = ()

    @property
    def is_bind(self) -> bool:
        """Whether the source is a directory or file of this node, not a device."""
        return bool(self.flags & c.MS_BIND)


def parse_mount_options(options: Iterable[str]) -> MountOptions:
    """Sort options into flags, propagation and data; of contradicting ones the last wins."""
    flags = attributes = clear = 0
    propagation, data = "", []
    for option in options:
        if option in _FLAGS:
            flag, set_bits, clear_bits = _FLAGS[option]
            attributes = attributes & ~clear_bits | set_bits
            # Only the field of access times is cleared: "rw" must not lift what the node's own
            # mount forbids.
            clear |= clear_bits & c.MOUNT_ATTR_ATIME
            flags = (flags & ~c.MS_RDONLY if option == "rw" else flags) | flag
        elif option in _PROPAGATION:
            propagation = option
        elif option not in _WITHOUT_EFFECT:
            data.append(option)
    return MountOptions(flags, attributes, clear, propagation, tuple(data))
