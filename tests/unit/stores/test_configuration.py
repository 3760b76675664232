"""Which of three places a value of the configuration comes from."""

from pathlib import Path

import pytest

from shim.stores.configuration import Configuration
from shim.stores.directory import DirectoryError
from shim.stores.options import GuestOptions

ENV = (("WASI_CONFIG_a", "env"), ("WASI_CONFIG_z", "env"), ("WASI_CONFIG_", "x"), ("PASSWORD", "x"))


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    for folder, keys in (("one", "abc"), ("two", "abcd")):
        (tmp_path / folder).mkdir()
        for key in keys:
            (tmp_path / folder / key).write_text(folder)
    directories = (str(tmp_path / "one"), str(tmp_path / "two"))
    return Configuration(GuestOptions((("b", "annotation"), ("y", "")), directories), ENV)


def test_precedence(configuration: Configuration) -> None:
    expected = {"a": "one", "b": "annotation", "c": "one", "d": "two", "y": "", "z": "env"}
    assert configuration.get_all() == expected
    assert list(configuration.get_all()) == sorted(expected)
    for key, value in expected.items():
        assert configuration.get(key) == value


def test_other_variables_are_no_configuration(configuration: Configuration) -> None:
    assert "PASSWORD" not in configuration.get_all()
    assert configuration.get("PASSWORD") is None
    assert configuration.get("") is None
    assert configuration.get("nowhere") is None


def test_directories_are_read_anew(configuration: Configuration, tmp_path: Path) -> None:
    (tmp_path / "one" / "a").write_text("changed")
    (tmp_path / "two" / "d").unlink()
    assert configuration.get("a") == "changed"
    assert configuration.get("d") is None


def test_missing_directory_is_an_error_except_for_what_an_annotation_says(tmp_path: Path) -> None:
    options = GuestOptions((("a", "1"),), (str(tmp_path / "gone"),))
    configuration = Configuration(options, ENV)
    assert configuration.get("a") == "1"
    with pytest.raises(DirectoryError):
        configuration.get("z")
    with pytest.raises(DirectoryError):
        configuration.get_all()
