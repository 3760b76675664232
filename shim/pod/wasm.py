"""Makes the instances of Wasm containers: an artefact from the cache, a jail, a forked process.

Rules: a container's init is in a jail of its own; what is executed in the container later joins
that jail, by descriptors of its namespaces which are opened while init is certainly alive.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from shim.aot.cache import Cache
from shim.aot.entry import Artefact
from shim.aot.limits import CompileLimits
from shim.aot.source import Loaded, ModuleSource
from shim.cgroup import Cgroup
from shim.config import Http
from shim.content.alive import ask_alive
from shim.engine.code import Code, code_for
from shim.engine.run import Program
from shim.errdefs import FailedPreconditionError, ShimError, StaleArtefactError
from shim.instance.child import InstanceSpec
from shim.instance.hooks import Hooks, check_hooks
from shim.instance.init import WasmInit
from shim.instance.process import WasmProcess
from shim.jail import JailPlan, build_exec_plan, build_plan, with_workers
from shim.kernel import constants as c
from shim.oci.spec import Process, Spec
from shim.outbound.policy import Policy, policy_of
from shim.pod.cgi import CgiPrograms
from shim.pod.loading import load_artefact
from shim.pod.node import Node
from shim.pod.program import WasmProgram
from shim.process.child_streams import ChildFds
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal
from shim.record import pid_file
from shim.serve.options import http_options, is_metered
from shim.stores.options import NOTHING_GIVEN, GuestOptions, check_reach, guest_options
from shim.wasm.binary import Kind

_P = TypeVar("_P", bound=WasmProcess)

# In the order of joining: with the mount namespace, the node's /proc is gone.
_NAMESPACES = (
    ("net", c.CLONE_NEWNET),
    ("ipc", c.CLONE_NEWIPC),
    ("uts", c.CLONE_NEWUTS),
    ("mnt", c.CLONE_NEWNS),
)

_log = structlog.get_logger()


class WasmContainer(Protocol):
    """What has to be known of a container to make its instances."""

    @property
    def id(self) -> str:
        """Its id, for its hooks."""

    @property
    def bundle(self) -> Path:
        """Where the pid of its init is recorded."""

    @property
    def rootfs(self) -> Path:
        """Its root, mounted."""

    @property
    def spec(self) -> Spec:
        """Its spec."""

    @property
    def cgroup(self) -> Cgroup:
        """Its control group, which is not made yet."""


class WasmInstances:
    """Makes the instances of one pod."""

    def __init__(self, node: Node, *, compile_in_background: bool = True) -> None:
        self._node = node
        config = node.config
        self.cache = Cache(
            Path(config.cache.directory), config.cache.max_bytes, node.compatibility_key
        )
        self._limits = CompileLimits(
            config.compile.memory_bytes,
            config.compile.timeout_s,
            config.compile.parallel,
            in_background=compile_in_background,
        )

    async def load(self, source: ModuleSource, code: Code = Code.PLAIN) -> Loaded:
        """The compiled artefact of a module.

        Raises:
            ShimError: why there is none.
        """
        node, cache = self._node, self.cache.of(code)
        return await load_artefact(
            source, cache, self._limits, node.reaper, partial(ask_alive, node.address)
        )

    def code_for(
        self, annotations: Mapping[str, str], *, is_cgi: bool, function: str | None = None
    ) -> Code:
        """The kind of native code for a container, or for what is executed in it.

        Raises:
            InvalidArgumentError: an annotation says what it cannot mean.
        """
        # A component's own function is called once, whether the component answers HTTP or not.
        serves = is_cgi or function is None
        metered = serves and is_metered(self._node.config.http, annotations)
        return code_for(per_request=is_cgi, metered=metered)

    async def create(
        self,
        container: WasmContainer,
        wasm: WasmProgram | CgiPrograms,
        streams: ChildFds,
        terminal: Terminal | None,
    ) -> WasmInit:
        """A container's init, in its jail, which waits for its start.

        Raises:
            ShimError: why not; neither process nor cgroup is left then.
        """
        if container.spec.hooks:
            check_hooks(container.spec)
        plan = build_plan(container.spec, container.rootfs)
        container.cgroup.create(container.spec.resources)
        try:
            cgi = wasm if isinstance(wasm, CgiPrograms) else None
            jail = _Jail(container, container.spec.process, plan, cgi=cgi)
            modules = wasm.modules if isinstance(wasm, CgiPrograms) else (wasm,)
            init = await self._make(WasmInit, modules, jail, streams, terminal)
            if container.spec.hooks:
                await self._run_hooks(container, init)
        except BaseException:
            container.cgroup.remove()
            raise
        pid_file(container.bundle).write_text(str(init.pid))
        return init

    async def execute(
        self,
        container: WasmContainer,
        spec: Spec,
        init_pid: int,
        wasm: WasmProgram,
        streams: ChildFds,
        terminal: Terminal | None,
    ) -> WasmProcess:
        """A further instance in a container's jail, which waits for its start.

        Args:
            container: the container.
            spec: its spec, with the process to be executed in place of its own.
            init_pid: its running init.
            wasm: what is to be executed.
            streams: its stdio, where that is no terminal.
            terminal: its terminal.

        Raises:
            ShimError: why not; no process is left then.
        """
        with _namespaces_of(init_pid) as (joined, fds):
            jail = _Jail(container, spec.process, build_exec_plan(spec, joined), fds)
            return await self._make(WasmProcess, (wasm,), jail, streams, terminal)

    async def hold_pids(self, container: WasmContainer, init_pid: int) -> WasmProcess:
        """A process in a container's jail that runs nothing, and is the first of a new pid
        namespace; whoever gets it ends it.

        Raises:
            ShimError: why not; no process is left then.
        """
        with (
            _namespaces_of(init_pid) as (joined, fds),
            contextlib.closing(Stdio.open("", "", "")) as streams,
        ):
            spec = InstanceSpec(
                engine=self._node.engine,
                program=None,
                plan=build_exec_plan(container.spec, joined),
                cgroup_procs=container.cgroup.procs_files(),
                namespace_fds=fds,
            )
            reaper = self._node.reaper
            return await WasmProcess.create(spec, streams.child_fds, container.cgroup, reaper)

    async def _run_hooks(self, container: WasmContainer, init: WasmInit) -> None:
        bundle = os.fspath(container.bundle)
        hooks = Hooks(container.spec, container.id, bundle, self._node.reaper)
        try:
            await hooks.created(init.pid)
        except BaseException:
            await init.end()
            raise
        init.hooks = hooks

    async def _make(
        self,
        kind: type[_P],
        modules: Sequence[WasmProgram],
        jail: "_Jail",
        streams: ChildFds,
        terminal: Terminal | None,
    ) -> _P:
        artefacts = await self._artefacts(modules, jail)
        if terminal is not None:
            terminal.open_pty()
        try:
            return await self._fork(kind, modules[0], jail, artefacts, streams)
        except StaleArtefactError as error:
            for artefact in artefacts:
                described = self.cache.describe(artefact)
                _log.warning(
                    "artefact refused and removed",
                    path=str(artefact.path),
                    images=" ".join(described.images) if described else "",
                    error=str(error),
                )
                self.cache.drop(artefact)
            artefacts = await self._artefacts(modules, jail)
            return await self._fork(kind, modules[0], jail, artefacts, streams)

    async def _fork(
        self,
        kind: type[_P],
        wasm: WasmProgram,
        jail: "_Jail",
        artefacts: Sequence[Artefact],
        streams: ChildFds,
    ) -> _P:
        process, cgroup = jail.process, jail.container.cgroup
        http, env = None, process.env
        artefact, cgi = artefacts[0], jail.cgi
        answers = artefact.kind is Kind.SERVICE and wasm.function is None
        if cgi is not None and not cgi.is_table and artefact.kind is Kind.SERVICE:
            # A component that answers by itself is no CGI program, whatever its pod's others are.
            cgi = None
        if answers or cgi is not None:
            container = jail.container.spec
            defaults, annotations = self._node.config.http, container.annotations
            http, env = http_options(defaults, annotations, env, container.resources)
        program = Program(
            artefact=artefact.path,
            kind=artefact.kind,
            function=wasm.function,
            args=process.args,
            env=env,
            cwd=process.cwd,
            given=self._given(jail, artefacts),
            outbound=self._outbound(jail, http),
        )
        check_reach(program.given, program.outbound)
        spec = InstanceSpec(
            engine=self._node.engine,
            program=program,
            plan=with_workers(jail.plan) if http and http.workers > 1 else jail.plan,
            cgroup_procs=cgroup.procs_files(),
            terminal=isinstance(streams, Terminal),
            namespace_fds=jail.namespace_fds,
            http=http,
            cgi=None if cgi is None else cgi.handlers(artefacts, program),
        )
        made = await kind.create(spec, streams.child_fds, cgroup, self._node.reaper)
        streams.close_child_fds()
        return made

    def _given(self, jail: "_Jail", artefacts: Sequence[Artefact]) -> GuestOptions:
        if all(artefact.kind is Kind.MODULE for artefact in artefacts):
            return NOTHING_GIVEN
        limit = self._node.config.keyvalue.max_value_bytes
        return guest_options(jail.container.spec.annotations, limit)

    def _outbound(self, jail: "_Jail", http: Http | None) -> Policy:
        node = self._node.config.outbound
        listen = None if http is None else http.listen
        return policy_of(jail.container.spec.annotations, node.block, node.default, listen)

    async def _artefacts(self, modules: Sequence[WasmProgram], jail: "_Jail") -> Sequence[Artefact]:
        if len(modules) == 1:
            return (await self._artefact(modules[0], jail),)
        together = asyncio.Semaphore(self._limits.parallel)

        async def load(module: WasmProgram) -> Artefact:
            async with together:
                return await self._artefact(module, jail)

        # All of them, before any error: whatever gets into the cache is there for the next try.
        found = await asyncio.gather(*map(load, modules), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [each for each in found if isinstance(each, Artefact)]

    async def _artefact(self, wasm: WasmProgram, jail: "_Jail") -> Artefact:
        try:
            annotations = jail.container.spec.annotations
            code = self.code_for(annotations, is_cgi=jail.cgi is not None, function=wasm.function)
            loaded = await self.load(wasm.source, code)
        except ShimError as error:
            raise type(error)(f"{wasm.name}: {error}") from error
        return loaded.artefact


@dataclass(frozen=True, slots=True)
class _Jail:
    """Where an instance goes, and as what; `cgi`: these programs, for each request."""

    container: WasmContainer
    process: Process
    plan: JailPlan
    namespace_fds: Sequence[int] = ()
    cgi: CgiPrograms | None = None


@contextlib.contextmanager
def _namespaces_of(pid: int) -> Iterator[tuple[Sequence[tuple[int, Path]], Sequence[int]]]:
    """The namespaces of a process that is not reaped, in the order of joining: kinds and paths, and
    the open descriptors that the paths lead to."""
    with contextlib.ExitStack() as opened:
        joined, fds = [], []
        for name, kind in _NAMESPACES:
            try:
                fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise FailedPreconditionError(
                    f"the container's process {pid} has just ended: {error.strerror}"
                ) from error
            opened.callback(os.close, fd)
            joined.append((kind, Path(f"/proc/self/fd/{fd}")))
            fds.append(fd)
        yield joined, fds
