"""`tandem doctor`: what this node lacks, and how to mend it."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from shim.cli.checks.check import Check, Level
from shim.cli.group import named
from shim.cli.output import output_option, print_json, printable

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.SKIP: "white"}


@named("doctor")
@click.option("--config", type=click.Path(path_type=Path), help="containerd's configuration.")
@click.option("--address", default="", help="containerd's socket.")
@output_option
def command(config: Path | None, address: str, output: str) -> int:
    """Look at the kernel, containerd and Tandem's own parts, and say how to mend what is wrong.

    Without options it looks at the containerd that runs, or else at /etc/containerd/config.toml.
    Nothing is changed.

    Exit status: 0 nothing must be mended (there may be warnings), 1 something must.

    JSON, a list of: name, level (ok, warn, fail, not checked), found, mend.
    """
    from shim.cli.checks.containerd import check_containerd, find_containerd
    from shim.cli.checks.kernel import check_kernel
    from shim.cli.checks.node import check_node, find_shim

    checks = [*check_kernel(), *check_containerd(find_containerd(config, address))]
    checks += check_node(os.environ, find_shim(checks))
    if output == "json":
        print_json([{**asdict(check), "level": check.level.value} for check in checks])
    else:
        _print(checks)
    return 1 if any(check.level is Level.FAIL for check in checks) else 0


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for check in checks:
        level = f"{check.level.value:11}"
        if colour:
            level = click.style(level, fg=_COLOURS[check.level])
        click.echo(f"{level}  {check.name:{width}}  {printable(check.found)}")
        if check.mend:
            click.echo(f"{'':11}  {'':{width}}  mend: {printable(check.mend)}")
