"""A kernel that does nothing but remember."""

import errno
import os
from collections.abc import Callable


class RecordingKernel:
    """Answers every call of `shim.kernel.libc.Kernel`; `fail` maps a call to its error."""

    def __init__(self, fail: dict[str, int] | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._fail = fail or {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: object, **options: object) -> int:
            self.calls.append((name, *arguments, *options.values()))
            if name in self._fail:
                raise OSError(self._fail[name], os.strerror(self._fail[name]), "the object")
            if name == "prctl" and arguments[0] == 24 and arguments[1] == 41:
                raise OSError(errno.EINVAL, "beyond the last capability")
            if name in {"open_tree", "open_in_root", "new_tmpfs"}:
                return os.open("/", os.O_PATH)
            return 0

        return call

    def names(self) -> list[object]:
        """The calls, each named once where it follows itself."""
        names = [call[0] for call in self.calls]
        return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
