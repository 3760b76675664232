"""Descriptors whose closing makes the kernel work for milliseconds: closed when nobody waits.

The last reference to a mount namespace or to an unmounted file system costs its closer a grace
period of the kernel's, or a write-back of a disk (docs/performance.md). Rules: a delay, not a
leak: each is closed soon, or with the process.
"""

import asyncio
import os

_DELAY_S = 1.0


def close_later(fd: int) -> None:
    """Close a descriptor when the calls that are being answered now are long over."""
    asyncio.get_running_loop().call_later(_DELAY_S, os.close, fd)
