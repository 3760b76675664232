"""What a guest that answers one request gets of WASI: stdio, texts, the root directory; its limits.

Rules: the C API alone, since this is done for each request. Standard input is the request's body,
standard output the answer's, and what is printed to standard error is the container's log.
"""

import ctypes
from collections.abc import Iterable, Sequence

import wasmtime

from shim.engine.http import native as n
from shim.engine.http.exchange import Request
from shim.engine.http.linker import Host

_UNLIMITED = -1


class Texts:
    """What a guest is told, as the C API takes it: arguments, and variables by name and value."""

    __slots__ = ("argv", "names", "values")

    def __init__(self, argv: Sequence[bytes], variables: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = tuple(variables)
        texts = ctypes.c_char_p * len(pairs)
        self.argv = (ctypes.c_char_p * len(argv))(*argv)
        self.names = texts(*(name for name, _ in pairs))
        self.values = texts(*(value for _, value in pairs))


class Wasi:
    """Gives it to the stores of one server."""

    def __init__(self, host: Host, memory_bytes: int) -> None:
        """`host` is what serves them (`serving_host`); `memory_bytes` what each linear memory of an
        instance may grow to."""
        self._memory_bytes = memory_bytes
        self._epoch_at = ctypes.cast(host.epoch, ctypes.c_void_p).value or 0

    def furnish(self, store: int, number: int, request: Request, texts: Texts) -> None:
        """Give a new store, which has this number, what its guest needs.

        Raises:
            wasmtime.WasmtimeError: the root directory or a FIFO cannot be opened, or a text is not
                UTF-8.
        """
        n.store_limiter(store, self._memory_bytes, *[_UNLIMITED] * 4)
        n.epoch_callback(store, self._epoch_at, number, None)
        wasi = n.wasi_new()
        if request.body is None:
            made = n.wasi_stdin_file(wasi, request.source)
        else:
            vector = (ctypes.c_size_t * 2)()
            n.bytes_new(vector, len(request.body), request.body)
            n.wasi_stdin_bytes(wasi, vector)
            made = True
        n.wasi_inherit_stderr(wasi)
        made = (
            made
            and n.wasi_stdout_file(wasi, request.sink)
            and n.wasi_argv(wasi, len(texts.argv), texts.argv)
            and n.wasi_env(wasi, len(texts.names), texts.names, texts.values)
            and n.wasi_preopen(wasi, b"/", b"/", True)  # noqa: FBT003 (the C API's)
        )
        if not made:
            n.wasi_delete(wasi)
            raise wasmtime.WasmtimeError(
                "cannot open the root directory or a body's FIFO, or tell the guest its arguments"
                " and variables"
            )
        n.check(n.set_wasi(n.store_context(store), wasi))
