"""Which files of which directories become a message, and when there is none."""

from pathlib import Path

import pytest

from shim.api import cgroups_v1_pb2, cgroups_v2_pb2
from shim.cgroup import Cgroup, locate
from shim.cgroup.stats import read_stats
from shim.errdefs import NotFoundError


def files(path: Path, **texts: str) -> None:
    path.mkdir(parents=True)
    for name, text in texts.items():
        (path / name.replace("__", ".")).write_text(text)


def test_v1_reads_each_hierarchy_and_those_beside(tmp_path: Path) -> None:
    files(tmp_path / "memory" / "pod" / "c", memory__usage_in_bytes="5\n")
    files(tmp_path / "pids" / "pod" / "c", pids__current="6\n")
    files(tmp_path / "cpu,cpuacct" / "pod" / "c", cpuacct__usage="7\n")
    files(tmp_path / "blkio" / "pod" / "c", blkio__sectors_recursive="8:0 8\n")
    files(tmp_path / "hugetlb" / "pod" / "c", hugetlb__2MB__failcnt="9\n")
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    metrics = read_stats(locate("/pod/c", systemd=False, root=tmp_path))
    assert isinstance(metrics, cgroups_v1_pb2.Metrics)
    assert (metrics.memory.usage.usage, metrics.pids.current, metrics.cpu.usage.total) == (5, 6, 7)
    assert [entry.value for entry in metrics.blkio.sectors_recursive] == [8]
    assert [entry.failcnt for entry in metrics.hugetlb] == [9]


def test_v1_without_those_beside_has_nothing_of_them(tmp_path: Path) -> None:
    files(tmp_path / "memory" / "c", memory__usage_in_bytes="5\n")
    (tmp_path / "blkio").mkdir()
    metrics = read_stats(locate("/c", systemd=False, root=tmp_path))
    assert isinstance(metrics, cgroups_v1_pb2.Metrics)
    assert not metrics.HasField("blkio")


def test_v2_has_another_message(tmp_path: Path) -> None:
    files(tmp_path / "c", memory__current="5\n", hugetlb__2MB__current="6\n", other="7\n")
    metrics = read_stats(Cgroup([tmp_path / "c"], unified=True))
    assert isinstance(metrics, cgroups_v2_pb2.Metrics)
    assert (metrics.memory.usage, metrics.hugetlb[0].current) == (5, 6)


@pytest.mark.parametrize("unified", [True, False])
def test_part_of_a_group_is_none(tmp_path: Path, unified: bool) -> None:
    files(tmp_path / "memory" / "c", memory__usage_in_bytes="5\n")
    group = Cgroup([tmp_path / "memory" / "c", tmp_path / "pids" / "c"], unified=unified)
    with pytest.raises(NotFoundError, match="pids/c is gone"):
        read_stats(group)
