"""The steps into the jail, in order; each failing under its own name.

Rules: only the order and the words are here. A step that the machine does not permit and that
weakens nothing (raising limits, lowering the OOM score) is a warning; every other failure is final.
The caller is a forked process with one thread, and has nothing to lose but itself.
"""

import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from shim.errdefs import InternalError
from shim.jail.guard import guard_program
from shim.jail.plan import JailPlan
from shim.jail.tree import attach_volume, open_or_make, open_root
from shim.kernel import constants as c
from shim.kernel.libc import LINUX, Kernel

_OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
_CAPABILITIES_END = 64
_MAX_NAME = 200
# Mountpoints get the modes that we ask for, whatever mask was inherited.
_MASK_WHILE_MAKING = 0o022


class JailError(InternalError):
    """A step into the jail failed; the text names the step, the object and the reason."""


def enter(plan: JailPlan, cgroup_procs: Sequence[Path], kernel: Kernel = LINUX) -> list[str]:
    """Put the calling process, which must have one thread, into the jail for good.

    A parent that dies before this call goes unnoticed here: the caller waits for a message of the
    parent after it, and learns it from the end of file.

    Returns:
        Warnings: what the machine does not permit and what weakens nothing.

    Raises:
        JailError: a step failed; the process is half in the jail and must exit.
    """
    parent = os.getppid()
    warnings: list[str] = []
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("cgroup", lambda: _join_cgroup(cgroup_procs, kernel)),
        ("oom score", lambda: _set_oom_score(plan, kernel, warnings)),
        ("namespaces", lambda: _change_namespaces(plan, kernel)),
        ("file tree", lambda: _change_root(plan, kernel)),
        ("cwd", lambda: os.chdir(plan.cwd)),
        ("rlimits", lambda: _set_rlimits(plan, kernel, warnings)),
        ("identity", lambda: _change_identity(plan, kernel)),
        ("parent death signal", lambda: _die_with_parent(parent, kernel)),
        ("seccomp", lambda: _load_filters(plan, kernel)),
    )
    for name, step in steps:
        try:
            step()
        except OSError as error:
            where = f"{str(error.filename)[:_MAX_NAME]}: " if error.filename else ""
            raise JailError(f"jail step {name!r}: {where}{error.strerror or error}") from error
    return warnings


def confine_worker(filters: Sequence[bytes], parent: int, kernel: Kernel = LINUX) -> None:
    """Put what a jailed process has forked in as strict a jail as any other instance.

    Args:
        filters: system call filters that `parent` cannot have, because it makes processes.
        parent: the process whose death is this one's.
        kernel: for tests.

    Raises:
        JailError: the parent has died, or the container's profile allows no further filter.
    """
    try:
        _die_with(parent, kernel, "the supervisor")
        for program in (guard_program(os.getpid()), *filters):
            kernel.load_filter(program)
    except OSError as error:
        raise JailError(
            "the seccomp profile of the container (linux.seccomp) must allow prctl where there are"
            f" several workers: {error.strerror}"
        ) from error


def _join_cgroup(cgroup_procs: Sequence[Path], kernel: Kernel) -> None:
    for file in cgroup_procs:
        kernel.write(file, "0")


def _set_oom_score(plan: JailPlan, kernel: Kernel, warnings: list[str]) -> None:
    if plan.oom_score_adj is None:
        return
    try:
        kernel.write(_OOM_SCORE_ADJ, str(plan.oom_score_adj))
    except PermissionError:
        warnings.append(f"oom_score_adj {plan.oom_score_adj}: not permitted (CAP_SYS_RESOURCE)")


def _change_namespaces(plan: JailPlan, kernel: Kernel) -> None:
    for kind, path in plan.joined_namespaces:
        kernel.setns(os.fspath(path), kind)
    kernel.unshare(plan.unshare_flags)
    if plan.hostname:
        kernel.sethostname(plan.hostname)


def _change_root(plan: JailPlan, kernel: Kernel) -> None:
    if plan.rootfs is None:
        # Joining the container's mount namespace has changed root and working directory: setns(2).
        return
    os.umask(_MASK_WHILE_MAKING)
    # Slave, not private: a volume with HostToContainer propagation still hears of new mounts.
    kernel.mount("", "/", flags=c.MS_REC | c.MS_SLAVE)
    root_fd = open_root(kernel, plan.rootfs)
    for volume in plan.volumes:
        attach_volume(kernel, root_fd, volume)
    os.close(open_or_make(kernel, root_fd, plan.cwd, directory=True))
    if plan.root_readonly:
        readonly, name = c.MOUNT_ATTR_RDONLY, os.fspath(plan.rootfs)
        kernel.mount_setattr(root_fd, readonly, 0, recursive=False, private=False, name=name)
    os.fchdir(root_fd)
    os.close(root_fd)
    # With both names "." the old root ends on top of the new one, and goes at once: pivot_root(2).
    kernel.pivot_root(".", ".")
    kernel.umount(".", c.MNT_DETACH)
    os.chdir("/")


def _set_rlimits(plan: JailPlan, kernel: Kernel, warnings: list[str]) -> None:
    for kind, soft, hard in plan.rlimits:
        try:
            kernel.set_rlimit(kind, soft, hard)
        except (PermissionError, ValueError):
            # Python says ValueError where the kernel says EPERM: a hard limit may not be raised.
            warnings.append(f"resource limit {kind}: not permitted to raise it to {hard}")


def _change_identity(plan: JailPlan, kernel: Kernel) -> None:
    kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    for number in range(_CAPABILITIES_END):
        if not plan.capabilities >> number & 1:
            try:
                kernel.prctl(c.PR_CAPBSET_DROP, number, f"capability {number}")
            except OSError as error:
                if number == 0 or error.errno != errno.EINVAL:
                    raise
                break
    kernel.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL, "ambient capabilities")
    kernel.set_identity(plan.uid, plan.gid, plan.groups)
    kernel.set_capabilities(plan.capabilities)
    # Nobody of the same user outside may attach to it, or read its memory.
    kernel.prctl(c.PR_SET_DUMPABLE, 0, "dumpable")
    os.umask(plan.umask)


def _die_with_parent(parent: int, kernel: Kernel) -> None:
    # After the identity: the kernel forgets the signal when a process changes its user.
    _die_with(parent, kernel, "the pod shim")


def _die_with(parent: int, kernel: Kernel, name: str) -> None:
    kernel.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL, "parent death signal")
    if os.getppid() != parent:
        raise JailError(f"jail step 'parent death signal': {name} died meanwhile")


def _load_filters(plan: JailPlan, kernel: Kernel) -> None:
    # Last, so that a profile need not allow the steps above, and so that none can be undone.
    pid = None if plan.worker_filters else os.getpid()
    for program in (guard_program(pid), *plan.filters):
        kernel.load_filter(program)
