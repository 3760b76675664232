"""`tandem`, the command for people: `main` is its entry point, beside the fast path of `run`.

Rules: results go to stdout, and everything else to stderr; a script can rely on the exit status
and, with `--output json`, on the members of the output. What goes wrong is one line that begins
with `tandem:`, never a traceback.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from shim.cli.group import LazyGroup
from shim.errdefs import ShimError

FAILED = 1
USAGE = 2
INTERRUPTED = 130


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Pack, move, look into and run WebAssembly for Tandem, the containerd runtime.

    Exit status: 0 it worked, 1 it failed, 2 the command line is wrong, 130 interrupted; `run`
    ends as its guest does.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (`sys.argv` where None) and return the exit status."""
    try:
        status = group.main(args, prog_name="tandem", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ShimError as error:
        return _failed(str(error))
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        return _failed(str(error))
    except Exception as error:  # noqa: BLE001 - people get a line, not our stack
        return _failed(f"a fault of its own, please report it: {error!r}")
    return status if isinstance(status, int) else 0


def _failed(text: str) -> int:
    with contextlib.suppress(OSError):
        click.echo(f"tandem: {text}", err=True)
    return FAILED
