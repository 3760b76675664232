"""The key of artefacts, and that an engine costs no thread."""

import os

from shim.engine.config import compatibility_key, new_engine
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
