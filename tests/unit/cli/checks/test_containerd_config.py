from pathlib import Path

import pytest

from shim.cli.checks.containerd_config import Configuration, Runtime, read_configuration
from shim.errdefs import InvalidArgumentError

OLD = "io.containerd.grpc.v1.cri"
NEW = "io.containerd.cri.v1.runtime"
TANDEM = "io.containerd.tandem.v1"


def runtime(plugin: str, handler: str = "tandem", kind: str = TANDEM, more: str = "") -> str:
    return f'[plugins."{plugin}".containerd.runtimes.{handler}]\nruntime_type = "{kind}"\n{more}\n'


def read(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return read_configuration(path)


@pytest.mark.parametrize("plugin", [OLD, NEW])
def test_our_runtime_is_found_in_either_place(tmp_path: Path, plugin: str) -> None:
    text = "version = 2\n" + runtime(plugin) + runtime(plugin, "runc", "io.containerd.runc.v2")
    found = read(tmp_path, text)
    assert found.version == 2
    assert found.ours == (Runtime("tandem", plugin, TANDEM),)
    assert len(found.runtimes) == 2


def test_our_runtime_may_be_named_by_its_path(tmp_path: Path) -> None:
    text = runtime(OLD, "wasm", "/opt/bin/containerd-shim-tandem-v1")
    assert [each.handler for each in read(tmp_path, text).ours] == ["wasm"]


def test_imports_are_followed_and_win(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.toml").write_text(runtime(OLD, kind=TANDEM))
    (tmp_path / "conf.d/b.toml").write_text('[grpc]\naddress = "/run/b.sock"\n')
    text = 'version = 2\nimports = ["conf.d/*.toml"]\n' + runtime(OLD, kind="io.containerd.runc.v2")
    found = read(tmp_path, text + '[grpc]\naddress = "/run/a.sock"\n')
    assert [each.handler for each in found.ours] == ["tandem"]
    assert found.address == "/run/b.sock"
    assert len(found.files) == 3


def test_imports_may_be_absolute_and_go_round_in_circles(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    found = read(tmp_path, f'imports = ["{path}", "{tmp_path}/*.toml", "/nowhere/*"]\n')
    assert found.files == (path,)
    assert found.version == 1


def test_what_is_disabled_is_told(tmp_path: Path) -> None:
    assert read(tmp_path, 'disabled_plugins = ["cri"]\n').disabled == ("cri",)


def test_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_configuration(tmp_path / "nowhere") == Configuration()


@pytest.mark.parametrize(
    "text",
    ["plugins = 1\n", "[plugins]\nx = 1\n", f'[plugins."{OLD}"]\ncontainerd = 1\n', "grpc = 1\n"],
)
def test_odd_types_are_no_runtimes(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).runtimes == ()


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"config\.toml is unusable"):
        read(tmp_path, "[")
