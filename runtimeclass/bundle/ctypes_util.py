"""A bundle's ctypes.util: libraries are the bundle's own.

The standard library's asks ldconfig, gcc and ld of the machine. Rules: this file replaces that one
in a bundle, where it lies in python/lib/python3.X/ctypes/.
"""

import os
import sys


def find_library(name: str) -> str | None:
    """The file name of `libNAME`, which the bundle's loader finds; None where it has none."""
    wanted = f"lib{name}.so"
    folder = os.path.join(os.path.dirname(sys.prefix), "lib")  # noqa: PTH118, PTH120 (pathlib is slow to import)
    return next((each for each in sorted(os.listdir(folder)) if each.startswith(wanted)), None)  # noqa: PTH208
