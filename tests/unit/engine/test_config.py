"""The key of artefacts, and that an engine costs no thread."""

import os
from collections.abc import Callable
from functools import partial

import pytest
import wasmtime

from shim.engine.code import Checks
from shim.engine.config import compatibility_key, new_compiler, new_engine, serving_engine
from tests.support.engine_runs import forked


def test_compatibility_key_names_version_and_machine() -> None:
    key = compatibility_key()
    assert key.startswith("wasmtime 50.0.1 ")
    assert os.uname().machine in key
    assert key == compatibility_key()


def test_new_engine_starts_no_thread() -> None:
    def body() -> int:
        engine = new_engine()
        threads = len(os.listdir("/proc/self/task"))
        del engine
        return threads

    assert forked(body).status == 1


@pytest.mark.parametrize("new", [new_engine, partial(serving_engine, Checks.STOP)])
def test_what_is_our_own_is_compiled_without_threads(new: Callable[[], wasmtime.Engine]) -> None:
    def body() -> int:
        made = wasmtime.Module(new(), "(module)")
        threads = len(os.listdir("/proc/self/task"))
        del made
        return threads

    assert forked(body).status == 1


def test_an_engine_loads_what_its_compiler_made() -> None:
    def body() -> int:
        for checks in Checks:
            engine = new_engine() if checks is Checks.NOTHING else serving_engine(checks)
            made = wasmtime.Module(new_compiler(checks), "(module)").serialize()
            wasmtime.Module.deserialize(engine, made)
        return 0

    assert forked(body).status == 0
