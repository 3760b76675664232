"""What Tandem wants of the kernel.

Rules: asks by calling, with arguments that change nothing; what a kernel does not have says ENOSYS.
"""

import ctypes
import errno
import os
import platform
from pathlib import Path

from shim.cli.checks.check import Check, fail, ok, skip, version_of, warn
from shim.kernel import constants
from shim.kernel.libc import LINUX

_OLDEST = (5, 14)
_MOUNT_CALLS = {
    "open_tree": constants.SYS_OPEN_TREE,
    "move_mount": constants.SYS_MOVE_MOUNT,
    "fsopen": constants.SYS_FSOPEN,
    "mount_setattr": constants.SYS_MOUNT_SETATTR,
}
_CONTROLLERS = ("cpu", "memory", "pids")
_UPGRADE = "use a kernel of 5.14 or later"


def check_kernel(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> list[Check]:
    """Every check of the kernel."""
    return [
        _version(platform.release()),
        _openat2(),
        _mount_calls(),
        _pidfd(),
        check_cgroups(proc, cgroups),
        check_seccomp(proc),
        check_user_namespaces(proc),
    ]


def _version(release: str) -> Check:
    if version_of(release) < _OLDEST:
        return fail("kernel", release, _UPGRADE)
    return ok("kernel", release)


def _openat2() -> Check:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(LINUX.open_in_root(root, ".", os.O_PATH))
    except OSError as error:
        return fail("openat2", f"refused: {os.strerror(error.errno or 0)}", _UPGRADE)
    finally:
        os.close(root)
    return ok("openat2", "there")


def _mount_calls() -> Check:
    libc = ctypes.CDLL(None, use_errno=True)
    missing = []
    for name, number in _MOUNT_CALLS.items():
        # Bad descriptors and null pointers: nothing is mounted.
        libc.syscall(ctypes.c_long(number), -1, None, -1, None, 0)
        if ctypes.get_errno() == errno.ENOSYS:
            missing.append(name)
    if missing:
        return fail("mount API", f"without {', '.join(missing)}", _UPGRADE)
    return ok("mount API", "there")


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return fail("pidfd", f"refused: {error.strerror}", _UPGRADE)
    return ok("pidfd", "there")


def check_cgroups(proc: Path, cgroups: Path) -> Check:
    """The version of cgroups, and the controllers that limits need."""
    try:
        lines = (proc / "cgroups").read_text().splitlines()[1:]
    except OSError:
        return fail("cgroups", "the kernel has none", "use a kernel with CONFIG_CGROUPS")
    enabled = {line.split()[0] for line in lines if line.split()[-1] == "1"}
    unified = cgroups / "cgroup.controllers"
    if unified.exists():
        found = set(unified.read_text().split())
        version = "v2"
    else:
        found = {each for each in enabled if (cgroups / each).exists()}
        version = "v1"
    missing = [each for each in _CONTROLLERS if each not in found]
    if missing:
        return fail(
            "cgroups",
            f"{version}, without {', '.join(missing)}",
            "mount the controllers; memory may need cgroup_enable=memory on the kernel's command"
            " line",
        )
    return ok("cgroups", f"{version}, with {', '.join(_CONTROLLERS)}")


def check_seccomp(proc: Path) -> Check:
    """Filters, which are a part of the jail."""
    try:
        actions = (proc / "sys/kernel/seccomp/actions_avail").read_text().split()
    except OSError:
        actions = []
    if "errno" not in actions:
        return fail("seccomp", "the kernel has no filters", "use one with CONFIG_SECCOMP_FILTER")
    return ok("seccomp", "filters are there")


def check_user_namespaces(proc: Path) -> Check:
    """For pods with hostUsers: false, as far as they are supported."""
    try:
        limit = int((proc / "sys/user/max_user_namespaces").read_text())
    except (OSError, ValueError):
        return skip("user namespaces", "the kernel does not say")
    if limit == 0:
        return warn(
            "user namespaces",
            "switched off: pods with hostUsers: false do not start",
            "sysctl user.max_user_namespaces=15000",
        )
    return ok("user namespaces", "there, for Linux containers; Wasm containers refuse them")
