"""Compilation alone; what the filters do is in tests/integration/test_jail_seccomp.py."""

import pyseccomp as libseccomp
import pytest

from shim.errdefs import InvalidArgumentError, ShimError, UnimplementedError
from shim.jail.denied import ABSENT, DENIED
from shim.jail.guard import guard_program
from shim.jail.seccomp import compile_filters


def test_our_list_is_compiled_once_and_comes_first() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    (own,) = compile_filters(None)
    both = compile_filters(profile)
    assert both[0] is own
    assert both[1] is compile_filters(dict(profile))[1]
    assert all(len(program) % 8 == 0 for program in both)


def test_a_profile_of_unknown_names_equals_an_empty_one() -> None:
    empty = {"defaultAction": "SCMP_ACT_ERRNO"}
    unknown = {**empty, "syscalls": [{"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]}
    same = {**empty, "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}
    programs = {compile_filters(profile)[1] for profile in (empty, unknown, same)}
    assert len(programs) == 1


@pytest.mark.parametrize(
    ("profile", "error", "text"),
    [
        ({}, InvalidArgumentError, "'' is not an action"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, UnimplementedError, "SCMP_ACT_NOTIFY"),
        ({"defaultAction": "SCMP_ACT_TRACE"}, UnimplementedError, "SCMP_ACT_TRACE"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]},
            InvalidArgumentError,
            "linux.seccomp is malformed: 'action'",
        ),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": "read"},
            InvalidArgumentError,
            "linux.seccomp is malformed",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_LIKE"}],
                    }
                ],
            },
            InvalidArgumentError,
            "'SCMP_CMP_LIKE' is not an operator",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}],
                    }
                ],
            },
            InvalidArgumentError,
            "libseccomp refuses the rule for read",
        ),
    ],
)
def test_a_bad_profile_is_refused_by_name(
    profile: dict[str, object], error: type[ShimError], text: str
) -> None:
    with pytest.raises(error, match=text):
        compile_filters(profile)


def test_every_denied_name_is_one_that_libseccomp_knows_or_is_newer() -> None:
    unknown = {
        name for name in DENIED if libseccomp.resolve_syscall(libseccomp.Arch.NATIVE, name) == -1
    }
    assert unknown <= {"set_mempolicy_home_node", "process_mrelease", "quotactl_fd"}
    assert set(ABSENT) <= set(DENIED)


def test_the_guard_depends_on_the_pid_alone() -> None:
    assert len(guard_program(1)) == 8 * 8
    assert guard_program(1) == guard_program(1)
    assert guard_program(1) != guard_program(2)
