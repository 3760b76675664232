"""A SIGKILL of the loader at a random moment: the entry is whole or not believed."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import wasmtime

from shim.aot.cache import Cache
from shim.engine.config import new_engine
from tests.support import guests
from tests.support.engine_runs import (
    LIMITS,
    load,
    loaded_by,
    new_cache,
    program,
    run,
    start_loader,
    write_module,
)
from tests.support.large_modules import large_module

TRIES = 100


@pytest.mark.parametrize("size", ["small", "medium"])
def test_loader_killed_at_any_moment_leaves_no_entry_that_loads_wrongly(
    tmp_path: Path, size: str
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    text = guests.HELLO if size == "small" else large_module(300_000)
    module = write_module(tmp_path, text)
    cache = new_cache(tmp_path / "cache")
    started = time.monotonic()
    right = load(module, cache)
    longest_s = 1.3 * (time.monotonic() - started)
    expected = right.path.read_bytes()
    engine = new_engine()
    killed = 0
    for _ in range(TRIES):
        if rng.random() < 0.8:
            clear(cache)
        pid, report = start_loader(module, cache, LIMITS)
        time.sleep(rng.uniform(0, longest_s))
        os.kill(pid, signal.SIGKILL)
        os.close(report)
        came_too_late = os.waitpid(pid, 0)[1] != signal.SIGKILL
        killed += not came_too_late
        # the first measure may have been taken on a busier machine
        longest_s *= 0.9 if came_too_late else 1.05
        found = cache.lookup(right.digest)
        if found is not None:
            check(found.path, expected, engine)
        if rng.random() < 0.2:
            # as a new boot does
            forget(cache)
        loaded = loaded_by(*start_loader(module, cache, LIMITS))
        # what a SIGKILL leaves is no news for the node's log
        assert loaded.removed == ()
        check(loaded.artefact.path, expected, engine)
        assert {path.suffix for path in cache.artefacts.iterdir()} <= {"", ".module", ".json"}
    print(f"killed {killed} of {TRIES}")
    assert killed >= TRIES // 4
    if size == "small":
        assert run(engine, program(right)).stdout == "hello\n"


def check(path: Path, expected: bytes, engine: wasmtime.Engine) -> None:
    # compiling is deterministic: the same bytes again, or it was not whole
    assert path.read_bytes() == expected
    wasmtime.Module.deserialize_file(engine, str(path))


def clear(cache: Cache) -> None:
    for path in cache.artefacts.iterdir():
        if path.is_file():
            path.unlink()


def forget(cache: Cache) -> None:
    for mark in (cache.artefacts / "memo").iterdir():
        mark.unlink()
