"""Many loaders at once: one compilation per module, a bounded number of them on the node."""

import os
import signal
import time
from pathlib import Path

import pytest

from shim.aot import loader
from shim.aot.limits import CompileLimits
from shim.engine.compile import compile_module
from shim.errdefs import DeadlineExceededError, UnavailableError
from tests.support import guests
from tests.support.engine_runs import (
    LIMITS,
    finish_loader,
    load,
    loaded_by,
    new_cache,
    start_loader,
    write_module,
)
from tests.support.large_modules import large_component, slow_module
from tests.support.waiting import wait_for


def limits(timeout_s: float = 60, parallel: int = 1, wait_s: float = 60) -> CompileLimits:
    return CompileLimits(LIMITS.memory_bytes, timeout_s, parallel, wait_s)


def test_ten_starts_of_one_large_component_compile_it_once(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    module = write_module(tmp_path, large_component(8_000_000, 5_000_000))
    assert module.stat().st_size > 13_000_000
    started = [start_loader(module, cache, LIMITS, f"image {n}") for n in range(10)]
    loaded = [loaded_by(*each) for each in started]
    assert [each.is_new for each in loaded].count(True) == 1
    assert {each.artefact for each in loaded} == {loaded[0].artefact}
    assert [each.removed for each in loaded] == [()] * 10
    assert list((tmp_path / "cache").rglob("*.partial")) == []


@pytest.mark.parametrize("parallel", [1, 2])
def test_compilations_at_once_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    running = tmp_path / "running"
    running.mkdir()
    real = compile_module

    def count(binary: bytes, **_: object) -> object:
        mine = running / str(os.getpid())
        mine.touch()
        (tmp_path / f"saw-{os.getpid()}").write_text(str(len(list(running.iterdir()))))
        time.sleep(0.05)
        mine.unlink()
        return real(binary)

    monkeypatch.setattr(loader, "compile_module", count)
    cache = new_cache(tmp_path / "cache")
    modules = [write_module(tmp_path, guests.exit_with(n), f"{n}.wasm") for n in range(6)]
    started = [start_loader(module, cache, limits(parallel=parallel)) for module in modules]
    assert all(loaded_by(*each).is_new for each in started)
    saw = [int(path.read_text()) for path in tmp_path.glob("saw-*")]
    assert len(saw) == 6
    assert max(saw) <= parallel


def test_who_waits_for_the_same_module_holds_no_slot(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    slow = write_module(tmp_path, slow_module(), "slow.wasm")
    first = [start_loader(slow, cache, limits(parallel=2)) for _ in range(2)]
    wait_for("loader at work", lambda: list((tmp_path / "cache").rglob("*.partial")))
    try:
        assert load(write_module(tmp_path, guests.HELLO), cache, limits(parallel=2)).path.exists()
    finally:
        kill(*first)


def test_turn_that_does_not_come_is_an_error_of_its_own(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    slow = write_module(tmp_path, slow_module(), "slow.wasm")
    first = start_loader(slow, cache, limits())
    wait_for("loader at work", lambda: list((tmp_path / "cache").rglob("slots/0")))
    hello = write_module(tmp_path, guests.HELLO)
    try:
        for module in (slow, hello):
            with pytest.raises(UnavailableError, match=r"turn.*\[compile\] parallel.*again"):
                load(module, cache, limits(wait_s=0.5))
    finally:
        kill(first)
    assert load(hello, cache, limits()).path.exists()


def test_time_for_compiling_counts_from_the_slot(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    slow = start_loader(write_module(tmp_path, slow_module(), "slow.wasm"), cache, limits(3))
    wait_for("loader at work", lambda: list((tmp_path / "cache").rglob("slots/0")))
    # waits for the other one's three seconds, longer than it may compile
    hello = start_loader(write_module(tmp_path, guests.HELLO), cache, limits(timeout_s=2))
    with pytest.raises(DeadlineExceededError, match=r"\[compile\] timeout_s"):
        finish_loader(*slow)
    assert finish_loader(*hello).path.exists()


def kill(*loaders: tuple[int, int]) -> None:
    for pid, report in loaders:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(report)
