#!/usr/bin/python3
"""A logger for `binary://` log URIs: argv[1] is its directory, or `dir` and then that directory.

It writes what it was given (`start.json`), each stream (`out`, `err`), and that SIGTERM came
(`ended`). Files in its directory change what it does: `late` keeps it from being ready while the
file exists, `broken` ends it at once, `stays` lets it wait for SIGTERM after the streams' end.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

directory = Path(dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))["dir"])


def copy(fd: int, name: str) -> None:
    with (directory / name).open("ab", buffering=0) as file:
        while data := os.read(fd, 1 << 16):
            file.write(data)


def terminated(*_: object) -> None:
    (directory / "ended").touch()
    sys.exit(0)


def main() -> None:
    fds = []
    for name in os.listdir("/proc/self/fd"):
        # The listing's own descriptor is gone by now.
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            fds.append(int(name))
    told = {"argv": sys.argv, "env": dict(os.environ), "fds": sorted(fds)}
    (directory / "start.json").write_text(json.dumps(told))
    if (directory / "broken").exists():
        sys.exit(1)
    signal.signal(signal.SIGTERM, terminated)
    streams = [threading.Thread(target=copy, args=pair) for pair in ((3, "out"), (4, "err"))]
    for stream in streams:
        stream.daemon = True
        stream.start()
    while (directory / "late").exists():
        time.sleep(0.02)
    os.close(5)
    for stream in streams:
        stream.join()
    while (directory / "stays").exists():
        time.sleep(0.02)


main()
