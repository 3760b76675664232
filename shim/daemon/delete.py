"""`delete`: answer for a task that is over, and clean up after a pod shim that died.

containerd runs it after every deletion, also the clean ones, and gives it 5 s. Rules: idempotent;
costs two file look-ups where there is nothing to clean; never touches another container of the pod
or a live shim.
"""

import contextlib
import glob
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from shim import sockets
from shim.api import task_pb2
from shim.cgroup import Cgroup
from shim.daemon.params import Params
from shim.daemon.poststop import run_poststop
from shim.daemon.reply import decode_address
from shim.errdefs import InternalError
from shim.record import COMPANION, Record, read_pid, read_record, remove_record
from shim.rootfs import unmount_rootfs
from shim.rundir import RunDir

_RUNTIME_TIMEOUT_S = 4.0
_CGROUP_ROOT = Path("/sys/fs/cgroup")


def delete_nothing(bundle: Path, run_dir: RunDir) -> bytes | None:
    """The answer where nothing has to be cleaned, else None; changes nothing."""
    if read_record(bundle) is not None or _socket_of(bundle, run_dir) is not None:
        return None
    return _answer(read_pid(bundle))


def delete(params: Params, cwd: str, run_dir: RunDir) -> bytes:
    """Clean up, and return the DeleteResponse that containerd reads.

    Raises:
        InternalError: something of the container could not be removed; a repetition may succeed.
    """
    bundle = Path(params.bundle or cwd)
    pid = read_pid(bundle)
    # First: a shim that lost its gateway still lives, and would act on what is cleaned here.
    path = _socket_of(bundle, run_dir)
    if path is not None:
        sockets.remove_dead(run_dir, path)
    record = read_record(bundle)
    if record is not None:
        is_wasm = pid != 0 and not (Path(record.oci_runtime_root) / params.id).exists()
        _clean(params.id, record)
        if is_wasm:
            # Of Linux containers, the OCI runtime has just done so.
            run_poststop(params.id, bundle)
        remove_record(bundle)
    return _answer(pid)


def _answer(pid: int) -> bytes:
    response = task_pb2.DeleteResponse(pid=pid, exit_status=128 + signal.SIGKILL)
    response.exited_at.FromNanoseconds(time.time_ns())
    return response.SerializeToString()


def _socket_of(bundle: Path, run_dir: RunDir) -> Path | None:
    """The pod's task socket, if its shim is gone, or cut off from containerd, and left a socket."""
    try:
        path = decode_address((bundle / "address").read_text())
    except OSError:
        return None
    if path is None or path.parent != run_dir.task_sockets:
        return None
    if sockets.has_lost_gateway(path):
        return path
    if not path.exists() or sockets.is_alive(path):
        return None
    return path


def _clean(container_id: str, record: Record) -> None:
    problems: list[str] = []
    if record.oci_runtime:
        problems += _delete_linux(container_id, record)
    cgroup = Cgroup.from_paths(_in_every_hierarchy(record.cgroup_paths))
    for what, act in (
        ("cgroup", cgroup.kill),
        ("cgroup", cgroup.remove),
        ("rootfs", lambda: unmount_rootfs(Path(record.rootfs))),
    ):
        try:
            act()
        except Exception as error:  # noqa: BLE001 (the rest must be cleaned all the same)
            problems.append(f"{what}: {error}")
    if problems:
        raise InternalError(f"container {container_id} is not wholly removed: {problems}")


def _in_every_hierarchy(paths: Sequence[str]) -> tuple[Path, ...]:
    """The group's directories in hierarchies that only the OCI runtime joins, too (cgroup v1)."""
    ours = {Path(path) for path in paths}
    if (_CGROUP_ROOT / "cgroup.controllers").exists():
        return tuple(ours)
    below = [path.relative_to(_CGROUP_ROOT) for path in ours if path.is_relative_to(_CGROUP_ROOT)]
    # The first part is the hierarchy; what is left must name a group, never a hierarchy's root.
    groups = {Path(*path.parts[1:]) for path in below if len(path.parts) > 1}
    hierarchies = {entry.resolve() for entry in _CGROUP_ROOT.iterdir()} if groups else set()
    theirs = {hierarchy / group for hierarchy in hierarchies for group in groups}
    return tuple(ours | {path for path in theirs if path.is_dir()})


def _end_runtime_calls(container_id: str, record: Record) -> None:
    """Kill the OCI runtime's processes that the dead shim had started for this container.

    They outlive it, and would go on to create what is being removed here.
    """
    root, own = os.fsencode(record.oci_runtime_root), os.fsencode(container_id)
    companions = os.fsencode(container_id + COMPANION)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_ours = any(word == own or word.startswith(companions) for word in words)
            binary = os.fsencode(record.oci_runtime)
            if is_ours and root in words and words[0].endswith(binary):
                _kill_and_wait(int(entry.name))


def _kill_and_wait(pid: int) -> None:
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        select.select([fd], [], [], _RUNTIME_TIMEOUT_S / 2)
    finally:
        os.close(fd)


def _delete_linux(container_id: str, record: Record) -> list[str]:
    _end_runtime_calls(container_id, record)
    root = Path(record.oci_runtime_root)
    # A Wasm container's companions have names that begin with its own.
    names = [path.name for path in root.glob(f"{glob.escape(container_id + COMPANION)}*")]
    return [problem for name in (*names, container_id) for problem in _delete_one(name, record)]


def _delete_one(name: str, record: Record) -> list[str]:
    state = Path(record.oci_runtime_root) / name
    if not state.exists():
        return []
    try:
        subprocess.run(
            [record.oci_runtime, "--root", record.oci_runtime_root, "delete", "-f", name],
            check=True,
            capture_output=True,
            timeout=_RUNTIME_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or b""
        if b"does not exist" in output:
            # A create that was killed half-way: a directory that the runtime itself cannot read.
            shutil.rmtree(state, ignore_errors=True)
            return []
        return [f"{error} {output.decode(errors='replace')[-400:]}"]
    return []
