"""Something that happens once, which others may wait for.

Rules: one thread says that it has happened, any number wait. `threading.Event` does the same at ten
times the price: a request makes two, and nobody waits for them but where a courier is needed.
"""

from _thread import allocate_lock


class Once:
    """A lock that is held until it has happened."""

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._set = False
        self._lock = allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """It has happened; the second time says nothing new."""
        if not self._set:
            self._set = True
            self._lock.release()

    def wait(self) -> None:
        """Until it has happened."""
        with self._lock:
            return
