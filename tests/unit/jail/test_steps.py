import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from shim.jail import JailError, build_exec_plan, build_plan, enter
from shim.kernel import constants as c
from shim.kernel.libc import Kernel
from shim.oci.spec import LinuxNamespace, Mount, Process, Rlimit, Spec, User
from tests.unit.jail.kernels import RecordingKernel

NAMESPACES = tuple(LinuxNamespace(kind) for kind in ("pid", "mount", "network", "ipc", "uts"))


@pytest.fixture(autouse=True)
def _here() -> Iterator[None]:
    """The jail changes the mask and the directory of the process, which is the tests' here."""
    mask, cwd = os.umask(0o022), Path.cwd()
    yield
    os.umask(mask)
    os.chdir(cwd)


def run(spec: Spec, rootfs: Path, kernel: RecordingKernel) -> list[str]:
    return enter(build_plan(spec, rootfs), [Path("/cg/tasks")], cast("Kernel", kernel))


def test_the_steps_come_in_their_order(tmp_path: Path) -> None:
    kernel = RecordingKernel()
    spec = Spec(
        hostname="pod",
        root_readonly=True,
        process=Process(oom_score_adj=5, rlimits=(Rlimit("RLIMIT_CORE", 0, 0),)),
        namespaces=(*NAMESPACES[:4], LinuxNamespace("uts")),
        mounts=(Mount("/data", "bind", "/etc", ("rbind",)), Mount("/run", "tmpfs")),
    )
    assert run(spec, tmp_path, kernel) == []
    assert kernel.names() == [
        "write", "unshare", "sethostname",
        "mount", "open_tree", "mount_setattr", "move_mount",
        "open_tree", "mount_setattr", "open_in_root", "move_mount",
        "new_tmpfs", "open_in_root", "move_mount",
        "open_in_root", "mount_setattr", "pivot_root", "umount",
        "set_rlimit", "prctl", "set_identity", "set_capabilities", "prctl", "load_filter",
    ]  # fmt: skip
    assert kernel.calls[0] == ("write", Path("/cg/tasks"), "0")
    new = c.CLONE_NEWNS | c.CLONE_NEWNET | c.CLONE_NEWIPC | c.CLONE_NEWUTS
    assert ("unshare", new) in kernel.calls
    assert ("mount", "", "/", c.MS_REC | c.MS_SLAVE) in kernel.calls


def test_the_user_namespace_is_joined_last(tmp_path: Path) -> None:
    kernel = RecordingKernel()
    kinds = ("user", "uts", "network", "ipc", "pid")
    spec = Spec(namespaces=tuple(LinuxNamespace(kind, f"/ns/{kind}") for kind in kinds))
    run(spec, tmp_path, kernel)
    joined = [call[1] for call in kernel.calls if call[0] == "setns"]
    assert joined == ["/ns/network", "/ns/ipc", "/ns/uts", "/ns/user"]
    assert kernel.names().index("unshare") > kernel.names().index("setns")


def test_the_parent_death_signal_follows_the_identity(tmp_path: Path) -> None:
    kernel = RecordingKernel()
    run(Spec(process=Process(user=User(uid=7, gid=8, additional_gids=(9,)))), tmp_path, kernel)
    identity = kernel.calls.index(("set_identity", 7, 8, (9,)))
    signal = next(i for i, call in enumerate(kernel.calls) if call[:2] == ("prctl", 1))
    assert identity < kernel.calls.index(("set_capabilities", 0)) < signal
    assert all(call[0] == "load_filter" for call in kernel.calls[signal + 1 :])


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("write", "cgroup"),
        ("unshare", "namespaces"),
        ("setns", "namespaces"),
        ("open_tree", "file tree"),
        ("pivot_root", "file tree"),
        ("set_identity", "identity"),
        ("load_filter", "seccomp"),
    ],
)
def test_a_failing_step_names_itself(tmp_path: Path, call: str, step: str) -> None:
    spec = Spec(namespaces=(LinuxNamespace("network", "/ns/net"),))
    with pytest.raises(JailError) as caught:
        run(spec, tmp_path, RecordingKernel({call: errno.EIO}))
    assert str(caught.value) == f"jail step '{step}': the object: Input/output error"


def test_limits_that_may_not_be_raised_are_warnings(tmp_path: Path) -> None:
    spec = Spec(process=Process(rlimits=(Rlimit("RLIMIT_NOFILE", 1, 2),)))
    warnings = run(spec, tmp_path, RecordingKernel({"set_rlimit": errno.EPERM}))
    assert warnings == ["resource limit 7: not permitted to raise it to 2"]


def test_a_parent_that_died_meanwhile_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents: Any = iter([100, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(JailError, match="the pod shim died meanwhile"):
        run(Spec(), tmp_path, RecordingKernel())


def test_an_executed_process_joins_the_jail_and_changes_nothing_of_it(tmp_path: Path) -> None:
    kernel = RecordingKernel()
    spec = Spec(
        hostname="pod",
        root_readonly=True,
        process=Process(cwd=os.fspath(tmp_path), user=User(uid=7, gid=8)),
        namespaces=NAMESPACES,
        mounts=(Mount("/data", "bind", "/etc", ("rbind",)),),
    )
    joined = [(c.CLONE_NEWNET, Path("/proc/self/fd/7")), (c.CLONE_NEWNS, Path("/proc/self/fd/8"))]
    plan = build_exec_plan(spec, joined)
    assert enter(plan, [Path("/cg/tasks")], cast("Kernel", kernel)) == []
    assert kernel.names() == [
        "write", "setns", "unshare", "prctl", "set_identity", "set_capabilities", "prctl",
        "load_filter",
    ]  # fmt: skip
    assert [call for call in kernel.calls if call[0] in {"setns", "unshare"}] == [
        ("setns", "/proc/self/fd/7", c.CLONE_NEWNET),
        ("setns", "/proc/self/fd/8", c.CLONE_NEWNS),
        ("unshare", 0),
    ]
    assert Path.cwd() == tmp_path
    own = RecordingKernel()
    enter(build_plan(spec, tmp_path), [Path("/cg/tasks")], cast("Kernel", own))
    filters = [call for call in own.calls if call[0] == "load_filter"]
    assert [call for call in kernel.calls if call[0] == "load_filter"] == filters
