"""`tandem completion`: what a shell needs to complete our command lines."""

import click
from click.shell_completion import get_completion_class

from shim.cli.group import named


@named("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script that completes commands, options and files.

    \b
    bash:  source <(tandem completion bash)
    zsh:   source <(tandem completion zsh)
    fish:  tandem completion fish | source
    """
    from shim.cli.app import group

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click does not know {shell}")
    click.echo(kind(group, {}, "tandem", "_TANDEM_COMPLETE").source())
