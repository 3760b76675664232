from pathlib import Path

import pytest

from shim.cli.checks import kernel
from shim.cli.checks.check import Level

HEADER = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"


def test_kernel_of_the_tests_is_good_enough() -> None:
    checks = kernel.check_kernel()
    assert {check.name for check in checks if check.level is Level.FAIL} == set()
    assert len(checks) == 7


def cgroups(tmp_path: Path, *enabled: str) -> tuple[Path, Path]:
    lines = "".join(f"{name}\t1\t1\t1\n" for name in enabled) + "off\t0\t1\t0\n"
    (tmp_path / "cgroups").write_text(HEADER + lines)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    return tmp_path, mounted


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("there", "level", "found"),
    [
        (("cpu", "memory", "pids"), Level.OK, "with cpu, memory, pids"),
        (("cpu", "pids"), Level.FAIL, "without memory"),
    ],
)
def test_cgroups(
    tmp_path: Path, version: str, there: tuple[str, ...], level: Level, found: str
) -> None:
    proc, mounted = cgroups(tmp_path, *there)
    if version == "v2":
        (mounted / "cgroup.controllers").write_text(" ".join(there))
    else:
        for name in there:
            (mounted / name).mkdir()
    check = kernel.check_cgroups(proc, mounted)
    assert (check.level, check.found) == (level, f"{version}, {found}")


def test_kernel_without_anything(tmp_path: Path) -> None:
    assert kernel.check_cgroups(tmp_path, tmp_path).level is Level.FAIL
    assert kernel.check_seccomp(tmp_path).level is Level.FAIL
    assert kernel.check_user_namespaces(tmp_path).level is Level.SKIP


def test_user_namespaces_may_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "sys/user/max_user_namespaces"
    path.parent.mkdir(parents=True)
    path.write_text("0\n")
    check = kernel.check_user_namespaces(tmp_path)
    assert check.level is Level.WARN
    assert "sysctl" in check.mend
