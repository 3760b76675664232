"""The group of commands, of which a call imports only the one that it runs.

Rules: `tandem --help` and the completion of a command's name import no command; the table below is
all that they need. A command is `command` in the module of its name.
"""

import importlib
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "run": "Run a module, a directory or an image on this machine.",
    "pack": "Pack modules and files as an image.",
    "push": "Send an image to a registry.",
    "pull": "Fetch an image from a registry.",
    "images": "List the images that are here.",
    "rm": "Remove images, and what only they need.",
    "inspect": "Say what an image or a file is, and whether it will run here.",
    "compile": "Compile a module into the node's cache.",
    "cache": "List, shrink and warm the node's cache.",
    "ps": "List the pods that run here.",
    "doctor": "Look for what this node lacks, and say how to mend it.",
    "completion": "Print the completion for a shell.",
    "version": "Print the version.",
}


class LazyGroup(click.Group):
    """Knows its commands by `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"shim.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands' names, or options."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of a command line; an unknown one is an error that lists all."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            text = f"{error.message} There are: {', '.join(COMMANDS)}."
            raise click.UsageError(text, ctx) from None


def named(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` for a command of the table."""
    return click.command(name=name, short_help=COMMANDS[name])
