"""The one wasmtime configuration of Tandem, and the key that says which artefacts it can load.

Rules: only this room imports wasmtime; making an Engine starts no thread, so pod shims may hold one
across forks. What changes here changes `_CONFIG`, else old artefacts would be taken for new ones.
"""

import functools
import importlib.metadata
import platform
from pathlib import Path

import wasmtime

from shim.engine.code import Checks

# names the settings of all engines; part of every artefact's key, as the kind of code is
_CONFIG = "defaults, epochs where HTTP is served"


def new_engine() -> wasmtime.Engine:
    """Make an engine; it starts no thread until it runs something.

    It compiles only what is small and our own, and without threads of its own, so that a process
    which forks may hold it.
    """
    config = wasmtime.Config()
    config.parallel_compilation = False
    return wasmtime.Engine(config)


@functools.cache
def serving_engine(checks: Checks) -> wasmtime.Engine:
    """The engine of what serves HTTP: it can be interrupted, and has fuel where that is limited.

    Nothing else has it, since looking for an interruption costs some 8 % in tight loops. It
    compiles as `new_engine`'s do.
    """
    config = _config(checks)
    config.parallel_compilation = False
    return wasmtime.Engine(config)


def new_compiler(checks: Checks) -> wasmtime.Engine:
    """An engine for the loader, whose artefacts can be loaded by `new_engine`'s, or by the
    `serving_engine` with these checks."""
    return wasmtime.Engine(_config(checks))


def _config(checks: Checks) -> wasmtime.Config:
    config = wasmtime.Config()
    if checks is not Checks.NOTHING:
        config.epoch_interruption = True
    if checks is Checks.FUEL:
        config.consume_fuel = True
    return config


@functools.cache
def compatibility_key() -> str:
    """Describe what native code depends on: wasmtime, its configuration, and this CPU."""
    version = importlib.metadata.version("wasmtime")
    return f"wasmtime {version} {_CONFIG} {platform.machine()} {_cpu_features()}"


def _cpu_features() -> str:
    # the first processor's paragraph is enough, and large nodes have hundreds of them
    with Path("/proc/cpuinfo").open("rb") as cpuinfo:
        text = cpuinfo.read(16384)
    for line in text.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() in {b"flags", b"features"}:
            return " ".join(sorted(value.decode("ascii", "replace").split()))
    return ""
