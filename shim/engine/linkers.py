"""What a guest's imports are linked to: one linker per engine and kind, made once.

Rules: a linker holds no state of a guest, and making one starts no thread, so the daemon makes them
and every instance inherits them (measured: a third less memory of an instance's own).
"""

import functools

import wasmtime
from wasmtime import component

from shim.engine.code import Checks
from shim.engine.http.linker import define_http, serving_host

WASI_P1 = "wasi_snapshot_preview1"


class GuestExit(Exception):  # noqa: N818 - an exit is no error
    """The guest called proc_exit."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        # what the kernel makes of any process's status
        self.status = code & 0xFF


@functools.cache
def module_linker(engine: wasmtime.Engine) -> wasmtime.Linker:
    """WASI 0.1 for core modules."""
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    # wasmtime's own proc_exit refuses the codes above 125 and does not say which it was
    linker.allow_shadowing = True
    signature = wasmtime.FuncType([wasmtime.ValType.i32()], [])
    linker.define_func(WASI_P1, "proc_exit", signature, _proc_exit)
    return linker


@functools.cache
def component_linker(engine: wasmtime.Engine) -> component.Linker:
    """WASI 0.2 for components, and wasi:http of our own: wasmtime's asks nobody where it goes."""
    return new_component_linker(engine)


def new_component_linker(engine: wasmtime.Engine) -> component.Linker:
    """The same, for one component that needs more."""
    linker = component.Linker(engine)
    linker.add_wasip2()
    define_http(linker)
    return linker


def prepare_linkers(engine: wasmtime.Engine) -> None:
    """Make all, for the processes to be forked."""
    module_linker(engine)
    component_linker(engine)
    serving_host(Checks.STOP)


def _proc_exit(code: int) -> None:
    raise GuestExit(code)
