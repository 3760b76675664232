import pytest

from shim.kernel import constants as c
from shim.kernel.mount_options import MountOptions, parse_mount_options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], MountOptions()),
        (["ro"], MountOptions(c.MS_RDONLY, c.MOUNT_ATTR_RDONLY)),
        (["ro", "rw"], MountOptions()),
        (["nosuid", "suid"], MountOptions(c.MS_NOSUID)),
        (["rbind", "rslave"], MountOptions(c.MS_BIND | c.MS_REC, propagation="rslave")),
        (["size=64k", "defaults", "mode=755"], MountOptions(data=("size=64k", "mode=755"))),
        (
            ["noatime"],
            MountOptions(c.MS_NOATIME, c.MOUNT_ATTR_NOATIME, c.MOUNT_ATTR_ATIME),
        ),
        (
            ["noatime", "strictatime"],
            MountOptions(
                c.MS_NOATIME | c.MS_STRICTATIME, c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR_ATIME
            ),
        ),
    ],
)
def test_options_become_flags(options: list[str], expected: MountOptions) -> None:
    assert parse_mount_options(options) == expected


def test_rw_does_not_lift_what_the_node_forbids() -> None:
    parsed = parse_mount_options(["rw", "dev", "suid", "exec"])
    assert (parsed.attributes, parsed.clear) == (0, 0)


def test_a_bind_is_known_by_its_flag() -> None:
    assert parse_mount_options(["rbind"]).is_bind
    assert not parse_mount_options(["ro"]).is_bind
