"""Attacks of native code that has broken out of wasmtime: each must fail, and hurt nobody."""

import ctypes
import errno
import mmap
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.security.jailed import (
    bind,
    document,
    libc,
    raw,
    raw_number,
    refusal,
    run_executed,
    run_jailed,
)

pytestmark = pytest.mark.root

CLONE_NEWUSER, CLONE_NEWNS, SIGCHLD = 0x10000000, 0x00020000, 17
PTRACE_ATTACH, PTRACE_TRACEME = 16, 0
PARENT = os.getpid()

FORBIDDEN: dict[str, Callable[[], object]] = {
    "fork": os.fork,
    "vfork": raw("vfork"),
    "clone": raw("clone", SIGCHLD, 0, 0, 0, 0),
    "clone a user namespace": raw("clone", CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
    "posix_spawn": lambda: os.posix_spawn("/data/setuid", ["setuid"], {}),
    "execve": lambda: os.execve("/data/setuid", ["setuid"], {}),
    "unshare": raw("unshare", CLONE_NEWUSER),
    "setns": raw("setns", 0, 0),
    "mount": raw("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "remount": raw("mount", None, b"/", None, 0x20 | 0x1000, None),
    "umount": raw("umount2", b"/", 2),
    "pivot_root": raw("pivot_root", b"/", b"/tmp"),
    "chroot": lambda: os.chroot("/tmp"),
    "open_tree": raw("open_tree", -100, b"/", 1),
    "fsopen": raw("fsopen", b"proc", 0),
    "mknod": lambda: os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0)),
    "open_by_handle_at": raw("open_by_handle_at", -100, b"\0" * 32, 0),
    "ptrace the parent": raw("ptrace", PTRACE_ATTACH, PARENT, 0, 0),
    "ptrace itself": raw("ptrace", PTRACE_TRACEME, 0, 0, 0),
    "read the parent": raw("process_vm_readv", PARENT, None, 0, None, 0, 0),
    "kill the parent": lambda: os.kill(PARENT, signal.SIGUSR1),
    "kill everyone": lambda: os.kill(-1, signal.SIGUSR1),
    "tgkill the parent": raw("tgkill", PARENT, PARENT, signal.SIGUSR1),
    "queue a signal": raw("rt_sigqueueinfo", PARENT, signal.SIGUSR1, b"\0" * 128),
    "pidfd_open": lambda: os.pidfd_open(PARENT),
    "limit the parent": raw("prlimit64", PARENT, 7, struct.pack("=QQ", 0, 0), None),
    "starve the parent": lambda: os.setpriority(os.PRIO_PROCESS, PARENT, 19),
    "pin the parent": lambda: os.sched_setaffinity(PARENT, {0}),
    "bpf": raw("bpf", 0, b"\0" * 64, 64),
    "perf_event_open": raw("perf_event_open", b"\0" * 128, 0, -1, -1, 0),
    "userfaultfd": raw("userfaultfd", 0),
    "keyctl": raw("keyctl", 0, -3, 0),
    "syslog": raw("syslog", 3, b"\0" * 64, 64),
    "init_module": raw("init_module", b"", 0, b""),
    "kexec_load": raw("kexec_load", 0, 0, None, 0),
    "reboot": raw("reboot", 0, 0, 0, None),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "set the host name": lambda: socket.sethostname("owned"),
    "personality": raw("personality", 0x0040000),
    "shared memory": raw("shmget", 0, 4096, 0o1600),
    "push input to the terminal": raw("ioctl", 0, 0x5412, b"x"),
    "the same with high bits": raw("ioctl", 0, 0x100005412, b"x"),
    "outlive the parent": raw("prctl", 1, 0, 0, 0, 0),
    "allow to be traced": raw("prctl", 4, 1, 0, 0, 0),
}


@pytest.mark.parametrize("attack", FORBIDDEN, ids=lambda name: name.replace(" ", "-"))
def test_a_forbidden_call_is_refused(image: Path, attack: str) -> None:
    outcome = run_jailed(image, lambda: refusal(FORBIDDEN[attack]))
    assert (outcome.value, outcome.error) == ("EPERM", "")


def test_forbidden_calls_are_refused_to_what_is_executed_in_the_jail(image: Path) -> None:
    def attack() -> dict[str, str]:
        return {name: refusal(call) for name, call in FORBIDDEN.items()}

    outcome = run_executed(image, attack)
    assert (outcome.value, outcome.error) == (dict.fromkeys(FORBIDDEN, "EPERM"), "")


