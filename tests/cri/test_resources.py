"""Stats, limits that are changed in place, and what a limit does, checked against the cgroup."""

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, Case, Home, kinds
from tests.support import probe
from tests.support.api import cri_pb2 as api
from tests.support.cgroup_files import CgroupFiles
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import ContainerSpec
from tests.support.probe import probe as do
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MIB = 1 << 20


def agree(stats: api.ContainerStats, files: CgroupFiles) -> bool:
    """Whether stats are within 5 % of what the kernel says."""
    return stats.cpu.usage_core_nano_seconds.value == pytest.approx(
        files.cpu_ns(), rel=0.05
    ) and stats.memory.working_set_bytes.value == pytest.approx(files.working_set(), rel=0.05)


@kinds(EVERY_KIND)
def test_stats_are_those_of_the_cgroup(containerd: Containerd, case: Case, home: Home) -> None:
    work = [*do("eat", "60"), *do("burn", "1200"), *do("say", "done"), "sleep", "60"]
    with case.start(home.pod, *work) as container:
        container.wait_for_log("done")
        files = CgroupFiles(container.id)
        assert files.cpu_ns() > 50_000_000
        assert files.working_set() > 60 * MIB
        wait_for("stats", lambda: agree(containerd.cri.container_stats(container.id), files))
        stats = containerd.cri.container_stats(container.id)
        assert stats.attributes.id == container.id
        assert stats.attributes.metadata.name == "probe"
        assert stats.cpu.timestamp > 0

        def listed() -> dict[str, api.ContainerStats]:
            return {stats.attributes.id: stats for stats in containerd.cri.all_container_stats()}

        wait_for("it in the list", lambda: agree(listed()[container.id], files))
        assert {home.shell.id, home.probe.id} <= set(listed())

        def of_pod() -> dict[str, api.ContainerStats]:
            found = containerd.cri.pod_stats(home.pod.id).linux.containers
            return {stats.attributes.id: stats for stats in found}

        wait_for("it in the pod's stats", lambda: agree(of_pod()[container.id], files))


@kinds(EVERY_KIND)
def test_limits_change_in_place(containerd: Containerd, case: Case, home: Home) -> None:
    given = {"memory_bytes": 64 * MIB, "cpu_quota_us": 150_000}
    with case.start(home.pod, "sleep", "60", **given) as container:
        files = CgroupFiles(container.id)

        def limits() -> tuple[int, int, int]:
            return files.memory_limit(), files.cpu_quota_us(), files.cpu_period_us()

        shares = files.cpu_shares()
        assert limits() == (64 * MIB, 150_000, 100_000)
        container.update(memory_limit_in_bytes=96 * MIB)
        assert limits() == (96 * MIB, 150_000, 100_000)
        container.update(cpu_quota=50_000, cpu_period=50_000)
        assert limits() == (96 * MIB, 50_000, 50_000)
        container.update(memory_limit_in_bytes=48 * MIB, cpu_quota=200_000, cpu_period=100_000)
        assert limits() == (48 * MIB, 200_000, 100_000)
        container.update(cpu_shares=512)
        assert limits() == (48 * MIB, 200_000, 100_000)
        assert files.cpu_shares() != shares
        assert container.is_running()


@kinds(EVERY_KIND)
def test_changed_limit_holds(containerd: Containerd, case: Case, home: Home) -> None:
    go = home.shared / "go"
    go.unlink(missing_ok=True)
    work = [*do("until", "/shared/go"), *do("eat", "100"), "sleep", "60"]
    with (
        case.start(home.pod, *work, memory_bytes=64 * MIB, volumes=home.volumes) as more,
        case.start(home.pod, *work, memory_bytes=256 * MIB, volumes=home.volumes) as less,
    ):
        more.update(memory_limit_in_bytes=256 * MIB)
        less.update(memory_limit_in_bytes=64 * MIB)
        go.touch()
        more.wait_for_log("ate 100 of 100")
        status = less.wait()
        assert (status.exit_code, status.reason) == (137, "OOMKilled")


@kinds(EVERY_KIND)
def test_refused_limit_leaves_the_old_one(containerd: Containerd, case: Case, home: Home) -> None:
    with case.start(home.pod, "sleep", "60", cpu_quota_us=150_000) as container:
        files = CgroupFiles(container.id)
        with pytest.raises(CriError, match=r"(?i)invalid argument|cpu"):
            container.update(cpu_quota=1, cpu_period=100_000)
        assert (files.cpu_quota_us(), files.cpu_period_us()) == (150_000, 100_000)
        container.update(cpu_quota=120_000, cpu_period=100_000)
        assert (files.cpu_quota_us(), files.cpu_period_us()) == (120_000, 100_000)


@kinds(EVERY_KIND)
def test_limits_change_before_the_start(containerd: Containerd, case: Case, home: Home) -> None:
    with home.pod.create(case.spec("sleep", "60", memory_bytes=64 * MIB)) as container:
        container.update(memory_limit_in_bytes=80 * MIB)
        container.start()
        assert CgroupFiles(container.id).memory_limit() == 80 * MIB


@kinds(EVERY_KIND)
def test_memory_limit_ends_as_oom_killed(containerd: Containerd, case: Case, home: Home) -> None:
    work = [*do("say", "hungry"), *do("eat", "200"), "sleep", "60"]
    with (
        case.start(home.pod, "sleep", "60", memory_bytes=128 * MIB) as neighbour,
        case.start(home.pod, *work, memory_bytes=64 * MIB) as container,
    ):
        status = container.wait()
        assert (status.exit_code, status.reason) == (137, "OOMKilled")
        assert container.stdout == "hungry"
        assert neighbour.stop(grace=0).reason != "OOMKilled"


@kinds(LINUX)
def test_oom_of_a_child_is_told_too(containerd: Containerd, case: Case, home: Home) -> None:
    script = 'probe eat 200; echo "child: $?"; exit 5'
    spec = ContainerSpec("parent", probe.BOTH, ["sh", "-c", script], memory_bytes=64 * MIB)
    with home.pod.start(spec) as container:
        status = container.wait()
        assert container.stdout.splitlines()[-1] == "child: 137"
        assert (status.exit_code, status.reason) == (5, "OOMKilled")
