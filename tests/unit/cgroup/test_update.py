"""The order of writes, and what comes back when one is refused, on files that are no kernel's."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.cgroup import Cgroup, settings
from shim.cgroup.update import update
from shim.errdefs import FailedPreconditionError, InvalidArgumentError
from shim.oci.spec import Resources

V1 = {
    "memory.limit_in_bytes": 100,
    "memory.memsw.limit_in_bytes": 200,
    "memory.usage_in_bytes": 60,
    "cpu.cfs_period_us": 100,
    "cpu.cfs_quota_us": 50,
    "cpu.shares": 1024,
    "pids.max": 10,
}


def v1_check(values: dict[str, int]) -> int:
    """What the kernel refuses: memory above memory plus swap, below usage, or too much time."""
    memory, both = values["memory.limit_in_bytes"], values["memory.memsw.limit_in_bytes"]
    if 0 <= both < memory or (memory < 0 <= both):
        return errno.EINVAL
    if 0 <= memory < values["memory.usage_in_bytes"]:
        return errno.EBUSY
    if values["cpu.cfs_quota_us"] > values["cpu.cfs_period_us"] or values["pids.max"] == 666:
        return errno.EINVAL
    return 0


class Fake:
    """A group on v1 whose files take what a check of all of them allows."""

    def __init__(self, path: Path, check: Callable[[dict[str, int]], int]) -> None:
        self.path, self.check = path, check
        self.group = Cgroup([path], unified=False)
        self.written: list[tuple[str, str]] = []
        for name, value in V1.items():
            (path / name).write_text(str(value))

    def write(self, file: Path, text: str) -> None:
        values = self.values() | {file.name: int(text)}
        if number := self.check(values):
            raise OSError(number, os.strerror(number))
        file.write_text(text)
        self.written.append((file.name, text))

    def values(self) -> dict[str, int]:
        return {name: int((self.path / name).read_text()) for name in V1}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(tmp_path, v1_check)
    monkeypatch.setattr(settings, "write", fake.write)
    return fake


@pytest.mark.parametrize(
    ("memory", "both", "order"),
    [
        (400, 500, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (-1, -1, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (-1, None, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (70, 80, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        (150, 160, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        (0, 300, ["memory.memsw.limit_in_bytes"]),
        (150, 0, ["memory.limit_in_bytes"]),
    ],
)
def test_v1_keeps_memory_below_memory_plus_swap_at_every_moment(
    fake: Fake, memory: int, both: int | None, order: list[str]
) -> None:
    update(fake.group, Resources(memory_limit_bytes=memory, memory_swap_bytes=both))
    assert [name for name, _ in fake.written] == order


@pytest.mark.parametrize(
    ("quota", "period", "order"),
    [
        (20, 40, ["cpu.cfs_quota_us", "cpu.cfs_period_us"]),
        (150, 200, ["cpu.cfs_period_us", "cpu.cfs_quota_us"]),
        (30, None, ["cpu.cfs_quota_us"]),
    ],
)
def test_v1_keeps_quota_through_period_below_the_parent_s(
    fake: Fake, quota: int, period: int | None, order: list[str]
) -> None:
    update(fake.group, Resources(cpu_quota_us=quota, cpu_period_us=period))
    assert [name for name, _ in fake.written] == order


def test_memory_alone_above_memory_plus_swap_names_the_other_limit(fake: Fake) -> None:
    with pytest.raises(InvalidArgumentError, match=r"300 in .*memory.swap, now has the limit 200"):
        update(fake.group, Resources(memory_limit_bytes=300))


@pytest.mark.parametrize(
    ("resources", "error", "text"),
    [
        (
            Resources(memory_limit_bytes=50, memory_swap_bytes=50, pids_limit=5),
            FailedPreconditionError,
            r"cannot set .*/memory.limit_in_bytes to 50: 60 bytes are in use",
        ),
        (
            Resources(memory_limit_bytes=400, memory_swap_bytes=500, pids_limit=666),
            InvalidArgumentError,
            r"the kernel refuses 666 in .*/pids.max",
        ),
        (
            Resources(cpu_quota_us=20, cpu_period_us=10, memory_limit_bytes=90),
            InvalidArgumentError,
            r"the kernel refuses 10 in .*/cpu.cfs_period_us",
        ),
    ],
)
def test_a_refusal_leaves_all_as_it_was(
    fake: Fake, resources: Resources, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        update(fake.group, resources)
    assert fake.values() == V1


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cgroup:
    # Kernel files are not truncated, and need not be.
    monkeypatch.setattr(settings, "write", Path.write_text)
    for name, value in {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "memory.current": "700",
        "cpu.max": "50 100",
        "cpu.weight": "100",
        "pids.max": "max",
    }.items():
        (tmp_path / name).write_text(value + "\n")
    return Cgroup([tmp_path], unified=True)


@pytest.mark.parametrize(
    ("resources", "changed"),
    [
        (Resources(), {}),
        (Resources(memory_limit_bytes=2000), {"memory.max": "2000"}),
        (Resources(memory_limit_bytes=-1), {"memory.max": "max", "memory.swap.max": "max"}),
        (Resources(memory_swap_bytes=1500), {"memory.max": "1000", "memory.swap.max": "500"}),
        (Resources(memory_limit_bytes=1, memory_swap_bytes=1), {"memory.max": "1"}),
        (Resources(cpu_quota_us=20), {"cpu.max": "20 100"}),
        (Resources(cpu_quota_us=-1), {"cpu.max": "max 100"}),
        (Resources(cpu_period_us=80), {"cpu.max": "50 80"}),
        (Resources(cpu_quota_us=2, cpu_period_us=4), {"cpu.max": "2 4"}),
        (Resources(cpu_shares=2), {"cpu.weight": "1"}),
        (Resources(pids_limit=5), {"pids.max": "5"}),
        (Resources(memory_limit_bytes=700, memory_check_before_update=True), {"memory.max": "700"}),
    ],
)
def test_v2_fills_in_the_other_half(
    v2: Cgroup, resources: Resources, changed: dict[str, str]
) -> None:
    before = {file.name: file.read_text().strip() for file in v2.paths[0].iterdir()}
    update(v2, resources)
    after = {file.name: file.read_text().strip() for file in v2.paths[0].iterdir()}
    assert after == before | changed


def test_v2_refuses_less_than_is_in_use_where_that_is_asked_for(v2: Cgroup) -> None:
    resources = Resources(memory_limit_bytes=699, memory_check_before_update=True)
    with pytest.raises(FailedPreconditionError, match=r"memory.max of .* to 699: 700 bytes are in"):
        update(v2, resources)


def test_a_limit_that_needs_a_group_of_its_own(tmp_path: Path) -> None:
    update(Cgroup((), unified=True), Resources())
    with pytest.raises(InvalidArgumentError, match=r"cannot set pids.max to 5"):
        update(Cgroup((), unified=True), Resources(pids_limit=5))
