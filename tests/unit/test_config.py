"""The configuration file: every key optional, every mistake named."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim import config as config_module
from shim.config import Config, load_config, parse_config
from shim.errdefs import InvalidArgumentError


def test_config_of_nothing_has_the_defaults() -> None:
    assert parse_config("", name="x") == Config()


def test_config_reads_every_key() -> None:
    text = """
    [cache]
    directory = "/c"
    max_bytes = 1
    warm_on_pull = true
    [compile]
    timeout_s = 2
    memory_bytes = 3
    parallel = 4
    [containerd]
    address = "/a"
    [keyvalue]
    max_value_bytes = 4
    [linux]
    runtime = "crun"
    systemd_cgroup = true
    [shim]
    transport = "grpc"
    """
    config = parse_config(text, name="x")
    assert (config.cache.directory, config.cache.max_bytes) == ("/c", 1)
    assert config.cache.warm_on_pull
    assert (config.compile.timeout_s, config.compile.memory_bytes) == (2, 3)
    assert (config.compile.parallel, config.containerd.address) == (4, "/a")
    assert config.keyvalue.max_value_bytes == 4
    assert (config.linux.runtime, config.linux.systemd_cgroup) == ("crun", True)
    assert config.shim.transport == "grpc"


def test_config_keeps_the_defaults_of_keys_that_are_not_there() -> None:
    config = parse_config('[linux]\nruntime = "crun"', name="x")
    assert config.cache == Config().cache
    assert not config.linux.systemd_cgroup


def test_half_of_the_processors_compile_and_at_least_one() -> None:
    assert Config().compile.parallel == max((os.cpu_count() or 1) // 2, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("caches = 1", "unknown key 'caches'"),
        ("[cache]\nsize = 1", r"\[cache\] has an unknown key 'size'"),
        ("[cache]\n__doc__ = 'x'", "unknown key '__doc__'"),
        ("cache = 1", r"\[cache\] is not a table"),
        ("[cache]\nmax_bytes = '1'", "max_bytes must be a int"),
        ("[cache]\nmax_bytes = true", "max_bytes must be a int"),
        ("[cache]\nmax_bytes = 0", "max_bytes must not be empty, zero or negative"),
        ("[cache]\nmax_bytes = -1", "max_bytes must not be"),
        ("[cache]\ndirectory = ''", "directory must not be empty"),
        ("[linux]\nsystemd_cgroup = 1", "systemd_cgroup must be a bool"),
        (
            "[shim]\ntransport = 'tcp'",
            r"\[shim\] transport is 'tcp': it must be one of ttrpc, grpc",
        ),
        ("[shim]\ntransport = 1", "transport must be a str"),
        ("[linux", "not valid TOML"),
    ],
)
def test_config_names_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason) as caught:
        parse_config(text, name="/etc/x.toml")
    assert "/etc/x.toml" in str(caught.value)


@given(st.text())
@example("a = " + "[" * 100_000)
def test_config_hostile_text_is_refused(text: str) -> None:
    try:
        parse_config(text, name="x")
    except InvalidArgumentError:
        return
    assert parse_config(text, name="x") == Config()


def test_load_config_of_the_default_path_may_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    monkeypatch.setattr(config_module, "DEFAULT_PATH", str(path))
    assert load_config(path) == Config()
    path.write_text("[compile]\ntimeout_s = 9")
    assert load_config(path).compile.timeout_s == 9


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_load_config_of_another_path_must_be_readable(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=str(path)):
        load_config(path)


def test_load_config_of_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        load_config(tmp_path)


def test_outbound_networks() -> None:
    config = parse_config('[outbound]\nblock = ["10.0.0.0/8"]\ndefault = "deny"', name="x")
    assert (config.outbound.block, config.outbound.default) == (("10.0.0.0/8",), "deny")
    assert parse_config("[outbound]\nblock = []", name="x").outbound.block == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('block = "10.0.0.0/8"', "must be a list of strings"),
        ("block = [1]", "must be a list of strings"),
        ('block = ["a.b"]', "'a.b' is no network"),
        ('default = "perhaps"', "it is allow or deny"),
    ],
)
def test_outbound_mistakes(text: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        parse_config(f"[outbound]\n{text}", name="x")
