"""Locks of the cache: who waits, who is let in, and what is debris."""

import os
import threading
from pathlib import Path

import pytest

from shim.aot.locks import lock_file, remove_if_abandoned, slot, write_whole

CREATE = os.O_RDWR | os.O_CREAT


def test_lock_follows_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.partial"
    first = lock_file(path, CREATE)
    with pytest.raises(BlockingIOError):
        lock_file(path, wait=False)
    path.rename(tmp_path / "x.module")
    second = lock_file(path, CREATE, wait=False)
    assert not os.path.samestat(os.fstat(first), os.fstat(second))
    os.close(first)
    os.close(second)


def test_shared_locks_shut_out_others_alone(tmp_path: Path) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY
    held = [lock_file(tmp_path, flags, wait=False, shared=True) for _ in range(2)]
    for fd in held:
        with pytest.raises(BlockingIOError):
            lock_file(tmp_path, flags, wait=False)
        os.close(fd)
    os.close(lock_file(tmp_path, flags, wait=False))


def test_file_is_written_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    (tmp_path / "x.json.partial").write_bytes(b"what somebody died over, and longer")
    write_whole(path, b"first")
    write_whole(path, b"2")
    assert path.read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == [path]


def test_debris_is_what_nobody_locks(tmp_path: Path) -> None:
    path = tmp_path / "x.partial"
    remove_if_abandoned(path)
    fd = lock_file(path, CREATE)
    remove_if_abandoned(path)
    assert path.exists()
    os.close(fd)
    remove_if_abandoned(path)
    assert not path.exists()


def test_slots_are_as_many_as_there_are(tmp_path: Path) -> None:
    entered, leave = threading.Semaphore(0), threading.Semaphore(0)
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with slot(tmp_path, 2):
            inside.append(number)
            most.append(len(inside))
            entered.release()
            leave.acquire()
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        assert entered.acquire(timeout=20)
        leave.release()
    for thread in threads:
        thread.join(20)
    assert len(most) == 6
    assert max(most) <= 2
