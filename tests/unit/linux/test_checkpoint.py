"""What `checkpoint` and `restore` are told."""

from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from shim.api.runc_options_pb2 import CheckpointOptions
from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.linux.checkpoint import checkpoint_flags, restore_flags


@pytest.fixture
def search_path(tmp_path: Path) -> str:
    """A PATH with a `criu`."""
    (tmp_path / "criu").touch(mode=0o755)
    return str(tmp_path)


def flags(search_path: str, options: CheckpointOptions) -> list[str]:
    return checkpoint_flags("/image", Any(value=options.SerializeToString()), search_path)


def test_container_runs_on_unless_it_is_to_end(search_path: str) -> None:
    assert flags(search_path, CheckpointOptions()) == ["--image-path", "/image", "--leave-running"]
    assert flags(search_path, CheckpointOptions(exit=True)) == ["--image-path", "/image"]


def test_every_option_has_its_flag(search_path: str) -> None:
    options = CheckpointOptions(
        exit=True,
        open_tcp=True,
        external_unix_sockets=True,
        terminal=True,
        file_locks=True,
        empty_namespaces=["network"],
        work_path="/work",
        parent_path="/parent",
    )
    assert flags(search_path, options)[2:] == [
        *("--work-path", "/work", "--parent-path", "/parent", "--tcp-established"),
        *("--ext-unix-sk", "--shell-job", "--file-locks", "--empty-ns", "network"),
    ]


def test_restore(search_path: str) -> None:
    assert restore_flags("/image", search_path) == ["--image-path", "/image", "--no-subreaper"]


def test_options_that_cannot_be_decoded(search_path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be decoded"):
        checkpoint_flags("/image", Any(value=b"\xff"), search_path)


def test_without_criu_in_the_runtimes_path(tmp_path: Path) -> None:
    with pytest.raises(UnimplementedError, match="criu"):
        checkpoint_flags("/image", Any(), str(tmp_path))
    with pytest.raises(UnimplementedError, match="criu"):
        restore_flags("/image", str(tmp_path))
