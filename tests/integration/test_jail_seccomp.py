"""System call filters: what a profile forbids, and that wasmtime lives under all of them."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.security.jailed import Outcome, document, raw, refusal, run_jailed

pytestmark = pytest.mark.root

# A guest that uses the clock, sleeps (which starts wasmtime's tokio threads), writes a file into
# its first preopen, and reads it back to standard output.
GUEST = """
(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek"
    (func $seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "note")
  (data (i32.const 8) "hello jail\\0a")
  (global $fd (mut i32) (i32.const 0))
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func (export "_start")
    (call $must (call $clock (i32.const 1) (i64.const 0) (i32.const 64)))
    ;; a subscription at 128: clock 1, 20 ms
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.const 20000000))
    (call $must (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 72)))
    (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.const 9) (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 76)))
    (global.set $fd (i32.load (i32.const 76)))
    (i32.store (i32.const 80) (i32.const 8))
    (i32.store (i32.const 84) (i32.const 11))
    (call $must (call $write (global.get $fd) (i32.const 80) (i32.const 1) (i32.const 72)))
    (call $must (call $seek (global.get $fd) (i64.const 0) (i32.const 0) (i32.const 96)))
    (i32.store (i32.const 80) (i32.const 512))
    (call $must (call $read (global.get $fd) (i32.const 80) (i32.const 1) (i32.const 72)))
    (call $must (call $write (i32.const 1) (i32.const 80) (i32.const 1) (i32.const 72)))))
"""

# The shape of containerd's default profile, its allow list cut to what CPython and wasmtime use.
ALLOWED_LINES = """
access arch_prctl brk capget capset clock_getres clock_gettime clock_nanosleep close
close_range connect dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 exit
exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchown fcntl fdatasync
flock fstat fstatfs fsync ftruncate futex getcwd getdents getdents64 getegid geteuid getgid
getgroups getpeername getpid getppid getrandom getrlimit getsockname getsockopt gettid gettimeofday
getuid ioctl link linkat listen lseek lstat madvise membarrier memfd_create mkdir mkdirat mlock mmap
mprotect mremap munmap nanosleep newfstatat open openat openat2 pipe pipe2 poll ppoll prctl pread64
preadv prlimit64 pwrite64 pwritev read readlink readlinkat readv recvfrom recvmsg rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_yield select sendfile sendmsg sendto
set_robust_list set_tid_address setitimer shutdown sigaltstack socketpair splice stat statfs statx
symlink symlinkat sync tgkill time timer_create timerfd_create timerfd_settime truncate ugetrlimit
umask uname unlink unlinkat utimensat wait4 waitid write writev not_a_system_call"""
ALLOWED = ALLOWED_LINES.split()
PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [
        {"names": ALLOWED, "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
        },
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}


def seccomp(**members: Any) -> dict[str, Any]:
    return document(linux={"namespaces": [{"type": "mount"}], "seccomp": members})


def run_guest(tmp_path: Path, config: dict[str, Any]) -> tuple[Outcome, str]:
    """Run GUEST as an instance does: artefact mapped before the jail, everything else in it."""
    artefact, rootfs = tmp_path / "artefact", tmp_path / "rootfs"
    rootfs.mkdir()
    rootfs.chmod(0o777)
    engine = wasmtime.Engine()
    compiler = os.fork()
    if compiler == 0:
        artefact.write_bytes(wasmtime.Module(engine, GUEST).serialize())
        os._exit(0)
    os.waitpid(compiler, 0)
    loaded: list[wasmtime.Module] = []

    def load() -> None:
        # In the child, because wasmtime keeps the artefact open to map the guest's memory from it.
        loaded.append(wasmtime.Module.deserialize_file(engine, str(artefact)))

    def run() -> int:
        linker, store, wasi = wasmtime.Linker(engine), wasmtime.Store(engine), wasmtime.WasiConfig()
        linker.define_wasi()
        wasi.preopen_dir("/", "/")
        wasi.stdout_file = "/out"
        store.set_wasi(wasi)
        start = linker.instantiate(store, loaded[0]).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        start(store)
        with os.scandir("/") as entries:
            return len(list(entries))

    outcome = run_jailed(rootfs, run, config, before=load)
    output = rootfs / "out"
    return outcome, output.read_text() if output.exists() else ""


@pytest.mark.parametrize(
    "config",
    [document(), document(process={"user": {"uid": 1000}}), seccomp(**PROFILE)],
    ids=["deny-list", "user", "profile"],
)
def test_wasmtime_lives(tmp_path: Path, config: dict[str, Any]) -> None:
    outcome, output = run_guest(tmp_path, config)
    assert outcome.error == ""
    assert (outcome.value, outcome.status) == (2, 0)
    assert output == "hello jail\n"


def test_threads_start(tmp_path: Path) -> None:
    def start() -> int:
        seen: list[int] = []
        threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(seen)

    assert run_jailed(tmp_path, start).value == 8
    assert run_jailed(tmp_path, start, seccomp(**PROFILE)).value == 8


def test_a_profile_refuses_what_it_does_not_list(tmp_path: Path) -> None:
    call = raw("sched_setscheduler", 0, 0, b"\0" * 8)
    assert run_jailed(tmp_path, lambda: refusal(call)).value == "done: 0"
    assert run_jailed(tmp_path, lambda: refusal(call), seccomp(**PROFILE)).value == "EPERM"


def test_the_default_errno_is_the_profile_s(tmp_path: Path) -> None:
    config = seccomp(**{**PROFILE, "defaultErrnoRet": 7})
    call = raw("sched_setscheduler", 0, 0, b"\0" * 8)
    assert run_jailed(tmp_path, lambda: refusal(call), config).value == "E2BIG"


def test_a_profile_cannot_allow_what_we_deny(tmp_path: Path) -> None:
    config = seccomp(
        defaultAction="SCMP_ACT_ALLOW",
        syscalls=[{"names": ["unshare"], "action": "SCMP_ACT_LOG"}],
    )
    assert run_jailed(tmp_path, lambda: refusal(raw("unshare", 0)), config).value == "EPERM"


def test_two_conditions_on_one_argument_are_alternatives(tmp_path: Path) -> None:
    config = seccomp(
        defaultAction="SCMP_ACT_ALLOW",
        syscalls=[
            {
                "names": ["umask"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 7,
                "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
                ],
            }
        ],
    )
    calls = [raw("umask", mask) for mask in (1, 2, 3)]
    outcome = run_jailed(tmp_path, lambda: [refusal(call) for call in calls], config)
    assert outcome.value == ["E2BIG", "E2BIG", f"done: {0o022}"]


def test_a_killing_profile_kills(tmp_path: Path) -> None:
    config = seccomp(
        defaultAction="SCMP_ACT_ALLOW",
        syscalls=[{"names": ["getcwd"], "action": "SCMP_ACT_KILL_PROCESS"}],
    )
    assert run_jailed(tmp_path, os.getcwd, config).signal == 31