def test_what_is_executed_in_the_jail_sees_what_init_sees(image: Path, secret: Path) -> None:
    def look() -> dict[str, object]:
        return {
            "root": sorted(os.listdir("/")),
            "image": Path("/etc/image").read_text(),
            "secret": refusal(lambda: os.stat(secret)),
            "above": os.stat("/..").st_ino == os.stat("/").st_ino,
            "proc": refusal(lambda: os.listdir("/proc/self/ns")),
            "cwd": str(Path.cwd()),
            "umask": os.umask(0),
            "ids": os.getresuid() + os.getresgid(),
            "groups": os.getgroups(),
            "descriptors": sum(refusal(partial(os.fstat, fd)) != "EBADF" for fd in range(100)),
            "mount": refusal(lambda: os.mkdir("/etc/new")),
        }

    process = {"cwd": "/data", "user": {"uid": 65534, "gid": 65534, "umask": 0o27}}
    config = document(process=process, mounts=[bind(image / "etc", "/data", "ro")])
    executed, init = run_executed(image, look, config), run_jailed(image, look, config)
    assert (executed.value, executed.error) == (init.value, "")
    assert executed.value["secret"] == "ENOENT"
    assert executed.value["cwd"] == "/data"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (raw("clone3", b"\0" * 88, 88), "so that the C library falls back to clone"),
        (raw("io_uring_setup", 8, b"\0" * 120), "so that its users fall back"),
        (raw_number(451, 0, None, None, 0), "newer than the deny list"),
        (raw_number(467, -100, b"/", 1, None, 0), "open_tree_attr, newer than the deny list"),
    ],
)
def test_an_absent_call_does_not_exist(
    image: Path, call: Callable[[], object], reason: str
) -> None:
    assert run_jailed(image, lambda: refusal(call)).value == "ENOSYS", reason


@pytest.mark.parametrize("family", [socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, 38, 3])
def test_other_socket_families_do_not_exist(image: Path, family: int) -> None:
    outcome = run_jailed(image, lambda: refusal(lambda: socket.socket(family, socket.SOCK_RAW)))
    assert outcome.value == "EAFNOSUPPORT"


def test_a_raw_socket_is_refused(image: Path) -> None:
    outcome = run_jailed(
        image, lambda: refusal(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    )
    assert outcome.value == "EPERM"


def test_the_32_bit_door_is_shut(image: Path) -> None:
    def call_through_int_80() -> int:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())

    # Where the kernel has no 32-bit calls at all, the instruction itself is the crash.
    assert run_jailed(image, call_through_int_80).signal in {signal.SIGSYS, signal.SIGSEGV}


def test_the_node_is_out_of_sight(image: Path, secret: Path) -> None:
    def look() -> dict[str, object]:
        for _ in range(30):
            os.chdir("..")
        paths = ("/proc/self/root", "/proc/1/environ", "/sys/kernel", "/dev/null", str(secret))
        return {
            "root": sorted(os.listdir("/")),
            "above": sorted(os.listdir(".")),
            "files": {refusal(partial(os.open, path, os.O_RDONLY)) for path in paths} == {"ENOENT"},
        }

    names = sorted(os.listdir(image))
    assert run_jailed(image, look).value == {"root": names, "above": names, "files": True}


def test_device_nodes_of_the_image_and_of_volumes_are_dead(image: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    for directory in (image / "data", volume):
        os.mknod(directory / "mem", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    config = document(mounts=[bind(volume, "/volume", "dev")])
    outcome = run_jailed(
        image,
        lambda: [refusal(partial(os.open, p, os.O_RDWR)) for p in ("/data/mem", "/volume/mem")],
        config,
    )
    assert outcome.value == ["EACCES", "EACCES"]


def test_set_user_id_files_have_no_effect(image: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    config = document(
        mounts=[
            bind(volume, "/volume", "suid"),
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["suid"]},
        ]
    )
    outcome = run_jailed(
        image,
        lambda: [os.statvfs(p).f_flag & os.ST_NOSUID for p in ("/", "/volume", "/run")],
        config,
    )
    assert outcome.value == [os.ST_NOSUID] * 3


def test_inherited_descriptors_are_closed(image: Path) -> None:
    leaked = [os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/etc/passwd", os.O_RDONLY)]
    high = 200
    os.dup2(leaked[0], high)
    try:
        outcome = run_jailed(
            image, lambda: [refusal(partial(os.fstat, fd)) for fd in (*leaked, high)]
        )
    finally:
        for fd in (*leaked, high):
            os.close(fd)
    assert outcome.value == ["EBADF"] * 3


def test_the_environment_is_empty(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "of the node")
    libc.getenv.restype = ctypes.c_char_p
    assert run_jailed(image, lambda: [dict(os.environ), libc.getenv(b"TOKEN")]).value == [{}, None]


def test_a_hard_link_out_of_the_jail_fails(image: Path, tmp_path: Path, secret: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "way-out").symlink_to(secret)

    follow = 0x400

    def link() -> list[str]:
        return [
            refusal(raw("linkat", -100, b"/volume/way-out", -100, b"/volume/stolen", follow)),
            refusal(lambda: os.link("/etc/image", "/volume/stolen")),
            refusal(lambda: os.open("/volume/way-out", os.O_RDWR)),
        ]

    outcome = run_jailed(image, link, document(mounts=[bind(volume, "/volume")]))
    assert outcome.value == ["ENOENT", errno.errorcode[errno.EXDEV], "ENOENT"]
    assert secret.read_text() == "of the node"
