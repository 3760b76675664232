"""What commands print: a table or lines for people, JSON for scripts.

Rules: JSON has the members that the command's help names, with bytes, seconds and digests as they
are; what is for people may change. rich is imported when a table is printed.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def output_option(function: F) -> F:
    """`--output text|json`; the command gets `output`."""
    return click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="What to print: for people, or for scripts.",
    )(function)


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under the names of their columns; a line each where no terminal is."""
    table = [tuple(columns), *(tuple(map(printable, row)) for row in rows)]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(cells).rstrip())
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in table[1:]:
        shown.add_row(*map(Text, row))
    Console(highlight=False).print(shown)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, a line each."""
    width = max(map(len, facts), default=0) + 2
    for name, value in facts.items():
        first, *rest = printable(value, keep="\n").split("\n")
        click.echo(f"{name + ':':{width}}{first}")
        for line in rest:
            click.echo(" " * width + line)


def printable(text: str, *, keep: str = "") -> str:
    """Text from an image or a registry, without what a terminal would obey."""
    return "".join(
        char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def size_text(size: int) -> str:
    """A number of bytes, for people."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration_text(seconds: float) -> str:
    """A time span, for people."""
    whole = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
