"""The runner: a process of the daemon's that keeps one guest for one `tandem run`.

It is to its guest what a pod shim is to a container, with the same parts: one thread, one event
loop, a loader for a module that is new, an instance in its jail. Rules: what it makes is named in
no place that outlives it (its mounts are in a namespace of its own, its guest and its loader die
with it), but for the control group of a guest with a limit; the guest dies with the client; the
client's stdio is handed over, no byte passes through here.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shim.cgroup import locate
from shim.config import DEFAULT_PATH, PATH_VARIABLE, load_config
from shim.engine.config import compatibility_key, new_engine
from shim.errdefs import InvalidArgumentError, NotFoundError, ShimError
from shim.instance.init import WasmInit
from shim.pod import logs
from shim.pod.main import Host
from shim.pod.node import Node
from shim.pod.program import WasmFile
from shim.pod.wasm import WasmInstances
from shim.process.reaper import Reaper
from shim.rundir import RunDir
from shim.runner import wire
from shim.runner.container import RunContainer, below_root, build_spec, root_of
from shim.runner.group import group_name, sweep
from shim.runner.options import RunOptions
from shim.runner.root import build_root, private_directory, require_mountpoints
from shim.runner.target import find_in_root, only_module, open_module, split_function

# A start that takes longer is one that compiles: others must not wait for this process.
_PATIENCE_S = 0.05
_MAX_SIGNALS_BYTES = 64
_UMASK = 0o022


@dataclass(frozen=True, slots=True)
class Run:
    """One call of `tandem run`, received: `env` is the caller's, this process stands where the
    caller does. `leave_pool` may be called more than once."""

    connection: socket.socket
    options: RunOptions
    env: Mapping[str, str]
    stdio: Sequence[int]
    run_dir: RunDir
    leave_pool: Callable[[], None]


def run_guest(run: Run, host: Host) -> None:
    """Keep the guest; returns when it is over and the client has its answer."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    last = loop.run_until_complete(_Runner(run, host, loop).run())
    run.connection.setblocking(True)  # noqa: FBT003 (the socket API's)
    with contextlib.suppress(OSError):
        run.connection.sendall(last)
    run.connection.close()


def run_alone(run: Run) -> None:
    """Keep the guest in a process that no daemon has prepared."""
    logs.configure()
    run_guest(run, Host(new_engine(), compatibility_key()))


class _HandedFds:
    """The client's stdio, until the guest has it."""

    def __init__(self, fds: Sequence[int]) -> None:
        self.child_fds = fds

    def close_child_fds(self) -> None:
        for fd in self.child_fds:
            os.close(fd)
        self.child_fds = ()


