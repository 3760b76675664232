"""`python -m tests.node.killed STEP STAGE ...`: the installer, killed as the step begins.

With `after` in place of a step's name, at the end of the last one.
"""

import os
import signal
import sys

from runtimeclass.installer.call import run
from runtimeclass.installer.files import Files
from runtimeclass.installer.options import parse_options
from runtimeclass.installer.steps import Runner, Stop


def main() -> None:
    """Be killed, or end."""
    step, *arguments = sys.argv[1:]

    def watch(act: str, name: str) -> None:
        if (act, name) == ("do", step):
            os.kill(os.getpid(), signal.SIGKILL)

    stop = Stop()
    run(parse_options(arguments, {}), {}, Files(), stop, Runner(stop, watch))
    if step == "after":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
