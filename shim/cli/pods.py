"""The pods and runs of this node, told from outside: sockets, bundles, cgroups and /proc.

Rules: reads only, and asks no shim: what a pod pays for is its containers. Everything may vanish
while it is looked at, and is then left out. Where containerd keeps its bundles, the mounts of a
shim say, which is in containerd's mount namespace; a bundle's `address` says which shim serves it,
as containerd reads it after a restart.
"""

import contextlib
import json
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
_RUNS = "/tandem/run/all"
# What groups containers into pods, as `start` looks for it.
_GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
_CRI = "io.kubernetes.cri"


@dataclass(frozen=True, slots=True)
class Container:
    """One container: `kind` is wasm, linux, or unknown where its process has ended; `name` is what
    Kubernetes calls it, or nothing."""

    id: str
    name: str
    kind: str
    pid: int
    pss: int


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod shim and what it serves; memory (PSS) in bytes, the shim's own apart. `name` is
    namespace/name in Kubernetes, or nothing."""

    name: str
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
    places = set().union(*map(_state_directories, shims.values()))
    bundles = _bundles_by_socket(set(shims), places)
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


def _state_directories(pid: int) -> set[Path]:
    """Where the shim's containerd keeps its bundles, as this process sees it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace").splitlines()
        points = [line.split()[4].partition(f"/{_STATE}/") for line in lines]
        return {Path(f"/proc/{pid}/root{parent}/{_STATE}") for parent, found, _ in points if found}
    return set()


def _bundles_by_socket(names: set[str], places: set[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    seen = set()
    for place in [*places, *_STATE_DIRECTORIES]:
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
    annotations = _annotations(bundles[0]) if bundles else {}
    groups = [annotations[name] for name in _GROUP_ANNOTATIONS if annotations.get(name)]
    name = [annotations.get(f"{_CRI}.sandbox-{part}", "") for part in ("namespace", "name")]
    containers = [_container(bundle, pid) for bundle in bundles if COMPANION not in bundle.name]
    return Pod(
        socket=path,
        pid=pid,
        namespace=bundles[0].parent.name if bundles else "",
        name="/".join(filter(None, name)),
        group=groups[0] if groups else (bundles[0].name if bundles else ""),
        uptime_s=_uptime_s(pid),
        pss=_pss(pid),
        containers=tuple(filter(None, containers)),
    )


def _annotations(bundle: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads((bundle / "config.json").read_bytes()).get("annotations")
        return {str(name): str(value) for name, value in (found or {}).items()}
    return {}


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
    name = _annotations(bundle).get(f"{_CRI}.container-name", "")
    return Container(bundle.name, name, kind, pid, pss)


def _uptime_s(pid: int) -> float:
    return max(0.0, time.time() - psutil.Process(pid).create_time())


def _pss(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)
