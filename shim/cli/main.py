"""`tandem`: the command's first lines, which choose between the short way and click.

Rules: `run` is measured in milliseconds, so that nothing is imported here before it is known that
something else is wanted.
"""

import os
import sys


def main() -> int:
    """Serve the command line; returns the exit status."""
    if sys.argv[1:2] == ["run"]:
        from shim.cli.run_fast import run

        status = run(sys.argv[2:])
        if status is not None:
            # Nothing is left to be done, and an interpreter's end takes 2 ms.
            os._exit(status)
    from shim.cli.app import main as click_main

    return click_main()
