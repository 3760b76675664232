"""The bytes of a request, for those who cannot afford `shim.daemon.request`: `tandem run`.

Rules: no imports but `os`; the format is described in `shim.daemon.request`.
"""

import os

MAGIC = 0x314D4454


def pack_request(argv: list[str], env: list[str], cwd: str, stdin: bytes = b"") -> bytes:
    """The bytes that a launcher sends; `env` holds `NAME=value` entries."""
    strings = b"".join(os.fsencode(text) + b"\0" for text in (cwd, *argv, *env))
    numbers = (MAGIC, len(argv), len(env), len(strings), len(stdin))
    return b"".join(number.to_bytes(4, "little") for number in numbers) + strings + stdin
