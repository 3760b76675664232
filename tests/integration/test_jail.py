"""The jail that a spec describes, entered for real."""

import os
import resource
import socket
from pathlib import Path

import pytest

from tests.security.jailed import bind, document, libc, mounts_below, refusal, run_jailed

pytestmark = pytest.mark.root

MS_REC, MS_PRIVATE, MS_SHARED, MNT_DETACH = 0x4000, 1 << 18, 1 << 20, 2
CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWIPC = 0x40000000, 0x04000000, 0x08000000
CLONE_NEWUSER = 0x10000000


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    directory = tmp_path / "rootfs"
    directory.mkdir()
    return directory


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    directory = tmp_path / "volume"
    directory.mkdir()
    (directory / "file").write_text("before")
    return directory


def namespaces(*kinds: str, **paths: str) -> dict[str, object]:
    listed = [{"type": kind} for kind in kinds]
    return {"namespaces": [*listed, *({"type": k, "path": p} for k, p in paths.items())]}


def test_a_new_network_namespace_has_loopback_alone(rootfs: Path) -> None:
    outcome = run_jailed(rootfs, lambda: [name for _, name in socket.if_nameindex()])
    # No netlink in a jail: the list cannot be had, and the names cannot either.
    assert "OSError" in outcome.error
    named = run_jailed(rootfs, lambda: [socket.if_nametoindex("lo"), _has_interface("eth0")])
    assert named.value == [1, False]


def _has_interface(name: str) -> bool:
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def test_without_a_network_namespace_the_node_network_is_there(rootfs: Path) -> None:
    here = [name for _, name in socket.if_nameindex()]
    config = document(linux=namespaces("mount"))
    outcome = run_jailed(rootfs, lambda: [_has_interface(name) for name in here], config)
    assert outcome.value == [True] * len(here)


def test_namespaces_are_joined_by_path(rootfs: Path) -> None:
    read_fd, write_fd = os.pipe()
    holder = os.fork()
    if holder == 0:
        os.close(write_fd)
        libc.unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
        socket.sethostname("the-pod")
        os.read(read_fd, 1)
        os._exit(0)
    os.close(read_fd)
    try:
        while os.readlink(f"/proc/{holder}/ns/ipc") == os.readlink("/proc/self/ns/ipc"):
            os.sched_yield()
        while os.readlink(f"/proc/{holder}/ns/uts") == os.readlink("/proc/self/ns/uts"):
            os.sched_yield()
        paths = {
            "network": f"/proc/{holder}/ns/net",
            "uts": f"/proc/{holder}/ns/uts",
            "ipc": f"/proc/{holder}/ns/ipc",
        }
        config = document(linux=namespaces("mount", **paths), hostname="ignored")
        outcome = run_jailed(rootfs, lambda: [socket.gethostname(), _has_interface("eth0")], config)
    finally:
        os.close(write_fd)
        os.waitpid(holder, 0)
    assert (outcome.value, outcome.error) == (["the-pod", False], "")


def test_a_missing_namespace_path_is_named(rootfs: Path) -> None:
    config = document(linux=namespaces("mount", network="/run/netns/gone"))
    outcome = run_jailed(rootfs, list, config)
    assert outcome.error == (
        "JailError: jail step 'namespaces': /run/netns/gone: No such file or directory"
    )


def test_the_host_name_is_that_of_the_container_alone(rootfs: Path) -> None:
    before = socket.gethostname()
    outcome = run_jailed(rootfs, socket.gethostname, document(hostname="inside"))
    assert outcome.value == "inside"
    assert socket.gethostname() == before


def test_a_volume_is_written_through(rootfs: Path, volume: Path) -> None:
    config = document(mounts=[bind(volume, "/data", "rw", "rprivate")])
    outcome = run_jailed(rootfs, lambda: Path("/data/file").write_text("after"), config)
    assert outcome.value == 5
    assert (volume / "file").read_text() == "after"


def test_a_file_is_bound_over_a_missing_mountpoint(rootfs: Path, volume: Path) -> None:
    config = document(mounts=[bind(volume / "file", "/etc/hosts", "ro")])

    def use() -> list[str]:
        return [Path("/etc/hosts").read_text(), refusal(lambda: os.open("/etc/hosts", os.O_RDWR))]

    assert run_jailed(rootfs, use, config).value == ["before", "EROFS"]
    assert (rootfs / "etc/hosts").stat().st_mode & 0o777 == 0o644


def test_a_missing_volume_source_is_named(rootfs: Path, volume: Path) -> None:
    config = document(mounts=[bind(volume / "gone", "/data")])
    outcome = run_jailed(rootfs, list, config)
    assert outcome.error == (
        f"JailError: jail step 'file tree': {volume}/gone: No such file or directory"
    )


