"""What an escaped guest may use and do: identity, rights, limits, and its end."""

import ctypes
import os
import signal
import struct
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from shim.oci.spec import Resources
from tests.security.jailed import (
    bind,
    document,
    libc,
    new_cgroup,
    refusal,
    remove_cgroup,
    run_jailed,
)

pytestmark = pytest.mark.root


def test_only_five_capabilities_can_be_had(image: Path) -> None:
    every = [f"CAP_{name}" for name in ("CHOWN", "SYS_ADMIN", "NET_RAW", "KILL", "SETUID")]
    config = document(process={"capabilities": {"effective": every, "bounding": every}})

    def read() -> list[int]:
        header, data = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
        libc.capget(header, data)
        bounding = [n for n in range(41) if libc.prctl(23, n, 0, 0, 0) == 1]
        return [*struct.unpack("=6I", data.raw), *bounding, libc.prctl(39, 0, 0, 0, 0)]

    # effective, permitted, inheritable twice; the bounding set holds CHOWN (0); no_new_privs is 1
    assert run_jailed(image, read, config).value == [1, 1, 0, 0, 0, 0, 0, 1]


def test_another_user_has_no_capability_and_no_way_back(image: Path) -> None:
    config = document(
        process={
            "user": {"uid": 1000, "gid": 1001, "additionalGids": [1002]},
            "capabilities": {"effective": ["CAP_DAC_OVERRIDE", "CAP_CHOWN"]},
        }
    )
    (image / "etc" / "image").chmod(0o600)

    def act() -> list[object]:
        return [
            os.getresuid(),
            os.getresgid(),
            os.getgroups(),
            refusal(lambda: os.setuid(0)),
            refusal(lambda: os.open("/etc/image", os.O_RDONLY)),
            refusal(lambda: os.chown("/tmp", 1000, 1000)),
        ]

    assert run_jailed(image, act, config).value == [
        [1000] * 3, [1001] * 3, [1002], "EPERM", "EACCES", "EPERM",
    ]  # fmt: skip


def test_a_readonly_root_cannot_be_written(image: Path) -> None:
    config = document(root={"path": "rootfs", "readonly": True}, process={"cwd": "/app/dir"})
    outcome = run_jailed(
        image, lambda: [os.getcwd(), refusal(lambda: Path("/etc/image").write_text("x"))], config
    )
    assert outcome.value == ["/app/dir", "EROFS"]


def test_a_readonly_volume_cannot_be_written_all_the_way_down(image: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "below").mkdir(parents=True)
    libc.mount(b"none", os.fsencode(volume / "below"), b"tmpfs", 0, None)
    try:
        outcome = run_jailed(
            image,
            lambda: [
                refusal(lambda: Path("/volume/x").write_text("x")),
                refusal(lambda: Path("/volume/below/x").write_text("x")),
            ],
            document(mounts=[bind(volume, "/volume", "ro")]),
        )
    finally:
        libc.umount2(os.fsencode(volume / "below"), 2)
    assert outcome.value == ["EROFS", "EROFS"]


def test_eating_memory_kills_the_eater_alone(image: Path) -> None:
    limit = 96 << 20
    group = new_cgroup("memory", Resources(memory_limit_bytes=limit))
    try:
        modest = run_jailed(image, lambda: len(bytearray(16 << 20)), cgroup=group)
        assert (modest.value, group.oom_kills()) == (16 << 20, 0)
        greedy = run_jailed(image, lambda: len(b"x" * (4 * limit)), cgroup=group)
        assert greedy.signal == signal.SIGKILL
        assert group.oom_kills() == 1
    finally:
        remove_cgroup(group)


def test_threads_count_against_the_pids_limit(image: Path) -> None:
    group = new_cgroup("pids", Resources(pids_limit=4))

    def start_threads() -> int:
        stop, started = threading.Event(), []
        try:
            for _ in range(20):
                thread = threading.Thread(target=stop.wait)
                thread.start()
                started.append(thread)
        except RuntimeError:
            pass
        stop.set()
        for thread in started:
            thread.join()
        return len(started)

    try:
        assert run_jailed(image, start_threads, cgroup=group).value == 3
    finally:
        remove_cgroup(group)


@pytest.mark.parametrize("uid", [0, 1000])
def test_an_instance_dies_with_its_shim(image: Path, uid: int) -> None:
    read_fd, write_fd = os.pipe()
    shim = os.fork()
    if shim == 0:
        os.close(read_fd)

        def wait_forever() -> None:
            os.write(write_fd, b"in")
            time.sleep(60)

        config = document(process={"user": {"uid": uid, "gid": uid}})
        run_jailed(image, wait_forever, config, keep_fds=[write_fd])
        os._exit(1)
    os.close(write_fd)
    assert os.read(read_fd, 2) == b"in"
    os.kill(shim, signal.SIGKILL)
    os.waitpid(shim, 0)
    # The end of the pipe comes with the end of the last process that holds it.
    assert os.read(read_fd, 1) == b""
    os.close(read_fd)
    # The tests' process is a subreaper: the orphan has become its child.
    _, status = os.waitpid(-1, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_an_abort_still_ends_the_instance(image: Path) -> None:
    assert run_jailed(image, os.abort).signal == signal.SIGABRT


def test_nobody_of_the_same_user_reads_an_instance(image: Path) -> None:
    told_fd, tell_fd = os.pipe()
    wait_fd, end_fd = os.pipe()
    read_fd, write_fd = os.pipe()
    neighbour = os.fork()
    if neighbour == 0:
        pid = int(os.read(told_fd, 16))
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        seen = [refusal(partial(os.open, f"/proc/{pid}/{name}", 0)) for name in ("mem", "environ")]
        os.write(write_fd, " ".join(seen).encode())
        os.close(end_fd)
        os._exit(0)
    os.close(end_fd)

    def wait() -> None:
        os.write(tell_fd, str(os.getpid()).encode())
        os.read(wait_fd, 1)

    config = document(process={"user": {"uid": 1000, "gid": 1000}})
    outcome = run_jailed(image, wait, config, keep_fds=[tell_fd, wait_fd])
    os.waitpid(neighbour, 0)
    assert (os.read(read_fd, 99), outcome.error) == (b"EACCES EACCES", "")
    for fd in (told_fd, tell_fd, wait_fd, read_fd, write_fd):
        os.close(fd)
