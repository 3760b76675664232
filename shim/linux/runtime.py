"""The node's OCI runtime (runc or crun) by its command line, as containerd's own shim uses it.

Rules: one thread, so every call is a child that the reaper tells of; the runtime's reason for a
failure is read from its JSON log, not from its exit code. Source: runc(8), crun(1).
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.errdefs import InternalError, InvalidArgumentError
from shim.process.reaper import Exit, Reaper

_LOG_NAME = "runtime-log.json"


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Which OCI runtime, and how: `binary` by name or path, `root` its state directory."""

    binary: str
    root: Path
    systemd_cgroup: bool = False
    no_pivot_root: bool = False
    no_new_keyring: bool = False


class OciRuntime:
    """Calls for one container: `bundle` is its bundle."""

    def __init__(
        self, options: RuntimeOptions, bundle: Path, env: Mapping[str, str], reaper: Reaper
    ) -> None:
        self._options = options
        self._bundle = bundle
        self._log = bundle / _LOG_NAME
        self._env = env
        self.reaper = reaper

    async def create(self, container_id: str, pid_file: Path, stdio: Sequence[int]) -> float:
        """Create the container; its init process inherits `stdio`.

        Returns:
            The monotonic time before the call, for `Reaper.adopt`.
        """
        arguments = [
            "create",
            "--bundle",
            os.fspath(self._bundle),
            "--pid-file",
            os.fspath(pid_file),
        ]
        if self._options.no_pivot_root:
            arguments.append("--no-pivot")
        if self._options.no_new_keyring:
            arguments.append("--no-new-keyring")
        begun = time.monotonic()
        await self._run([*arguments, container_id], stdio)
        return begun

    async def start(self, container_id: str) -> None:
        """Let the container's process run."""
        await self._run(["start", container_id])

    async def kill_all(self, container_id: str, signal: int) -> None:
        """Signal every process of the container."""
        await self._run(["kill", "--all", container_id, str(signal)])

    async def delete(self, container_id: str) -> None:
        """Remove what the runtime holds of the container; not an error if nothing is left."""
        if (self._options.root / container_id).exists():
            await self._run(["delete", "--force", container_id])

    async def _run(self, arguments: Sequence[str], stdio: Sequence[int] = ()) -> None:
        options = self._options
        argv = [options.binary, "--root", os.fspath(options.root)]
        argv += ["--log", os.fspath(self._log), "--log-format", "json"]
        if options.systemd_cgroup:
            argv.append("--systemd-cgroup")
        argv += arguments
        self._log.unlink(missing_ok=True)
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
        if ended.status != 0:
            raise InternalError(self._failure(arguments[0], ended))

    def _failure(self, verb: str, ended: Exit) -> str:
        """The runtime's own words: the last error in its log."""
        reason, name = f"exit status {ended.status}", Path(self._options.binary).name
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("level") == "error":
                reason = str(entry.get("msg", reason))
        # runc repeats itself at times.
        return f"{name} {verb} failed: {reason.removeprefix(f'{name} {verb} failed: ')}"
