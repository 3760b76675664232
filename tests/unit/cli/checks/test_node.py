from pathlib import Path

import pytest

from shim.cli.checks import node
from shim.cli.checks.check import Check, Level, ok


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_directory_is_made_when_it_is_needed(tmp_path: Path) -> None:
    assert node.check_directory("cache", tmp_path / "nowhere").level is Level.OK


def test_directory_of_ours_is_good(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert node.check_directory("cache", tmp_path).level in {Level.OK, Level.WARN}


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_directory_that_others_write_to_is_mended(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    check = node.check_directory("cache", tmp_path)
    assert check.level is Level.FAIL
    assert f"chmod 0700 {tmp_path}" in check.mend


def test_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert node.check_directory("cache", tmp_path / "cache").level is Level.FAIL


def script(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "level"),
    [
        ("runc version 1.1.5+ds1", Level.OK),
        ("runc version 1.0.0", Level.WARN),
        ("crun version 0.1", Level.OK),
    ],
)
def test_oci_runtime(tmp_path: Path, says: str, level: Level) -> None:
    script(tmp_path, "runtime", says)
    check = node.check_oci_runtime("runtime", str(tmp_path))
    assert check.level is level
    assert says in check.found


def test_missing_oci_runtime(tmp_path: Path) -> None:
    check = node.check_oci_runtime("no-such-runtime", str(tmp_path))
    assert check.level is Level.FAIL
    assert "[linux] runtime" in check.mend


def test_daemon_that_does_not_run_is_no_error(tmp_path: Path) -> None:
    env = {"TANDEM_SOCKET": str(tmp_path / "s")}
    assert node.check_daemon(env, "").level is Level.OK
    assert node.check_daemon({"TANDEM_SOCKET": "relative"}, "").level is Level.FAIL


def test_unusable_configuration_is_told_and_the_rest_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[nonsense]\n")
    env = {"TANDEM_CONFIG": str(path), "TANDEM_SOCKET": str(tmp_path / "s"), "PATH": "/usr/bin"}
    checks = node.check_node(env, "")
    assert named(checks, "configuration").level is Level.FAIL
    assert "nonsense" in named(checks, "configuration").found
    assert "denies every socket" in named(checks, "wasi:sockets").found
    assert named(checks, "wasmtime").found.startswith("50.")


def test_shim_is_the_one_that_containerd_finds(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert node.find_shim([ok("shim binary", str(tmp_path / "x"))]) == str(tmp_path / "x")
