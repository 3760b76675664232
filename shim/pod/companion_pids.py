"""The pid namespace of the Linux programs that are executed in one Wasm container.

It is there from the first program to the end of the last, held by a process that runs nothing.
Rules: no program is its first process, which would be deaf to Ctrl-C, and whose end would be that
of the others.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from shim.instance.process import WasmProcess


class CompanionPids:
    """The namespace of one container; `hold` makes what holds one."""

    def __init__(self, hold: Callable[[], Awaitable[WasmProcess]]) -> None:
        self._hold = hold
        self._holder: WasmProcess | None = None
        self._users: Counter[WasmProcess] = Counter()
        self._lock = asyncio.Lock()

    async def enter(self) -> WasmProcess:
        """What holds the namespace for one more program; it is kept until that calls `leave`.

        Raises:
            ShimError: it cannot be made.
        """
        async with self._lock:
            # One that was killed (for memory, say) took its programs along.
            if self._holder is None or self._holder.exited.done():
                self._holder = await self._hold()
            self._users[self._holder] += 1
            return self._holder

    async def leave(self, holder: WasmProcess) -> None:
        """One program of this holder's has ended; the last one ends the holder."""
        async with self._lock:
            self._users[holder] -= 1
            if self._users[holder]:
                return
            del self._users[holder]
            if holder is self._holder:
                self._holder = None
            await holder.end()
            await holder.release()
