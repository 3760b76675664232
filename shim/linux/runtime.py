"""The node's OCI runtime (runc or crun) by its command line, as containerd's own shim uses it.

Rules: one thread, so every call is a child that the reaper tells of; the runtime's reason for a
failure is read from its JSON log, not from its exit code. Source: runc(8), crun(1).
"""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.errdefs import InternalError, InvalidArgumentError
from shim.process.reaper import Exit, Reaper


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Which OCI runtime, and how: `binary` by name or path, `root` its state directory,
    `io_owner` the user and group of its containers' FIFOs."""

    binary: str
    root: Path
    systemd_cgroup: bool = False
    no_pivot_root: bool = False
    no_new_keyring: bool = False
    io_owner: tuple[int, int] = (0, 0)


class OciRuntime:
    """Calls for one container: `bundle` is its bundle."""

    def __init__(
        self, options: RuntimeOptions, bundle: Path, env: Mapping[str, str], reaper: Reaper
    ) -> None:
        self._options = options
        self.bundle = bundle
        self._env = env
        # Several calls may run for one container: each has a log of its own.
        self._calls = itertools.count()
        self.reaper = reaper

    @property
    def search_path(self) -> str:
        """Where the runtime looks for programs of its own."""
        return self._env.get("PATH", os.defpath)

    async def create(
        self, container_id: str, pid_file: Path, stdio: Sequence[int], console: str = ""
    ) -> float:
        """Create the container; its init process inherits `stdio`, or gets a terminal whose master
        is sent to the socket at `console`.

        Returns:
            The monotonic time before the call, for `Reaper.adopt`.
        """
        arguments = [
            "create",
            "--bundle",
            os.fspath(self.bundle),
            "--pid-file",
            os.fspath(pid_file),
        ]
        arguments += ["--console-socket", console] if console else []
        arguments += self._pivot_flags()
        if self._options.no_new_keyring:
            arguments.append("--no-new-keyring")
        begun = time.monotonic()
        await self._run([*arguments, container_id], stdio)
        return begun

    async def execute(
        self,
        container_id: str,
        process: Path,
        pid_file: Path,
        stdio: Sequence[int],
        console: str = "",
    ) -> float:
        """Execute the process that the file `process` describes, as `create` does with init."""
        arguments = ["exec", "--detach"]
        arguments += ["--process", os.fspath(process), "--pid-file", os.fspath(pid_file)]
        arguments += ["--console-socket", console] if console else []
        begun = time.monotonic()
        await self._run([*arguments, container_id], stdio)
        return begun

    async def start(self, container_id: str) -> None:
        """Let the container's process run."""
        await self._run(["start", container_id])

    async def kill_all(self, container_id: str, signal: int) -> None:
        """Signal every process of the container."""
        await self._run(["kill", "--all", container_id, str(signal)])

    async def pause(self, container_id: str) -> None:
        """Freeze every process of the container."""
        await self._run(["pause", container_id])

    async def resume(self, container_id: str) -> None:
        """Let them go on."""
        await self._run(["resume", container_id])

    async def update(self, container_id: str, resources: Path) -> None:
        """Change the container's limits to those of a file, the spec's LinuxResources."""
        await self._run(["update", "--resources", os.fspath(resources), container_id])

    async def checkpoint(self, container_id: str, flags: Sequence[str]) -> None:
        """Have CRIU write the container's state to disk."""
        await self._run(["checkpoint", *flags, container_id])

    async def restore(
        self, container_id: str, pid_file: Path, stdio: Sequence[int], flags: Sequence[str]
    ) -> float:
        """Have CRIU make a running container of what `checkpoint` wrote; returns as `create`."""
        arguments = ["restore", "--detach", *flags, *self._pivot_flags()]
        arguments += ["--bundle", os.fspath(self.bundle), "--pid-file", os.fspath(pid_file)]
        begun = time.monotonic()
        await self._run([*arguments, container_id], stdio)
        return begun

    async def delete(self, container_id: str) -> None:
        """Remove what the runtime holds of the container; not an error if nothing is left."""
        if (self._options.root / container_id).exists():
            await self._run(["delete", "--force", container_id])

    def _pivot_flags(self) -> list[str]:
        return ["--no-pivot"] if self._options.no_pivot_root else []

    async def _run(self, arguments: Sequence[str], stdio: Sequence[int] = ()) -> None:
        options = self._options
        log = self.bundle / f"runtime-{next(self._calls)}.log"
        argv = [options.binary, "--root", os.fspath(options.root)]
        argv += ["--log", os.fspath(log), "--log-format", "json"]
        if options.systemd_cgroup:
            argv.append("--systemd-cgroup")
        argv += arguments
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            _, exited = self.reaper.spawn(argv, self._env, stdio or (null, null, null))
        except OSError as error:
            raise InvalidArgumentError(
                f"OCI runtime {options.binary} cannot be executed: {error.strerror}"
            ) from error
        finally:
            os.close(null)
        ended = await exited
        try:
            if ended.status != 0:
                raise InternalError(self._failure(arguments[0], ended, log))
        finally:
            log.unlink(missing_ok=True)

    def _failure(self, verb: str, ended: Exit, log: Path) -> str:
        """The runtime's own words: the last error in its log."""
        reason, name = f"exit status {ended.status}", Path(self._options.binary).name
        with contextlib.suppress(OSError):
            for error in _errors(log.read_text(errors="replace")):
                reason = error
        # runc repeats itself at times.
        return f"{name} {verb} failed: {reason.removeprefix(f'{name} {verb} failed: ')}"


def _errors(log: str) -> Iterator[str]:
    """The errors in a JSON log; newer cruns write an entry over several lines."""
    decoder = json.JSONDecoder()
    begin = log.find("{")
    while begin >= 0:
        end = begin + 1
        with contextlib.suppress(ValueError):
            entry, end = decoder.raw_decode(log, begin)
            if entry.get("level") == "error" and "msg" in entry:
                yield str(entry["msg"])
        begin = log.find("{", end)
