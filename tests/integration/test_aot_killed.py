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

KILLS = 100
MOST_TRIES = 1000


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
    longest_s = time.monotonic() - started
    expected = right.path.read_bytes()
    engine = new_engine()
    tries = killed = 0
    while killed < KILLS:
        tries += 1
        assert tries < MOST_TRIES, f"{killed} loaders lived long enough to be killed"
        # else it finds an entry, to be believed or not
        clear(cache) if rng.random() < 0.8 else forget(cache)
        pid, report = start_loader(module, cache, LIMITS)
        time.sleep(rng.uniform(0, longest_s))
        os.kill(pid, signal.SIGKILL)
        os.close(report)
        was_killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
        killed += was_killed
        # so that the moments are spread over its life, however busy the machine is
        longest_s *= 1.05 if was_killed else 0.9
        found = cache.lookup(right.digest)
        if found is not None:
            check(found.path, expected, engine)
        with cache.writing(right.digest) as entry:
            verified = entry.verify(None)
            # what a SIGKILL leaves is no news for the node's log
            assert entry.removed == []
        if verified is not None:
            check(verified.path, expected, engine)
        assert found in {None, verified}
    print(f"{tries} tries")
    loaded = loaded_by(*start_loader(module, cache, LIMITS))
    check(loaded.artefact.path, expected, engine)
    assert {path.suffix for path in cache.artefacts.iterdir()} <= {"", ".module", ".json"}
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
