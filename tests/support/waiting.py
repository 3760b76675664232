"""Waiting for something to become true, with a deadline and a reason.

TANDEM_TEST_PATIENCE in the environment multiplies every deadline: for machines that are slow.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = float(os.environ.get("TANDEM_TEST_PATIENCE", "1"))

T = TypeVar("T")


def wait_for(
    what: str, probe: Callable[[], T | None], timeout: float = 10.0, pause: float = 0.02
) -> T:
    """Call a probe until it returns something true.

    Args:
        what: what is waited for, for the error's text.
        probe: called again and again; anything false means "not yet".
        timeout: seconds until giving up, on a machine of common speed.
        pause: seconds between two calls.

    Raises:
        TimeoutError: it never came true.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout:g} s")
        time.sleep(pause)
