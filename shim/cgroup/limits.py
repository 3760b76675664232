"""From the limits of a spec to the files of a control group, for v1 and for v2.

Rules: pure; the order of the result is the order of writing; a limit of 0 is none, as for runc.
Source: the kernel's admin-guide/cgroup-v1/{memory,cpusets}.rst, scheduler/sched-bwc.rst and
admin-guide/cgroup-v2.rst.
"""

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Resources

Setting = tuple[str, str]

_MIN_SHARES, _MAX_SHARES, _MAX_WEIGHT = 2, 262144, 10000
_DEFAULT_PERIOD_US = 100_000
_SWAP = "memory.swap.max"

WITHOUT_SWAP = frozenset({(_SWAP, "0"), (_SWAP, "max")})
"""What need not be written where the kernel accounts no swap, and so has no such file: none is
used, and none is limited."""


def v1_settings(resources: Resources) -> list[Setting]:
    """Files and values for the v1 hierarchies.

    Raises:
        InvalidArgumentError: `unified` is set, which exists on v2 only.
    """
    if resources.unified:
        names = ", ".join(name for name, _ in resources.unified)
        raise InvalidArgumentError(
            f"linux.resources.unified ({names}) needs cgroup v2, and this node has v1"
        )
    wanted = (
        ("memory.limit_in_bytes", resources.memory_limit_bytes or None),
        # The kernel wants memory plus swap never below memory, so memory goes first.
        ("memory.memsw.limit_in_bytes", resources.memory_swap_bytes or None),
        ("memory.soft_limit_in_bytes", resources.memory_reservation_bytes or None),
        ("cpu.shares", resources.cpu_shares or None),
        ("cpu.cfs_period_us", resources.cpu_period_us or None),
        ("cpu.cfs_quota_us", resources.cpu_quota_us or None),
    )
    settings = [(name, str(value)) for name, value in wanted if value is not None]
    return settings + _cpuset(resources) + _pids(resources)


def v2_settings(resources: Resources) -> list[Setting]:
    """Files and values for the unified hierarchy.

    Raises:
        InvalidArgumentError: memory plus swap is less than memory, or a key of `unified` is a path.
    """
    settings: list[Setting] = []
    if resources.memory_limit_bytes:
        settings.append(("memory.max", _bytes(resources.memory_limit_bytes)))
    if resources.memory_swap_bytes:
        settings.append((_SWAP, _swap_alone(resources)))
    if resources.memory_reservation_bytes:
        settings.append(("memory.low", _bytes(resources.memory_reservation_bytes)))
    if resources.cpu_shares:
        settings.append(("cpu.weight", str(cpu_weight(resources.cpu_shares))))
    if resources.cpu_quota_us or resources.cpu_period_us:
        quota = resources.cpu_quota_us or -1
        period = resources.cpu_period_us or _DEFAULT_PERIOD_US
        settings.append(("cpu.max", f"{quota if quota > 0 else 'max'} {period}"))
    return settings + _cpuset(resources) + _pids(resources) + _unified(resources)


def cpu_weight(shares: int) -> int:
    """The v2 weight (1-10000) of v1 shares (2-262144), on runc's straight line between the two."""
    shares = min(max(shares, _MIN_SHARES), _MAX_SHARES)
    return 1 + (shares - _MIN_SHARES) * (_MAX_WEIGHT - 1) // (_MAX_SHARES - _MIN_SHARES)


def _swap_alone(resources: Resources) -> str:
    # The spec's swap is memory plus swap, as on v1; v2 counts swap alone.
    memory, total = resources.memory_limit_bytes, resources.memory_swap_bytes
    if total is None or total < 0:
        return "max"
    if memory is None or memory < 0 or total < memory:
        raise InvalidArgumentError(
            f"memory plus swap ({total}) needs a memory limit that is not above it (is {memory})"
        )
    return str(total - memory)


def _unified(resources: Resources) -> list[Setting]:
    for name, _ in resources.unified:
        if "/" in name or "\0" in name:
            raise InvalidArgumentError(
                f"linux.resources.unified: {name!r} is a path, and not the name of a cgroup's file"
            )
    return list(resources.unified)


def _cpuset(resources: Resources) -> list[Setting]:
    wanted = ("cpuset.cpus", resources.cpuset_cpus), ("cpuset.mems", resources.cpuset_mems)
    return [(name, value) for name, value in wanted if value]


def _pids(resources: Resources) -> list[Setting]:
    limit = resources.pids_limit
    return [("pids.max", str(limit) if limit > 0 else "max")] if limit else []


def _bytes(value: int) -> str:
    return "max" if value < 0 else str(value)
