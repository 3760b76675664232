"""Changing the limits of a group while its processes run.

Rules: what is not named stays as it is; on an error what was changed before it is changed back, as
far as the kernel lets. Two limits of v1 can depend on each other, so that only one order of writing
them is possible; the kernel says which.
"""

from dataclasses import replace
from pathlib import Path

from shim.cgroup.files import read, try_write
from shim.cgroup.group import Cgroup
from shim.cgroup.limits import Setting, v1_settings, v2_settings
from shim.cgroup.parsing import read_number
from shim.cgroup.settings import require, write_setting
from shim.errdefs import FailedPreconditionError, InvalidArgumentError, ShimError
from shim.oci.spec import Resources

# The first of each pair is tried first. Memory may not be above memory plus swap, so that raising
# both begins with the latter; quota through period may not be above the parent's, so that a shorter
# period can need a smaller quota before it.
_DEPENDENT = {
    "memory.limit_in_bytes": "memory.memsw.limit_in_bytes",
    "cpu.cfs_period_us": "cpu.cfs_quota_us",
}


def update(cgroup: Cgroup, resources: Resources) -> None:
    """Set the limits that `resources` names, and leave the others; a memory limit of -1 is none.

    On v2 a memory limit below what is in use has the kernel reclaim, and then kill, until it holds
    (v1 refuses), unless `memory_check_before_update` asks for a refusal.

    Raises:
        FailedPreconditionError: more memory is in use than the limit allows.
        InternalError: a process cannot be moved into a hierarchy that the limits need.
        InvalidArgumentError: the kernel has no such limit, or refuses the value.
        NotFoundError: the group is gone.
    """
    require(cgroup.paths)
    if cgroup.unified:
        settings = v2_settings(_completed_v2(cgroup, resources))
    else:
        settings = v1_settings(_completed_v1(cgroup, resources))
        if resources.cpuset_cpus or resources.cpuset_mems:
            cgroup.join_cpuset()
    _write_all(cgroup, settings)


def _completed_v1(cgroup: Cgroup, resources: Resources) -> Resources:
    """Without a limit of memory, none of memory plus swap either, as runc has it."""
    unlimited = resources.memory_limit_bytes == -1 and not resources.memory_swap_bytes
    if unlimited and cgroup.file("memory.memsw.limit_in_bytes") is not None:
        return replace(resources, memory_swap_bytes=-1)
    return resources


def _completed_v2(cgroup: Cgroup, resources: Resources) -> Resources:
    """With the other half of what v2 knows as one, as it is now."""
    memory, swap = resources.memory_limit_bytes or 0, resources.memory_swap_bytes or 0
    if resources.memory_check_before_update and memory > 0:
        used = _number(_text(cgroup, "memory.current"))
        if used > memory:
            raise FailedPreconditionError(
                f"cannot set memory.max of cgroup {cgroup.paths[0]} to {memory}: {used} bytes are"
                " in use; ask for more, or have the container free memory first"
            )
    if memory == -1 and not swap:
        resources = replace(resources, memory_swap_bytes=-1)
    if swap > 0 and not memory:
        limit = _number(_text(cgroup, "memory.max"))
        resources = replace(resources, memory_limit_bytes=limit)
    if bool(resources.cpu_quota_us) != bool(resources.cpu_period_us):
        quota, _, period = _text(cgroup, "cpu.max").partition(" ")
        resources = replace(
            resources,
            cpu_quota_us=resources.cpu_quota_us or _number(quota),
            cpu_period_us=resources.cpu_period_us or _number(period),
        )
    return resources


def _write_all(cgroup: Cgroup, settings: list[Setting]) -> None:
    undo: list[tuple[Path, str]] = []

    def set_one(setting: Setting) -> None:
        file = cgroup.file(setting[0])
        before = read(file).strip() if file is not None else ""
        write_setting(cgroup.paths, setting)
        if file is not None:
            undo.append((file, before))

    values = dict(settings)
    try:
        for name, value in settings:
            partner = _DEPENDENT.get(name, "")
            if name not in values:
                continue
            try:
                set_one((name, value))
            except InvalidArgumentError:
                if partner not in values:
                    raise
                set_one((partner, values.pop(partner)))
                set_one((name, value))
    except ShimError:
        for file, before in reversed(undo):
            # An empty list of processors is written as an empty line.
            try_write(file, before or "\n")
        raise


def _text(cgroup: Cgroup, name: str) -> str:
    file = cgroup.file(name)
    return read(file).strip() if file is not None else ""


def _number(word: str) -> int:
    """What a v2 file says, with -1 for "max"; 0 where it says nothing."""
    return -1 if word == "max" else read_number(word) or 0
