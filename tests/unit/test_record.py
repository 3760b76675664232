"""The record in the bundle: whole or not at all, and gone when there is nothing to clean."""

from pathlib import Path

import pytest

from shim.errdefs import InternalError
from shim.record import Record, pid_file, read_pid, read_record, remove_record, write_record

RECORD = Record("/b/rootfs", ("/sys/fs/cgroup/x",), "runc", "/run/tandem/runc/k8s.io")


@pytest.mark.parametrize("record", [RECORD, Record("/r")])
def test_record_there_and_back(tmp_path: Path, record: Record) -> None:
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["tandem.json"]


def test_record_is_replaced(tmp_path: Path) -> None:
    write_record(tmp_path, Record("/old"))
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD


@pytest.mark.parametrize("bundle", ["", "missing", "file/below"])
def test_record_that_is_not_there_is_none(tmp_path: Path, bundle: str) -> None:
    (tmp_path / "file").touch()
    assert read_record(tmp_path / bundle) is None
    remove_record(tmp_path / bundle)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"rootfs": "/r"}', '{"cgroup_paths": [], "future": 1}']
)
def test_record_that_is_unusable_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tandem.json").write_text(text)
    with pytest.raises(InternalError, match=r"tandem\.json"):
        read_record(tmp_path)


def test_remove_record_takes_the_pid_along(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    pid_file(tmp_path).write_text("12")
    remove_record(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "pid"), [("123", 123), ("123\n", 123), ("", 0), ("x", 0), (None, 0)]
)
def test_pid_is_zero_where_none_is_known(tmp_path: Path, text: str | None, pid: int) -> None:
    if text is not None:
        pid_file(tmp_path).write_text(text)
    assert read_pid(tmp_path) == pid
