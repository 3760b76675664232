"""The stores that one container's guests may open, each opened when first asked for.

Rules: imported only where a component imports wasi:keyvalue, because it brings sqlite3 and, where
the pod names such a store, the redis library.
"""

import importlib
import sys
from _thread import allocate_lock
from collections.abc import Iterable
from typing import Any

from shim.outbound.policy import OPEN, Policy
from shim.stores.options import GuestOptions, Place, RedisPlace
from shim.stores.ports import Backend, NoSuchStore
from shim.stores.sqlite import SqliteStore


class Stores:
    """By name, or by number in the order of names, which never changes."""

    def __init__(
        self, options: GuestOptions, policy: Policy = OPEN, env: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Import what they need: in the jail, where they are opened, nothing can be imported.

        Args:
            options: where they are.
            policy: which servers may be asked for one.
            env: the container's variables.
        """
        self._dialer: Any = None
        self._places = dict(options.stores)
        self._names = tuple(self._places)
        self._opened: dict[str, Backend] = {}
        self._lock = allocate_lock()
        if any(isinstance(place, RedisPlace) for place in self._places.values()):
            # The daemon's entry for it makes an import fail: shim/daemon/unneeded.py.
            if sys.modules.get("ssl", sys) is None:
                del sys.modules["ssl"]
            importlib.import_module("shim.stores.redis")
            from shim.outbound.dial import Dialer  # noqa: PLC0415 (TLS, for those who need it)

            self._dialer = Dialer(policy, dict(env))

    def open(self, name: str) -> int:
        """The number of a store, which is open then.

        Raises:
            StoreError: the pod names none, or it cannot be opened.
        """
        if name not in self._places:
            raise NoSuchStore(f"the pod names no store {name[:80]!r}")
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(self._places[name])
        return self._names.index(name)

    def __getitem__(self, number: int) -> Backend:
        return self._opened[self._names[number]]

    def close(self) -> None:
        """Close what is open."""
        for store in self._opened.values():
            store.close()
        self._opened.clear()

    def _open(self, place: Place) -> Backend:
        if isinstance(place, RedisPlace):
            # 200 ms, for those who need it
            from shim.stores.redis import RedisStore  # noqa: PLC0415

            return RedisStore(place, self._dialer)
        return SqliteStore(place.path)
