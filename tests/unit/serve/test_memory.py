import ctypes
import os
import socket
import threading
from pathlib import Path

import pytest

from shim.serve.memory import Trimmer, read, receive

_BLOCK = 4096


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_nothing_is_trimmed_before_there_is_a_request() -> None:
    trimmed = threading.Event()
    trimmer = Trimmer(trimmed.set, lambda _: None)
    waiting = threading.Thread(target=trimmer.step)
    waiting.start()
    assert not trimmed.wait(0.1)
    trimmer.note()
    assert trimmed.wait(10)
    waiting.join()


def test_requests_during_the_pause_need_no_trim_of_their_own() -> None:
    trims: list[None] = []
    trimmer = Trimmer(lambda: trims.append(None), lambda _: trimmer.note())
    trimmer.note()
    trimmer.step()
    waiting = threading.Thread(target=trimmer.step)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    trimmer.note()
    waiting.join()
    assert trims == [None, None]


def test_memory_below_the_first_byte_in_use_goes_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(_BLOCK) for _ in range(64 << 20 >> 12)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_kib()
    trimmer = Trimmer(sleep=lambda _: None)
    trimmer.note()
    trimmer.step()
    after = resident_kib()
    libc.free(blocks[-1])
    assert after < before - (32 << 10)


def test_what_is_read_stays_as_it_is() -> None:
    """Although the next read uses the same buffer."""
    reader, writer = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = []
        for word in (b"one", b"three", b"four"):
            os.write(writer, word)
            found.append(read(reader))
            theirs.sendall(word)
            found.append(receive(ours))
        assert found == [b"one", b"one", b"three", b"three", b"four", b"four"]
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            receive(ours)
        os.close(writer)
        theirs.close()
        assert (read(reader), receive(ours)) == (b"", b"")
    os.close(reader)


def test_each_thread_has_a_buffer_of_its_own() -> None:
    pairs = [socket.socketpair() for _ in range(8)]
    found: list[bytes] = []

    def echo(connection: socket.socket) -> None:
        while data := receive(connection):
            found.append(data)

    threads = [threading.Thread(target=echo, args=(ours,)) for ours, _ in pairs]
    for thread in threads:
        thread.start()
    words = [bytes([65 + number]) * 1000 for number in range(8)]
    for _ in range(200):
        for word, (_, theirs) in zip(words, pairs, strict=True):
            theirs.sendall(word)
    for pair in pairs:
        pair[1].close()
    for thread in threads:
        thread.join()
    for pair in pairs:
        pair[0].close()
    for data in found:
        assert len(set(data)) == 1
    assert sum(map(len, found)) == 8 * 200 * 1000
