import json

import pytest

from shim.cli.output import (
    duration_text,
    print_facts,
    print_json,
    print_table,
    printable,
    size_text,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (13_400_000, "13.4 MB"), (4 << 30, "4.3 GB")],
)
def test_size(size: int, expected: str) -> None:
    assert size_text(size) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.0, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_table_without_a_terminal_is_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "SIZE"), [("a", "1"), ("longer", "")])
    assert capsys.readouterr().out == "NAME    SIZE\na       1\nlonger\n"
    print_table(("NAME",), [])
    assert capsys.readouterr().out == "NAME\n"


def test_facts_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"a": "1", "long": "2\n3"})
    assert capsys.readouterr().out == "a:    1\nlong: 2\n      3\n"


def test_json_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"ä": [1]})
    assert json.loads(capsys.readouterr().out) == {"ä": [1]}


def test_terminal_gets_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[2Jb\nc") == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"
    assert printable("a\nb", keep="\n") == "a\nb"
    print_table(("X",), [("\x1b]0;title\x07",)])
    assert "\x1b" not in capsys.readouterr().out
