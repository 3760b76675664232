import ctypes
import threading
from pathlib import Path

from shim.serve.memory import Trimmer

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
