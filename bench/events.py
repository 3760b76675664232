"""containerd's event service as a process of its own: `python -m bench.events SOCKET`.

A thread of the benchmark's process would take time from what it measures. Ends with its stdin.
"""

import sys
from pathlib import Path

from tests.support.events_server import EventsServer


def main() -> int:
    """Serve until stdin ends; one line on stdout says that it serves."""
    server = EventsServer(Path(sys.argv[1]))
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
