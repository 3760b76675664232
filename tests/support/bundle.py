"""Bundles, root file systems and FIFOs as containerd and its clients make them."""

import contextlib
import json
import os
import select
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shim.api import types_pb2

PATH_ENV = "PATH=/bin"
APPLETS = (
    *("cat", "dd", "echo", "env", "grep", "head", "id", "kill", "ls", "pwd", "seq", "sh", "sleep"),
    *("stat", "stty", "tail", "touch", "tr", "test", "true", "tty", "yes"),
)
NAMESPACES = ("ipc", "mount", "network", "pid", "uts")
HOST_PIDS = ("ipc", "mount", "network", "uts")
"""Without a pid namespace, whose init ignores signals that it does not handle."""


def make_rootfs(directory: Path) -> Path:
    """Make a small Linux root file system from Debian's static busybox."""
    for name in ("bin", "dev", "etc", "proc", "tmp"):
        (directory / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", directory / "bin/busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    return directory


def build_spec(
    container_id: str,
    args: Sequence[str],
    *,
    env: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
    namespaces: Sequence[str] = NAMESPACES,
) -> dict[str, Any]:
    """Return a config.json such as CRI writes, cut down to what every container needs."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": [PATH_ENV, *env],
            "cwd": "/",
            "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "annotations": dict(annotations or {}),
        "linux": {
            "cgroupsPath": f"/{container_id}",
            "namespaces": [{"type": name} for name in namespaces],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


class Output:
    """The client's end of an output FIFO: opened for reading before Create, read to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = b""
        self.ended = False
        os.mkfifo(path, 0o700)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def read_to_end(self, timeout_s: float = 10.0) -> bytes:
        """Read until every writer is gone; the shim must have let go of its handles for that."""
        self.read_until(None, timeout_s)
        return self.data

    def read_until(self, text: bytes | None, timeout_s: float = 10.0) -> None:
        """Read until `text` was seen, or to the end."""
        deadline = time.monotonic() + timeout_s
        while not self.ended and (text is None or text not in self.data):
            if not _read(self, before=deadline):
                wanted = "end of file" if text is None else repr(text)
                raise TimeoutError(f"no {wanted} on {self.path.name}; read {self.data[-200:]!r}")

    def take(self, mask: int) -> None:
        """Read what poll(2) says that there is."""
        chunk = os.read(self._fd, 1 << 16) if mask & select.POLLIN else b""
        self.data += chunk
        # POLLHUP without data: there was a writer, and there is none any more.
        self.ended = not chunk and bool(mask & select.POLLHUP)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_to_ends(*outputs: Output, timeout_s: float = 10.0) -> list[bytes]:
    """Read side by side, as clients do: a shim may wait until both streams were read."""
    deadline = time.monotonic() + timeout_s
    while left := [output for output in outputs if not output.ended]:
        if not _read(*left, before=deadline):
            raise TimeoutError(f"no end of {[output.path.name for output in left]}")
    return [output.data for output in outputs]


def _read(*outputs: Output, before: float) -> bool:
    """Read once from those that have something; False if none had until then."""
    poll = select.poll()
    for output in outputs:
        poll.register(output.fileno(), select.POLLIN)
    ready = dict(poll.poll(max(0, int((before - time.monotonic()) * 1000))))
    for output in outputs:
        if output.fileno() in ready:
            output.take(ready[output.fileno()])
    return bool(ready)


class Input:
    """The client's end of a stdin FIFO."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        os.mkfifo(path, 0o700)

    def open(self, timeout_s: float = 5.0) -> None:
        """Open for writing; the shim has to hold the reading end by then."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as err:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nobody reads {self.path}") from err
                time.sleep(0.01)
            else:
                return

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass
class Bundle:
    """One container's directory below containerd's state directory, with its FIFOs."""

    path: Path
    container_id: str
    spec: dict[str, Any]
    rootfs: list[types_pb2.Mount]
    stdin: Input | None = None
    stdout: Output | None = None
    stderr: Output | None = None
    ends: list[Input | Output] = field(default_factory=list)
    """Further FIFOs, of processes executed in the container."""
    _log_fd: int = field(default=-1, repr=False)

    @property
    def terminal(self) -> bool:
        """What Create says of it; containerd's clients take it from the spec, as here."""
        return bool(self.spec.get("process", {}).get("terminal", False))

    @property
    def io(self) -> Path:
        """Where the client has its FIFOs."""
        return self.path.parent.parent / "io" / self.container_id

    @property
    def output(self) -> Output:
        assert self.stdout is not None
        return self.stdout

    @property
    def input(self) -> Input:
        assert self.stdin is not None
        return self.stdin

    def write(self) -> None:
        """Make the directory; `log` is held open for reading and writing, as containerd does."""
        self.path.mkdir(mode=0o700, parents=True)
        (self.path / "rootfs").mkdir(mode=0o711)
        self.write_spec()
        os.mkfifo(self.path / "log", 0o700)
        self._log_fd = os.open(self.path / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def write_spec(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.spec))

    def log(self) -> str:
        """Return what the shim has logged since the last call."""
        chunks = []
        with contextlib.suppress(BlockingIOError):
            while True:
                chunks.append(os.read(self._log_fd, 1 << 16))
        return b"".join(chunks).decode(errors="replace")

    def close(self) -> None:
        for end in (self.stdin, self.stdout, self.stderr, *self.ends):
            if end is not None:
                end.close()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1


def overlay(lower: Path, scratch: Path) -> types_pb2.Mount:
    """Return the mount that containerd's overlayfs snapshotter gives for a container."""
    for name in ("upper", "work"):
        (scratch / name).mkdir(parents=True)
    options = [
        "index=off",
        f"workdir={scratch / 'work'}",
        f"upperdir={scratch / 'upper'}",
        f"lowerdir={lower}",
    ]
    return types_pb2.Mount(type="overlay", source="overlay", options=options)