class _Runner:
    def __init__(self, run: Run, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._host = host
        self._loop = loop
        self._reaper = Reaper()
        self._stdio = _HandedFds(run.stdio)
        self._init: WasmInit | None = None
        # What came before there was a guest to have it.
        self._stopped_by = 0
        self._timed_out = False

    async def run(self) -> bytes:
        """The last message."""
        self._reaper.install(self._loop)
        patience = self._loop.call_later(_PATIENCE_S, self._run.leave_pool)
        task = self._loop.create_task(self._whole_life())
        self._run.connection.setblocking(False)  # noqa: FBT003 (the socket API's)
        self._loop.add_reader(self._run.connection, self._hear, task)
        try:
            return wire.pack_end(*await task)
        except asyncio.CancelledError:
            return wire.pack_end(128 + self._stopped_by, "")
        except NotFoundError:
            return wire.NOT_UNDERSTOOD
        except (ShimError, OSError) as error:
            return wire.pack_end(wire.STATUS_FAILED, f"tandem: {error}\n")
        finally:
            patience.cancel()
            self._loop.remove_reader(self._run.connection)
            self._run.leave_pool()

    def _hear(self, task: "asyncio.Task[tuple[int, str]]") -> None:
        """Signals of the client's, or its end."""
        try:
            numbers = self._run.connection.recv(_MAX_SIGNALS_BYTES)
        except ConnectionError:
            numbers = b""
        if not numbers:
            self._loop.remove_reader(self._run.connection)
        for number in numbers or bytes([signal.SIGKILL]):
            if self._init is not None:
                self._signal(self._init, number)
            elif number not in {signal.SIGCONT, signal.SIGSTOP}:
                self._stopped_by = number
                task.cancel()

    def _signal(self, init: WasmInit, number: int) -> None:
        # Else it has ended, and is about to be told of.
        if self._reaper.is_unreaped(init.pid):
            os.kill(init.pid, number)

    async def _whole_life(self) -> tuple[int, str]:
        config = load_config(Path(self._run.env.get(PATH_VARIABLE) or DEFAULT_PATH))
        node = Node(
            engine=self._host.engine,
            compatibility_key=self._host.compatibility_key,
            config=config,
            env={},
            namespace="",
            address="",
            oci_runtime_root=self._run.run_dir.directory,
            reaper=self._reaper,
        )
        container, wasm = self._prepare()
        try:
            # A person waits for this, and it is the caller's process as much as a compiler is.
            instances = WasmInstances(node, compile_in_background=False)
            init = await instances.create(container, wasm, self._stdio, None)
        finally:
            os.close(wasm.fd)
        self._init = init
        self._run.leave_pool()
        try:
            return await self._until_end(container, init)
        finally:
            await init.end()
            await init.release()

    async def _until_end(self, container: RunContainer, init: WasmInit) -> tuple[int, str]:
        self._run.connection.send(wire.RUNNING)
        await init.start()
        options = self._run.options
        if options.timeout_s is not None:
            self._loop.call_later(options.timeout_s, self._time_out, init)
        ended = await asyncio.shield(init.exited)
        if self._timed_out:
            return wire.STATUS_TIMEOUT, (
                f"tandem: the guest was killed after {options.timeout_s:g} s (--timeout)\n"
            )
        if ended.status == 128 + signal.SIGKILL and container.cgroup.oom_kills():
            return ended.status, (
                "tandem: the kernel killed the guest: it wanted more memory than"
                f" {options.memory_bytes} bytes (--memory)\n"
            )
        return ended.status, ""

    def _time_out(self, init: WasmInit) -> None:
        self._timed_out = True
        self._signal(init, signal.SIGKILL)

    def _prepare(self) -> tuple[RunContainer, WasmFile]:
        """Everything but the instance; what the caller names is looked up from where it stands."""
        options = _with_directory(self._run.options)
        root = root_of(options.dirs)
        if root is not None and options.layers:
            raise InvalidArgumentError(
                f"--dir {root.host}: the guest's root (/) is made of {options.target or 'an image'}"
                " already; name another path of the guest's"
            )
        module = None
        if options.target and not options.entrypoint:
            path, function = split_function(options.target)
            module = open_module(path, options.function or function)
            options = replace(options, name=options.name or Path(path).name)
        # The caller's is its guest's; what is made for the jail has modes of its own.
        umask = os.umask(_UMASK)
        spec = build_spec(
            replace(options, name=options.name or options.entrypoint),
            self._run.env,
            umask,
            group_name() if options.memory_bytes else "",
        )
        for each in options.dirs:
            if not Path(each.host).exists():
                raise InvalidArgumentError(f"--dir {each.host[:200]}: no such file or directory")
        if options.memory_bytes:
            sweep()
        place = private_directory(self._run.run_dir.directory)
        rootfs = build_root(place, options.layers, root)
        if root is not None:
            needed = (spec.process.cwd, *(each.guest for each in below_root(options.dirs)))
            require_mountpoints(rootfs, needed)
        if module is None:
            identity = "\0".join(str(Path(layer).resolve()) for layer in options.layers)
            module = find_in_root(options, spec, rootfs, f"run\0{identity}")
        container = RunContainer(
            id=f"run-{os.getpid()}",
            bundle=place,
            rootfs=rootfs,
            spec=spec,
            cgroup=locate(spec.cgroups_path, systemd=False),
        )
        return container, module


def _with_directory(options: RunOptions) -> RunOptions:
    """A directory as the target is the guest's lowest layer, and holds the entry point."""
    if not Path(options.target).is_dir() or not options.target:
        if options.entrypoint and options.target:
            raise InvalidArgumentError(
                f"--entrypoint is for directories and images, and {options.target[:200]} is"
                " neither: for a function of a module write MODULE#FUNCTION"
            )
        return options
    return replace(
        options,
        entrypoint=options.entrypoint or only_module(options.target),
        layers=(options.target, *options.layers),
    )
