"""The jail of a process that makes others, and of those that it makes."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shim.jail import compile_filters, confine_worker
from tests.integration.test_jail_seccomp import ALLOWED, PROFILE, seccomp
from tests.security.jailed import raw, refusal, run_jailed, run_supervising

pytestmark = pytest.mark.root

# clone(2): a child that is a process, alone and in new namespaces
FORK = ("clone", signal.SIGCHLD, 0, 0, 0, 0)
NAMESPACES = [0x20000, *(0x2000000 << bit for bit in range(6))]
PR_SET_PDEATHSIG = 1


def in_worker(ask: Callable[[], Any]) -> Any:
    """What `ask` finds in a forked worker."""
    filters, parent = compile_filters(None), os.getpid()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            confine_worker(filters, parent)
            found = ask()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(data)


def forks() -> list[str]:
    return [refusal(raw(*FORK)), refusal(raw("prctl", PR_SET_PDEATHSIG, 0))]


def test_a_worker_is_jailed_as_any_other_instance(tmp_path: Path) -> None:
    assert run_jailed(tmp_path, forks).value == ["EPERM", "EPERM"]
    assert run_supervising(tmp_path, lambda: in_worker(forks)).value == ["EPERM", "EPERM"]


def test_a_worker_reaches_itself_alone(tmp_path: Path) -> None:
    def signals() -> list[str]:
        own, parent = os.getpid(), os.getppid()
        return [
            refusal(raw("tgkill", own, own, 0)),
            refusal(raw("tgkill", parent, parent, 0)),
            refusal(raw("kill", parent, 0)),
        ]

    found = run_supervising(tmp_path, lambda: in_worker(signals)).value
    assert found == ["done: 0", "EPERM", "EPERM"]


def test_the_supervisor_makes_processes_and_nothing_else(tmp_path: Path) -> None:
    def tries() -> list[str]:
        return [
            *(refusal(raw("clone", signal.SIGCHLD | flag, 0, 0, 0, 0)) for flag in NAMESPACES),
            refusal(raw("unshare", 0)),
            refusal(raw("kill", 1, 0)),
            refusal(raw("execve", b"/x", None, None)),
            refusal(raw("ptrace", 0, 0, 0, 0)),
            refusal(raw("memfd_secret", 0)),
        ]

    assert run_supervising(tmp_path, tries).value == ["EPERM"] * (len(NAMESPACES) + 5)
    assert run_supervising(tmp_path, lambda: in_worker(lambda: "made")).value == "made"


def test_the_profile_holds_for_both(tmp_path: Path) -> None:
    call = raw("sched_setscheduler", 0, 0, b"\0" * 8)
    config = seccomp(**PROFILE)
    assert run_supervising(tmp_path, lambda: refusal(call), config).value == "EPERM"
    found = run_supervising(tmp_path, lambda: in_worker(lambda: refusal(call)), config)
    assert found.value == "EPERM"


def test_a_profile_that_allows_no_further_filter(tmp_path: Path) -> None:
    names = [name for name in ALLOWED if name != "prctl"]
    # Its filter is loaded last, so that nothing but what a worker does meets it.
    config = seccomp(
        **{
            **PROFILE,
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}, *PROFILE["syscalls"][1:]],
        }
    )
    found = run_supervising(tmp_path, lambda: in_worker(list), config).value
    assert "the seccomp profile of the container (linux.seccomp) must allow prctl" in found
