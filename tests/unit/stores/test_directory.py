"""Directories of configuration, as kubelets mount them and as nobody should."""

import os
import threading
from pathlib import Path

import pytest

from shim.stores.directory import MAX_BYTES, DirectoryError, read_value, read_values


def publish(folder: Path, generation: str, files: dict[str, str]) -> None:
    """What a kubelet does: new files, one rename, and the old ones go."""
    made = folder / f"..{generation}"
    made.mkdir()
    for name, text in files.items():
        (made / name).write_text(text)
    old = (folder / "..data").resolve() if (folder / "..data").exists() else None
    link = folder / "..tmp"
    link.symlink_to(made.name)
    link.rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()


def test_plain_directory(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n")
    (tmp_path / "ü").write_text("zwei")
    (tmp_path / ".hidden").write_text("3")
    (tmp_path / "folder").mkdir()
    (tmp_path / "..x").write_text("of the kubelet")
    os.mkfifo(tmp_path / "fifo")
    assert read_values(str(tmp_path)) == {"a": "1\n", "ü": "zwei", ".hidden": "3"}
    assert read_value(str(tmp_path), "a") == "1\n"


@pytest.mark.parametrize("key", ["", ".", "..", "..x", "b", "folder", "folder/a", "a\0", "fifo"])
def test_what_is_no_key_is_not_there(tmp_path: Path, key: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").touch()
    (tmp_path / "..x").touch()
    os.mkfifo(tmp_path / "fifo")
    assert read_value(str(tmp_path), key) is None


def test_generations_are_exchanged(tmp_path: Path) -> None:
    publish(tmp_path, "1", {"a": "1", "b": "1"})
    assert read_values(str(tmp_path)) == {"a": "1", "b": "1"}
    publish(tmp_path, "2", {"a": "2", "c": "2"})
    assert read_values(str(tmp_path)) == {"a": "2", "c": "2"}
    assert read_value(str(tmp_path), "a") == "2"
    # its link still dangles where a kubelet has not removed it yet
    assert read_value(str(tmp_path), "b") is None


def test_two_generations_are_never_mixed(tmp_path: Path) -> None:
    publish(tmp_path, "0", dict.fromkeys("abcdef", "0"))
    stop = threading.Event()

    def go_on() -> None:
        number = 1
        while not stop.is_set():
            publish(tmp_path, str(number), dict.fromkeys("abcdef", str(number)))
            number += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        seen = set()
        for _ in range(300):
            values = read_unless_too_fast(str(tmp_path))
            if values is None:
                continue
            assert set(values) == set("abcdef")
            assert len(set(values.values())) == 1
            seen |= set(values.values())
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1


def read_unless_too_fast(folder: str) -> dict[str, str] | None:
    try:
        return read_values(folder)
    except DirectoryError as error:
        if "changes all the time" not in str(error):
            raise
        return None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with pytest.raises(DirectoryError, match=r"directory /nowhere/x: No such file"):
        read_values("/nowhere/x")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(DirectoryError, match=r"/binary is not UTF-8"):
        read_value(folder, "binary")
    with pytest.raises(DirectoryError, match=r"/binary is not UTF-8"):
        read_values(folder)
    (tmp_path / "binary").write_bytes(b"x" * MAX_BYTES)
    assert len(read_values(folder)["binary"]) == MAX_BYTES
    (tmp_path / "more").write_bytes(b"x")
    with pytest.raises(DirectoryError, match="holds more than 1 MiB"):
        read_values(folder)
    (tmp_path / "binary").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(DirectoryError, match=r"/binary is larger than 1 MiB"):
        read_value(folder, "binary")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DirectoryError, match=r"/loop: Too many levels"):
        read_value(folder, "loop")
