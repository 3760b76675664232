import pytest

from shim.errdefs import InvalidArgumentError, ShimError, UnimplementedError
from shim.jail.volumes import Volume, build_volumes
from shim.kernel import constants as c
from shim.oci.spec import Mount

ALWAYS = c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOSUID


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (
            Mount("/data", "bind", "/host", ("rbind", "ro", "rslave")),
            Volume("/data", "/host", True, ALWAYS | c.MOUNT_ATTR_RDONLY, follows_node=True),
        ),
        (Mount("data/../x", "none", "/host", ("bind",)), Volume("/x", "/host")),
        (
            Mount("/run", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=64k")),
            Volume(
                "/run",
                attributes=ALWAYS | c.MOUNT_ATTR_STRICTATIME,
                tmpfs_options=("mode=755", "size=64k"),
            ),
        ),
        (
            Mount("/dev/shm", "bind", "/shm", ("rbind", "dev", "suid")),
            Volume("/dev/shm", "/shm", True),
        ),
        (Mount("/developer", "tmpfs"), Volume("/developer")),
    ],
)
def test_a_mount_becomes_a_volume(mount: Mount, expected: Volume) -> None:
    assert build_volumes((mount,)) == (expected,)


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/proc", "proc", "proc"),
        Mount("/elsewhere", "sysfs", "sysfs"),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup"),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid",)),
        Mount("/dev/pts", "devpts", "devpts", ("newinstance",)),
        Mount("/dev/shm", "tmpfs", "shm"),
        Mount("/dev/mqueue", "mqueue", "mqueue"),
    ],
)
def test_what_only_linux_needs_is_left_out(mount: Mount) -> None:
    assert build_volumes((mount,)) == ()


@pytest.mark.parametrize(
    ("mount", "error", "text"),
    [
        (Mount("/d", "bind", "rel", ("bind",)), InvalidArgumentError, "'rel' of a bind"),
        (Mount("", "bind", "/x", ("bind",)), InvalidArgumentError, "destination ''"),
        (Mount("/a/..", "bind", "/x", ("bind",)), InvalidArgumentError, "destination '/a/..'"),
        (Mount("/d", "bind", "/x", ("bind", "size=1")), InvalidArgumentError, "no option 'size=1'"),
        (Mount("/d", "bind", "/x", ("rbind", "rshared")), UnimplementedError, "Bidirectional"),
        (Mount("/d", "bind", "/x", ("rbind", "idmap")), UnimplementedError, "id-mapped"),
        (Mount("/d", "bind", "/x", ("rbind",), id_mapped=True), UnimplementedError, "id-mapped"),
        (Mount("/d", "nfs", "server:/x"), UnimplementedError, "type 'nfs' cannot be mounted"),
    ],
)
def test_what_cannot_be_is_refused_by_name(mount: Mount, error: type[ShimError], text: str) -> None:
    with pytest.raises(error, match=text):
        build_volumes((mount,))
