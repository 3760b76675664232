"""What the demo tells while it works: a line per step, which grows while the step lasts."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_DOT_SECONDS = 1.0


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print a step when it begins, a dot for each second, and its time in seconds at its end."""
    _write(f"  {text} ")
    begin = time.monotonic()
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(done,), daemon=True)
    ticker.start()
    ended = "failed"
    try:
        yield
        ended = f"{time.monotonic() - begin:.2f} s"
    finally:
        done.set()
        ticker.join()
        _write(f" {ended}\n")


def show(title: str, lines: Iterator[str] | list[str]) -> None:
    """Print some lines under a title."""
    _write(f"\n{title}\n")
    for line in lines:
        _write(f"    {line}\n")


def say(text: str) -> None:
    """Print a line."""
    _write(f"{text}\n")


def _tick(done: threading.Event) -> None:
    while not done.wait(_DOT_SECONDS):
        _write(".")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
