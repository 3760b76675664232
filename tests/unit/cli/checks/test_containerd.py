from pathlib import Path

import pytest

from shim.cli.checks.check import Check, Level
from shim.cli.checks.containerd import (
    Place,
    check_binary,
    check_configuration,
    check_containerd,
    find_containerd,
)
from shim.cli.checks.containerd_config import Configuration, Runtime

OLD = "io.containerd.grpc.v1.cri"
NEW = "io.containerd.cri.v1.runtime"
TYPE = "io.containerd.tandem.v1"
PATH = Path("/etc/containerd/config.toml")


def handler(configuration: Configuration, *version: int) -> Check:
    checks = check_configuration(configuration, PATH, version)
    return next(check for check in checks if check.name == "runtime handler")


@pytest.mark.parametrize(
    ("plugin", "version", "level"),
    [
        (OLD, (1, 6, 20), Level.OK),
        (OLD, (1, 7, 24), Level.OK),
        (OLD, (2, 1, 9), Level.OK),
        (NEW, (2, 1, 9), Level.OK),
        (NEW, (1, 7, 24), Level.FAIL),
    ],
)
def test_table_must_be_where_this_containerd_looks(
    plugin: str, version: tuple[int, ...], level: Level
) -> None:
    configuration = Configuration(2, (Runtime("tandem", plugin, TYPE),))
    check = handler(configuration, *version)
    assert check.level is level
    assert bool(check.mend) is (level is Level.FAIL)


@pytest.mark.parametrize(("version", "plugin"), [((1, 7), OLD), ((2, 0), NEW)])
def test_missing_runtime_is_mended_in_this_versions_words(
    version: tuple[int, ...], plugin: str
) -> None:
    check = handler(Configuration(2), *version)
    assert check.level is Level.FAIL
    assert f'[plugins."{plugin}".containerd.runtimes.tandem]' in check.mend


def test_file_without_a_version_is_of_version_1() -> None:
    configuration = Configuration(1, (Runtime("tandem", OLD, TYPE),))
    assert "version = 2" in handler(configuration, 1, 6).mend


@pytest.mark.parametrize("name", ["cri", "io.containerd.grpc.v1.cri"])
def test_cri_that_is_disabled_is_told(name: str) -> None:
    checks = check_configuration(Configuration(2, (), (name,)), PATH, (1, 6))
    assert [check.level for check in checks if check.name == "containerd CRI"] == [Level.WARN]


def test_binary_is_looked_for_as_containerd_does(tmp_path: Path) -> None:
    shim = tmp_path / "containerd-shim-tandem-v1"
    beside = Place(binary=str(tmp_path / "containerd"), path="/nowhere")
    missing = check_binary((), beside)
    assert missing.level is Level.FAIL
    assert "/nowhere" in missing.mend
    shim.touch(0o755)
    assert check_binary((), beside).found == str(shim)
    assert check_binary((), Place(binary="/x/containerd", path=str(tmp_path))).found == str(shim)
    given = Runtime("tandem", OLD, TYPE, str(shim))
    assert check_binary((given,), Place(binary="/x/containerd")).level is Level.OK
    given = Runtime("tandem", OLD, str(tmp_path / "other"), "")
    assert check_binary((given,), beside).level is Level.FAIL


def test_node_without_containerd_is_no_error() -> None:
    [check] = check_containerd(Place())
    assert check.level is Level.WARN
    assert "tandem run" in check.found


def test_given_options_win(tmp_path: Path) -> None:
    place = find_containerd(tmp_path / "config.toml", "/run/x.sock")
    assert (place.config, place.address, place.pid) == (tmp_path / "config.toml", "/run/x.sock", 0)
