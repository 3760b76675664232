"""The loader: compiles once, stays within its limits, and leaves whole artefacts or none."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from shim.aot import loader
from shim.aot.limits import CompileLimits
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from tests.support import guests
from tests.support.engine_runs import (
    LIMITS,
    find,
    finish_loader,
    forked,
    load,
    loaded_by,
    new_cache,
    start_loader,
    write_module,
)
from tests.support.waiting import wait_for

MIB = 1 << 20


def wait_until_old(module: Path) -> None:
    wait_for("module of 2 s", lambda: time.time() - module.stat().st_ctime > 2.1)


def test_second_start_finds_what_the_first_made(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    module = write_module(tmp_path, guests.HELLO)
    artefact = load(module, cache)
    # too fresh for the memo; the second loader hashes, and compiles nothing
    assert find(module, cache) is None
    made = artefact.path.stat()
    wait_until_old(module)
    assert load(module, cache) == artefact
    assert artefact.path.stat().st_ino == made.st_ino
    assert find(module, cache) == artefact
    assert find(module, cache, identity="another image") is None


def test_two_loaders_at_once_compile_once(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    first = start_loader(guests.quickjs_wasm(), cache)
    second = start_loader(guests.quickjs_wasm(), cache)
    made = finish_loader(*first)
    inode = made.path.stat().st_ino
    assert finish_loader(*second) == made
    assert made.path.stat().st_ino == inode
    assert [path.name for path in (tmp_path / "cache").rglob("*.partial")] == []


def test_loader_killed_while_compiling_leaves_nothing(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    pid, report = start_loader(guests.quickjs_wasm(), cache)
    wait_for("loader at work", lambda: list((tmp_path / "cache").rglob("*.partial")))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="signal 9"):
        finish_loader(pid, report)
    load(write_module(tmp_path, guests.HELLO), cache)
    assert list((tmp_path / "cache").rglob("*.partial")) == []
    assert load(guests.quickjs_wasm(), cache).path.exists()


@pytest.mark.parametrize("memory_mib", [1, 4, 20, 32, 48, 64])
def test_too_little_memory_names_the_limit(tmp_path: Path, memory_mib: int) -> None:
    limits = CompileLimits(memory_bytes=memory_mib * MIB, timeout_s=60)
    with pytest.raises(ResourceExhaustedError, match=r"\[compile\] memory_bytes"):
        load(guests.quickjs_wasm(), new_cache(tmp_path / "cache"), limits)
    assert list((tmp_path / "cache").rglob("*.module")) == []


def test_module_larger_than_the_limit_is_not_even_read(tmp_path: Path) -> None:
    module = tmp_path / "sparse.wasm"
    with module.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ResourceExhaustedError, match=f"{1 << 40} bytes"):
        load(module, new_cache(tmp_path / "cache"))


def test_too_little_time_names_the_limit(tmp_path: Path) -> None:
    limits = CompileLimits(memory_bytes=LIMITS.memory_bytes, timeout_s=0.2)
    with pytest.raises(DeadlineExceededError, match=r"\[compile\] timeout_s"):
        load(guests.quickjs_wasm(), new_cache(tmp_path / "cache"), limits)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (b"", "no Wasm module"),
        (b"#!/bin/sh\n", "no Wasm module"),
        (b"\0asm\1\0\0\0\1\x7f", "wasmtime refuses the module"),
        (b"\0asm\x0d\0\1\0\x0a\x7f", "ends in the middle"),
        (b"(module (func $x (call $y)))", "unknown func"),
        (b"(module \xff)", "refuses"),
    ],
)
def test_what_is_no_module_is_refused_with_the_reason(
    tmp_path: Path, module: bytes, text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        load(write_module(tmp_path, module), new_cache(tmp_path / "cache"))


def test_crash_of_native_code_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(binary: bytes, **_: object) -> None:
        os.write(2, b"panicked at todo!()\n")
        os.abort()

    monkeypatch.setattr(loader, "compile_module", crash)
    with pytest.raises(InternalError, match=r"died by signal 6.*panicked at todo"):
        load(write_module(tmp_path, guests.HELLO), new_cache(tmp_path / "cache"))


def test_loader_dies_with_its_forker(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    alive, writer = os.pipe()

    def forker() -> int:
        pid, _ = start_loader(guests.cpython_wasm(), cache)
        wait_for("loader at work", lambda: list((tmp_path / "cache").rglob("*.partial")))
        os.write(writer, str(pid).encode())
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert forked(forker).status == -signal.SIGKILL
    pid = int(os.read(alive, 16))
    os.close(alive)
    os.close(writer)
    # the tests' process is a subreaper: the orphan is its child now
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_loader_is_nice_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(binary: bytes, **_: object) -> None:
        fds = sorted(str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.exists())
        core = resource.getrlimit(resource.RLIMIT_CORE)[0]
        batch = os.sched_getscheduler(0) == os.SCHED_BATCH
        oom = Path("/proc/self/oom_score_adj").read_text().strip()
        raise InvalidArgumentError(f"nice {os.nice(0)} {batch} oom {oom} core {core} {fds}")

    monkeypatch.setattr(loader, "compile_module", look)
    secret = tmp_path / "secret"
    secret.touch()
    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        with pytest.raises(InvalidArgumentError) as error:
            load(write_module(tmp_path, guests.HELLO), new_cache(tmp_path / "cache"))
    text = str(error.value)
    assert text.startswith(f"nice {min(os.nice(0) + 10, 19)} True oom 1000 core 0 ")
    assert "secret" not in text
    assert "app.wasm" in text


def test_cache_stays_within_its_size(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache", max_bytes=40_000)
    made = []
    for number in range(5):
        artefact = load(write_module(tmp_path, guests.exit_with(number)), cache)
        os.utime(artefact.path.with_suffix(".json"), (number + 1, number + 1))
        made.append(artefact.path)
    assert not made[0].exists()
    assert made[-1].exists()
    assert sum(path.stat().st_blocks * 512 for path in made if path.exists()) <= 40_000


def test_artefact_that_was_tampered_with_is_compiled_anew(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    module = write_module(tmp_path, guests.HELLO)
    path = load(module, cache).path
    whole = path.read_bytes()
    path.write_bytes(whole[:4000] + bytes([whole[4000] ^ 1]) + whole[4001:])
    loaded = loaded_by(*start_loader(module, cache))
    assert loaded.is_new
    assert loaded.removed == (f"{path}: its bytes are not those that were written",)
    assert path.read_bytes() == whole
    assert not loaded_by(*start_loader(module, cache)).is_new
