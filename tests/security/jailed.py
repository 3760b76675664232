"""Run a Python function in a real jail: the stand-in for a guest that has escaped from wasmtime."""

import ctypes
import errno
import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyseccomp as libseccomp

from shim.cgroup import Cgroup, locate
from shim.jail import JailPlan, build_exec_plan, build_plan, drop_inherited, enter, with_workers
from shim.kernel import constants as c
from shim.oci.spec import Resources, parse_spec

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

SANDBOXED = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
JOINED = {
    "net": c.CLONE_NEWNET,
    "ipc": c.CLONE_NEWIPC,
    "uts": c.CLONE_NEWUTS,
    "mnt": c.CLONE_NEWNS,
}
"""In the order of joining, as the pod shim does it."""
V1_HIERARCHIES = ("memory", "cpu", "cpuacct", "pids", "freezer", "cpuset")


@dataclass(frozen=True)
class Outcome:
    """How the payload ended: its value, or the error that stopped the jail or it, or a signal."""

    status: int
    value: Any = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def signal(self) -> int:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0


def document(**members: Any) -> dict[str, Any]:
    """A config.json like that of a plain `ctr run`; `process` and `linux` are merged."""
    process = {"cwd": "/", "args": ["/app.wasm"], **members.pop("process", {})}
    linux = {"namespaces": SANDBOXED, **members.pop("linux", {})}
    return {"root": {"path": "rootfs"}, "process": process, "linux": linux, **members}


def bind(source: Path, destination: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", *options],
    }


def run_jailed(
    rootfs: Path,
    payload: Callable[[], object],
    config: dict[str, Any] | None = None,
    *,
    cgroup: Cgroup | None = None,
    keep_fds: Iterable[int] = (),
    before: Callable[[], object] = list,
) -> Outcome:
    """Fork, run `before`, enter the jail of `config`, run `payload` there, and tell the end."""
    plan = build_plan(parse_spec(json.dumps(config or document()).encode()), rootfs)
    return _run(plan, payload, cgroup, keep_fds, before)


def run_supervising(
    rootfs: Path, payload: Callable[[], object], config: dict[str, Any] | None = None
) -> Outcome:
    """As `run_jailed`, of a process that makes workers."""
    plan = build_plan(parse_spec(json.dumps(config or document()).encode()), rootfs)
    return _run(with_workers(plan), payload)


def run_executed(
    rootfs: Path, payload: Callable[[], object], config: dict[str, Any] | None = None
) -> Outcome:
    """As `run_jailed`, of a process that joins a jail in which another one sits."""
    spec = parse_spec(json.dumps(config or document()).encode())
    with _sitting_in_jail(build_plan(spec, rootfs)) as init:
        fds = [os.open(f"/proc/{init}/ns/{name}", os.O_RDONLY) for name in JOINED]
        joined = [
            (kind, Path(f"/proc/self/fd/{fd}"))
            for kind, fd in zip(JOINED.values(), fds, strict=True)
        ]
        try:
            return _run(
                build_exec_plan(spec, joined),
                payload,
                keep_fds=fds,
                inside=partial(close_all, fds),
            )
        finally:
            close_all(fds)


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


@contextmanager
def _sitting_in_jail(plan: JailPlan) -> Iterator[int]:
    ready, entered = os.pipe()
    held, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        drop_inherited((0, 1, 2, entered, held))
        with suppress(Exception):
            enter(plan, ())
            os.write(entered, b"r")
            os.read(held, 1)
        os._exit(0)
    os.close(entered)
    os.close(held)
    try:
        assert os.read(ready, 1) == b"r"
        yield pid
    finally:
        os.close(hold)
        os.close(ready)
        os.waitpid(pid, 0)


def _run(
    plan: JailPlan,
    payload: Callable[[], object],
    cgroup: Cgroup | None = None,
    keep_fds: Iterable[int] = (),
    before: Callable[[], object] = list,
    inside: Callable[[], object] = list,
) -> Outcome:
    procs: Sequence[Path] = cgroup.procs_files() if cgroup else ()
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            drop_inherited((0, 1, 2, write_fd, *keep_fds))
            before()
            report: dict[str, Any] = {"warnings": enter(plan, procs)}
            inside()
            report["value"] = payload()
        except BaseException as error:
            report = {"error": f"{type(error).__name__}: {error}"}
            if not isinstance(error, Exception):
                traceback.print_exc()
        os.write(write_fd, json.dumps(report).encode())
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    return Outcome(status, **(json.loads(data) if data else {}))


def refusal(call: Callable[[], object]) -> str:
    """The name of the errno that `call` fails with, or what it gave."""
    try:
        return f"done: {call()!r}"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def raw(name: str, *arguments: int | bytes | None) -> Callable[[], int]:
    """A system call by name, without the C library's help; negative results become OSError."""
    number = libseccomp.resolve_syscall(libseccomp.Arch.NATIVE, name)
    return raw_number(number, *arguments)


def raw_number(number: int, *arguments: int | bytes | None) -> Callable[[], int]:
    def call() -> int:
        typed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        result = int(libc.syscall(ctypes.c_long(number), *typed))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    return call


def new_cgroup(name: str, resources: Resources) -> Cgroup:
    group = locate(f"/tandem-test-{os.getpid()}/{name}", systemd=False)
    group.create(resources)
    return group


def remove_cgroup(group: Cgroup) -> None:
    group.kill()
    group.remove()
    for path in group.paths:
        if path.parent.is_dir() and not any(p.is_dir() for p in path.parent.iterdir()):
            path.parent.rmdir()


def mounts_below(path: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split(" ")[4].startswith(str(path))]
