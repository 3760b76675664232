"""The forked side of a Wasm instance: into the jail, ready, wait, run, exit.

Rules: stdlib, jail and engine only; no logger: it sends messages; it never returns into the code
that forked it. The order is the design: the artefact is mapped while the host's files are there,
the guest's view is built when they are gone, and no guest code runs before START.
"""

import fcntl
import os
import signal
import socket
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from shim.config import Http
from shim.engine.cgi.handlers import Handler
from shim.engine.run import Instance, Program
from shim.errdefs import InternalError
from shim.instance.messages import ADOPTED, START, Failed, Forked, Message, Ready, encode
from shim.jail import JailPlan, confine_worker, drop_inherited, enter
from shim.kernel.constants import CLONE_NEWPID, PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX

if TYPE_CHECKING:
    from shim.serve.server import Server

_EXIT_UNABLE = 125


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """Everything that an instance is made of.

    `terminal`: its stdio is a terminal, which it is to control. `namespace_fds` are those that the
    plan joins by descriptor; with `http`, the program is served, or these CGI programs are.
    Without a program, it is the first process of a new pid namespace, holds that for others, and
    ends when the shim hangs up.
    """

    engine: Any
    program: Program | None
    plan: JailPlan
    cgroup_procs: Sequence[Path]
    terminal: bool = False
    namespace_fds: Sequence[int] = ()
    http: Http | None = None
    cgi: Sequence[Handler] | None = None


def run_instance(spec: InstanceSpec, control: socket.socket, stdio: Sequence[int]) -> NoReturn:
    """Be the instance: called in the forked child, ends the process."""
    status = _EXIT_UNABLE
    try:
        _become_own_process(spec, control, stdio)
        if spec.program is None or spec.plan.pid_namespace is not None:
            _fork_into_pid_namespace(spec.plan.pid_namespace, control)
        instance = _load(spec)
        warnings = enter(spec.plan, spec.cgroup_procs)
        for fd in spec.namespace_fds:
            os.close(fd)
        if instance is None:
            # Who is orphaned in the namespace comes here, and is collected by the kernel.
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        else:
            instance.prepare()
        _send(control, Ready(tuple(warnings)))
        if control.recv(1) == START and instance is not None:
            control.close()
            status = instance.run()
    except Exception as error:  # noqa: BLE001 (the last frame of this process)
        _report(control, error)
    finally:
        os._exit(status)


def _load(spec: InstanceSpec) -> "Instance | Server | None":
    if spec.program is None:
        return None
    if spec.http is None:
        return Instance.load(spec.engine, spec.program)
    # Here and nowhere else, because it brings threads, which no process that forks may have.
    from shim.serve.server import Server  # noqa: PLC0415

    confine = partial(confine_worker, spec.plan.worker_filters)
    return Server.load(spec.program, spec.http, spec.cgi, confine)


def _become_own_process(spec: InstanceSpec, control: socket.socket, stdio: Sequence[int]) -> None:
    # At once, and again at the end of the jail, which clears it: the shim may be killed any time.
    LINUX.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    for to, fd in enumerate([os.dup(fd) for fd in stdio]):
        os.dup2(fd, to, inheritable=False)
    if spec.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    drop_inherited((0, 1, 2, control.fileno(), *spec.namespace_fds))
    # WASI's executor would start a thread per core of the node; a guest has one thread of its own.
    os.environ["TOKIO_WORKER_THREADS"] = "1"


def _fork_into_pid_namespace(path: Path | None, control: socket.socket) -> None:
    """Go on as a child inside the namespace, or in a new one: setns(2) and unshare(2) move only the
    children of their caller.

    The process in between ends at once, so that the instance becomes the subreaping shim's child.
    """
    try:
        if path is None:
            LINUX.unshare(CLONE_NEWPID)
        else:
            LINUX.setns(os.fspath(path), CLONE_NEWPID)
    except OSError as error:
        name = path or "of its own"
        raise InternalError(f"cannot join the pid namespace {name}: {error.strerror}") from error
    pid = os.fork()  # noqa: TID251 (a freshly forked child: one thread)
    if pid:
        _send(control, Forked(pid))
        os._exit(0)
    # Until the one in between is reaped, the death of the parent means nothing.
    if control.recv(1) != ADOPTED:
        raise InternalError("the pod shim is gone")


def _send(control: socket.socket, message: Message) -> None:
    control.send(encode(message))


def _report(control: socket.socket, error: Exception) -> None:
    try:
        _send(control, Failed.of(error))
    except OSError:
        # Already started, so nobody listens: the container's log is what is left.
        os.write(2, f"tandem: {error}\n".encode(errors="replace"))
