"""What a server tells whoever watches it: its numbers, on an address of their own.

Rules: imported before the jail, by an instance that serves and is asked for it, and by nobody else.
The order for a server of several processes: made once, bound once, then started in each process
after the last fork, with a number of its own; whichever is asked tells of all of them.
"""

import socket
import threading

from shim.serve.counters import Counters
from shim.serve.listener import listen
from shim.serve.metrics import Metrics
from shim.serve.scrapes import BACKLOG, Scrapes
from shim.serve.shared import Shared


class Report:
    """The numbers of one server, and the socket where they are asked for."""

    def __init__(self, address: str, processes: int = 1) -> None:
        self._address = address
        self._counters = Counters(processes)
        self._metrics = Metrics(self._counters)

    def bind(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            OSError: the kernel does not let us.
        """
        return listen(self._address, BACKLOG)

    def start(self, shared: Shared, listener: socket.socket, process: int = 0) -> None:
        """Count in the slot of this process, and answer whoever asks at `bind`'s socket, in a
        thread."""
        shared.tally = shared.service.census = self._counters.slot(process)
        scrapes = Scrapes(listener, self._metrics.text, shared.log)
        threading.Thread(target=scrapes.run, name="metrics", daemon=True).start()
