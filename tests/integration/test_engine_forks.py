"""Engines and modules across forks: one thread until something runs, and nothing that hangs."""

import os
import signal
import time
from pathlib import Path

import pytest

from shim.engine.config import new_engine
from shim.engine.run import Instance, StaleArtefactError
from tests.support import engine_runs, guests
from tests.support.engine_runs import forked, load, new_cache, program, write_module


def test_engine_and_loaded_module_leave_one_thread(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    artefacts = [
        load(write_module(tmp_path, text, f"{number}.wasm"), cache)
        for number, text in enumerate((guests.HELLO, guests.COMPONENT_OK))
    ]

    def body() -> int:
        engine = new_engine()
        for artefact in artefacts:
            Instance.load(engine, program(artefact)).prepare()
        return len(os.listdir("/proc/self/task"))

    assert forked(body).status == 1


def test_one_process_forks_twenty_loaders_and_instances(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    modules = [
        write_module(tmp_path, guests.exit_with(number), f"{number}.wasm") for number in range(20)
    ]

    def body() -> int:
        engine = new_engine()
        for number, module in enumerate(modules):
            ended = engine_runs.run(engine, program(load(module, cache)))
            if ended.status != number:
                return 2
        return len(os.listdir("/proc/self/task"))

    assert forked(body) == engine_runs.Ended(1, "", "")


def test_sigterm_ends_a_guest_at_once(tmp_path: Path) -> None:
    artefact = load(write_module(tmp_path, guests.LOOP), new_cache(tmp_path / "cache"))
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        instance = Instance.load(new_engine(), program(artefact))
        instance.prepare()
        os._exit(instance.run())
    time.sleep(0.3)
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("text", [guests.HELLO, guests.COMPONENT_OK])
@pytest.mark.parametrize("damage", [b"", b"junk", b"\x7fELF" + bytes(4096), None])
def test_stale_artefact_is_said(tmp_path: Path, text: str, damage: bytes | None) -> None:
    cache = new_cache(tmp_path / "cache")
    module = write_module(tmp_path, text)
    artefact = load(module, cache)
    if damage is None:
        artefact.path.unlink()
    else:
        artefact.path.write_bytes(damage)
    with pytest.raises(StaleArtefactError, match=str(artefact.path)):
        Instance.load(new_engine(), program(artefact))
    cache.drop(artefact)
    again = load(module, cache)
    assert again == artefact
    Instance.load(new_engine(), program(again))
