import dataclasses
import resource
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, ShimError, UnimplementedError
from shim.jail import JailPlan, build_exec_plan, build_plan
from shim.kernel import constants as c
from shim.oci.spec import LinuxNamespace, Mount, Process, Rlimit, Spec, User

ROOTFS = Path("/bundle/rootfs")
INFINITY = resource.RLIM_INFINITY


def plan(**members: object) -> JailPlan:
    return build_plan(dataclasses.replace(Spec(), **members), ROOTFS)  # type: ignore[arg-type]


def test_a_plain_spec_gives_a_private_mount_namespace_alone() -> None:
    made = plan()
    assert made.unshare_flags == c.CLONE_NEWNS
    assert (made.pid_namespace, made.joined_namespaces, made.volumes) == (None, (), ())
    assert (made.uid, made.gid, made.groups, made.umask, made.cwd) == (0, 0, (), 0o022, "/")
    assert len(made.filters) == 1


def test_a_pid_namespace_is_for_the_spawner_and_never_new() -> None:
    assert plan(namespaces=(LinuxNamespace("pid"),)).unshare_flags == c.CLONE_NEWNS
    joined = plan(namespaces=(LinuxNamespace("pid", "/proc/7/ns/pid"),))
    assert joined.pid_namespace == Path("/proc/7/ns/pid")
    assert joined.joined_namespaces == ()


def test_the_host_name_is_set_in_a_new_uts_namespace_only() -> None:
    new, joined = LinuxNamespace("uts"), LinuxNamespace("uts", "/ns/uts")
    assert plan(hostname="pod", namespaces=(new,)).hostname == "pod"
    assert plan(hostname="pod", namespaces=(joined,)).hostname == ""
    assert plan(hostname="pod").hostname == ""


def test_capabilities_are_those_that_a_guest_can_use() -> None:
    wanted = frozenset({"CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", "CAP_KILL"})
    assert plan(process=Process(effective_capabilities=wanted)).capabilities == 1 | 1 << 10
    other = Process(effective_capabilities=wanted, user=User(uid=1))
    assert plan(process=other).capabilities == 0


def test_limits_have_the_kernel_s_numbers() -> None:
    limits = (
        Rlimit("RLIMIT_NOFILE", 10, 20),
        Rlimit("RLIMIT_CORE", 0, 2**64 - 1),
        Rlimit("RLIMIT_AS", 2**64 - 1, 2**64 - 1),
    )
    assert plan(process=Process(rlimits=limits)).rlimits == (
        (resource.RLIMIT_NOFILE, 10, 20),
        (resource.RLIMIT_CORE, 0, INFINITY),
        (resource.RLIMIT_AS, INFINITY, INFINITY),
    )


@pytest.mark.parametrize(
    ("members", "error", "text"),
    [
        (
            {"namespaces": (LinuxNamespace("user"),)},
            UnimplementedError,
            "new user namespaces are not supported",
        ),
        ({"uid_mappings": ((0, 1000, 1),)}, UnimplementedError, "hostUsers: true"),
        ({"namespaces": (LinuxNamespace("time"),)}, UnimplementedError, "type 'time'"),
        (
            {"namespaces": (LinuxNamespace("mount", "/ns/mnt"),)},
            UnimplementedError,
            "cannot join the mount namespace /ns/mnt",
        ),
        (
            {"namespaces": (LinuxNamespace("ipc"), LinuxNamespace("ipc", "/x"))},
            InvalidArgumentError,
            "ipc is listed twice",
        ),
        (
            {"namespaces": (LinuxNamespace("ipc", "x"),)},
            InvalidArgumentError,
            "path 'x' of ipc is not absolute",
        ),
        ({"process": Process(user=User(uid=-1))}, InvalidArgumentError, "-1 is not a user"),
        ({"process": Process(cwd="work")}, InvalidArgumentError, "'work' is not an absolute path"),
        ({"process": Process(oom_score_adj=1001)}, InvalidArgumentError, "oomScoreAdj 1001"),
        (
            {"process": Process(rlimits=(Rlimit("RLIMIT_X", 1, 1),))},
            InvalidArgumentError,
            "'RLIMIT_X' is not a resource limit",
        ),
        (
            {"process": Process(rlimits=(Rlimit("RLIMIT_CORE", 2, 1),))},
            InvalidArgumentError,
            "RLIMIT_CORE has a soft limit above its hard",
        ),
        (
            {"hostname": "x" * 65, "namespaces": (LinuxNamespace("uts"),)},
            InvalidArgumentError,
            "longer than 64 bytes",
        ),
        ({"mounts": (Mount("/", "bind", "/x"),)}, InvalidArgumentError, "not a path below"),
        (
            {"seccomp": {"defaultAction": "SCMP_ACT_MAYBE"}},
            InvalidArgumentError,
            "'SCMP_ACT_MAYBE' is not an action",
        ),
    ],
)
def test_refusals_come_before_the_fork_and_name_the_member(
    members: dict[str, object], error: type[ShimError], text: str
) -> None:
    with pytest.raises(error, match=text):
        plan(**members)
    with pytest.raises(error, match=text):
        build_exec_plan(dataclasses.replace(Spec(), **members), ())  # type: ignore[arg-type]


def test_an_executed_process_enters_the_jail_that_is_there() -> None:
    spec = Spec(
        hostname="pod",
        root_readonly=True,
        process=Process(
            cwd="/work",
            user=User(uid=0, gid=8, additional_gids=(9,), umask=0o77),
            effective_capabilities=frozenset({"CAP_CHOWN", "CAP_SYS_ADMIN"}),
            oom_score_adj=7,
            rlimits=(Rlimit("RLIMIT_CORE", 0, 0),),
        ),
        namespaces=(
            LinuxNamespace("network", "/ns/net"),
            LinuxNamespace("uts"),
            LinuxNamespace("pid", "/ns/pid"),
        ),
        mounts=(Mount("/data", "bind", "/x"), Mount("/run", "tmpfs")),
    )
    joined = ((c.CLONE_NEWNET, Path("/proc/self/fd/7")), (c.CLONE_NEWNS, Path("/proc/self/fd/8")))
    executed, own = build_exec_plan(spec, list(joined)), build_plan(spec, ROOTFS)
    assert executed.rootfs is None
    assert (executed.joined_namespaces, executed.unshare_flags) == (joined, 0)
    assert (executed.volumes, executed.hostname) == ((), "")
    # What it may do is its own process's, by the same rules.
    same = ("pid_namespace", "cwd", "uid", "gid", "groups", "umask", "rlimits", "oom_score_adj",
            "capabilities", "filters")  # fmt: skip
    assert {name: getattr(executed, name) for name in same} == {
        name: getattr(own, name) for name in same
    }
