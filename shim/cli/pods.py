"""The pods and runs of this node, told from outside: sockets, bundles, cgroups and /proc.

Rules: reads only, and asks no shim: what a pod pays for is its containers. Everything may vanish
while it is looked at, and is then left out. A container's bundle says by its `address` which shim
it belongs to, as containerd reads it after a restart.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from shim import sockets
from shim.cgroup import locate
from shim.record import COMPANION, read_pid, read_record
from shim.rundir import RunDir

_STATE = "io.containerd.runtime.v2.task"
_STATE_DIRECTORIES = (Path("/run/containerd") / _STATE,)
_DELETED = " (deleted)"
_RUNS = "/tandem/run/all"


@dataclass(frozen=True, slots=True)
class Container:
    """One container: `kind` is wasm, linux, or unknown where its process has ended."""

    id: str
    kind: str
    pid: int
    pss: int


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod shim and what it serves; memory (PSS) in bytes, the shim's own apart."""

    socket: Path
    pid: int
    namespace: str
    group: str
    uptime_s: float
    pss: int
    containers: tuple[Container, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A guest of `tandem run`."""

    pid: int
    uptime_s: float
    pss: int


def pods(run_dir: RunDir) -> list[Pod]:
    """The pods of the daemon with this run directory, oldest first."""
    shims = {path.name: pid for path in _task_sockets(run_dir) if (pid := _listener(path))}
    bundles = _bundles_by_socket(set(shims), [*map(_state_directory, shims.values())])
    found = []
    for name, pid in shims.items():
        with contextlib.suppress(OSError, psutil.Error):
            found.append(_pod(run_dir.task_sockets / name, pid, bundles.get(name, [])))
    return sorted(found, key=lambda pod: -pod.uptime_s)


def runs() -> list[Run]:
    """What `tandem run` runs, oldest first."""
    pids = set()
    for path in locate(_RUNS, systemd=False).paths:
        for file in path.parent.glob("*/cgroup.procs"):
            with contextlib.suppress(OSError):
                pids |= {int(line) for line in file.read_text().split()}
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(Run(pid, _uptime_s(pid), _pss(pid)))
    return sorted(found, key=lambda run: -run.uptime_s)


def _task_sockets(run_dir: RunDir) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in sorted(run_dir.task_sockets.iterdir()):
            if path.is_socket() and not path.suffix:
                yield path


def _listener(path: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return 0
        return sockets.peer(probe)[0]


def _state_directory(pid: int) -> Path | None:
    """Where the shim's containerd keeps its bundles, as this process sees it."""
    try:
        bundle = Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(_DELETED))
    except OSError:
        return None
    # The shim may live in another mount namespace, with its containerd.
    return Path(f"/proc/{pid}/root{bundle.parent.parent}") if bundle.is_absolute() else None


def _bundles_by_socket(names: set[str], places: list[Path | None]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    seen = set()
    for place in [*filter(None, places), *_STATE_DIRECTORIES]:
        with contextlib.suppress(OSError):
            identity = (place.stat().st_dev, place.stat().st_ino)
            if identity in seen:
                continue
            seen.add(identity)
        for file in sorted(place.glob("*/*/address")):
            with contextlib.suppress(OSError):
                text = file.read_text(errors="replace")
                for name in names:
                    if name in text:
                        found.setdefault(name, []).append(file.parent)
    return found


def _pod(path: Path, pid: int, bundles: list[Path]) -> Pod:
    first = Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(_DELETED))
    containers = [_container(bundle, pid) for bundle in bundles if COMPANION not in bundle.name]
    return Pod(
        socket=path,
        pid=pid,
        namespace=first.parent.name,
        group=first.name,
        uptime_s=_uptime_s(pid),
        pss=_pss(pid),
        containers=tuple(filter(None, containers)),
    )


def _container(bundle: Path, shim: int) -> Container | None:
    if read_record(bundle) is None:
        return None
    pid = read_pid(bundle)
    kind, pss = "unknown", 0
    if pid and psutil.pid_exists(pid):
        with contextlib.suppress(OSError, psutil.Error):
            # An instance is a fork of its pod's shim, and so has its executable.
            same = Path(f"/proc/{pid}/exe").samefile(f"/proc/{shim}/exe")
            kind = "wasm" if same else "linux"
            pss = _pss(pid)
    return Container(bundle.name, kind, pid, pss)


def _uptime_s(pid: int) -> float:
    return max(0.0, time.time() - psutil.Process(pid).create_time())


def _pss(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)