def test_tmpfs_has_its_size_and_mode(rootfs: Path) -> None:
    options = ["nosuid", "noexec", "mode=1770", "size=64k"]
    mount = {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": options}

    def use() -> list[object]:
        seen = os.statvfs("/scratch")
        full = refusal(lambda: Path("/scratch/x").write_bytes(b"x" * (65 << 10)))
        return [seen.f_blocks * seen.f_frsize, oct(os.stat("/scratch").st_mode), full]

    assert run_jailed(rootfs, use, document(mounts=[mount])).value == [65536, "0o41770", "ENOSPC"]


def test_an_unknown_tmpfs_option_is_named(rootfs: Path) -> None:
    mount = {"destination": "/scratch", "type": "tmpfs", "options": ["colour=red"]}
    outcome = run_jailed(rootfs, list, document(mounts=[mount]))
    assert outcome.error == (
        "JailError: jail step 'file tree': /scratch (colour=red): Invalid argument"
    )


@pytest.mark.parametrize(("option", "seen"), [("rslave", True), ("rprivate", False)])
def test_propagation_from_the_node_is_what_the_spec_says(
    rootfs: Path, tmp_path: Path, option: str, seen: bool
) -> None:
    shared = tmp_path / "shared"
    (shared / "late").mkdir(parents=True)
    read_fd, write_fd = os.pipe()
    there_fd, here_fd = os.pipe()
    libc.mount(b"none", os.fsencode(shared), b"tmpfs", 0, None)
    libc.mount(None, os.fsencode(shared), None, MS_SHARED, None)
    (shared / "late").mkdir()

    def look() -> bool:
        os.write(here_fd, b"x")
        os.read(read_fd, 1)
        return os.path.ismount("/shared/late")

    helper = os.fork()
    if helper == 0:
        os.read(there_fd, 1)
        libc.mount(b"none", os.fsencode(shared / "late"), b"tmpfs", 0, None)
        os.write(write_fd, b"x")
        os._exit(0)
    try:
        config = document(mounts=[bind(shared, "/shared", option)])
        outcome = run_jailed(rootfs, look, config, keep_fds=[read_fd, here_fd])
    finally:
        os.waitpid(helper, 0)
        for fd in (read_fd, write_fd, there_fd, here_fd):
            os.close(fd)
        libc.umount2(os.fsencode(shared), MNT_DETACH)
    assert (outcome.value, outcome.error) == (seen, "")


def test_nothing_of_the_jail_reaches_the_node(rootfs: Path, volume: Path, tmp_path: Path) -> None:
    libc.mount(os.fsencode(tmp_path), os.fsencode(tmp_path), None, 0x1000, None)
    libc.mount(None, os.fsencode(tmp_path), None, MS_SHARED, None)
    try:
        run_jailed(rootfs, list, document(mounts=[bind(volume, "/data")]))
        assert len(mounts_below(tmp_path)) == 1
    finally:
        libc.umount2(os.fsencode(tmp_path), MNT_DETACH)


def test_linux_mounts_are_left_out(rootfs: Path) -> None:
    mounts = [
        {"destination": d, "type": t, "source": t}
        for d, t in (
            ("/proc", "proc"),
            ("/dev", "tmpfs"),
            ("/dev/pts", "devpts"),
            ("/dev/shm", "tmpfs"),
            ("/dev/mqueue", "mqueue"),
            ("/sys", "sysfs"),
            ("/sys/fs/cgroup", "cgroup"),
        )
    ]
    assert run_jailed(rootfs, lambda: os.listdir("/"), document(mounts=mounts)).value == []


def test_limits_and_mask_are_set(rootfs: Path) -> None:
    process = {
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        "user": {"umask": 0o027},
    }

    def read() -> list[object]:
        return [resource.getrlimit(resource.RLIMIT_NOFILE), os.umask(0)]

    outcome = run_jailed(rootfs, read, document(process=process))
    assert (outcome.value, outcome.warnings) == ([[100, 200], 0o027], [])


def test_what_the_machine_does_not_permit_is_a_warning(rootfs: Path) -> None:
    can_raise = int(Path("/proc/self/status").read_text().split("CapEff:\t")[1][:16], 16) >> 24 & 1
    process = {
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2**30, "hard": 2**30}],
        "oomScoreAdj": -1000,
    }
    # The highest number of files is a sysctl, so raising beyond it fails with any capability.
    outcome = run_jailed(rootfs, list, document(process=process))
    assert [line.split(" ")[0] for line in outcome.warnings] == (
        ["resource"] if can_raise else ["oom_score_adj", "resource"]
    )


def test_the_oom_score_is_raised(rootfs: Path) -> None:
    read_fd, write_fd = os.pipe()
    go_fd, give_fd = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        pid = int(os.read(read_fd, 16))
        score = Path(f"/proc/{pid}/oom_score_adj").read_text()
        os.write(give_fd, score.encode())
        os._exit(0)

    def stay() -> str:
        os.write(write_fd, str(os.getpid()).encode())
        return os.read(go_fd, 16).decode()

    outcome = run_jailed(
        rootfs, stay, document(process={"oomScoreAdj": 700}), keep_fds=[write_fd, go_fd]
    )
    os.waitpid(watcher, 0)
    for fd in (read_fd, write_fd, go_fd, give_fd):
        os.close(fd)
    assert outcome.value == "700\n"


def test_a_user_namespace_is_joined_by_path(rootfs: Path, volume: Path) -> None:
    (rootfs / "data").mkdir()
    read_fd, write_fd = os.pipe()
    ready_fd, tell_fd = os.pipe()
    holder = os.fork()
    if holder == 0:
        os.close(write_fd)
        libc.unshare(CLONE_NEWUSER)
        os.write(tell_fd, b"x")
        os.read(read_fd, 1)
        os._exit(0)
    os.close(read_fd)
    try:
        os.read(ready_fd, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{holder}/{name}").write_text("0 100000 1000")
        for path in (rootfs, volume):
            os.chown(path, 100000, 100000)
        config = document(
            linux=namespaces("mount", user=f"/proc/{holder}/ns/user"),
            mounts=[bind(volume, "/data")],
            process={"user": {"uid": 7, "gid": 8}},
        )

        def look() -> list[object]:
            return [os.getresuid(), os.stat("/data").st_uid, refusal(lambda: os.mkdir("/data/x"))]

        outcome = run_jailed(rootfs, look, config)
    finally:
        os.close(write_fd)
        os.waitpid(holder, 0)
        os.close(ready_fd)
        os.close(tell_fd)
    assert (outcome.value, outcome.error) == ([[7, 7, 7], 0, "EACCES"], "")
