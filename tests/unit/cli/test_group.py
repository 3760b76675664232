import importlib

import click
import pytest
from click.testing import CliRunner

from shim.cli.app import group
from shim.cli.group import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_where_the_table_says(name: str) -> None:
    command = importlib.import_module(f"shim.cli.{name}").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert group.get_command(click.Context(group), name) is command


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help_that_says_what_it_prints(name: str) -> None:
    done = CliRunner().invoke(group, [name, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_help_lists_all_in_the_order_of_use() -> None:
    lines = CliRunner().invoke(group, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


def test_unknown_command_lists_those_there_are() -> None:
    done = CliRunner().invoke(group, ["nonsense"])
    assert done.exit_code == 2
    assert "nonsense" in done.output
    assert "doctor" in done.output
