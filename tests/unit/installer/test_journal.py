"""The journal: what it forgets, keeps and refuses."""

import json
from pathlib import Path

import pytest

from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content, Files
from runtimeclass.installer.journal import Change, Journal, State


def test_journal_reads_what_it_wrote(tmp_path: Path) -> None:
    journal = Journal(Files(), tmp_path)
    journal.begin("install", "1")
    change = Change("/f", "file", "s", State.of(Content(b"x", 0o600, (1, 2))), (State(target="t"),))
    journal.record(change, Content(b"x", 0o600, (1, 2)))
    assert journal.operation is not None
    journal.operation.restart = True
    journal.save()
    again = Journal(Files(), tmp_path)
    assert again.changes == {"/f": change}
    assert again.operation == journal.operation
    assert again.backup(change.before) == Content(b"x", 0o600, (1, 2))
    assert (tmp_path / "journal.json").stat().st_mode & 0o777 == 0o600


def test_finish_keeps_the_latest_state_alone(tmp_path: Path) -> None:
    journal = Journal(Files(), tmp_path)
    journal.begin("install", "1")
    journal.record(Change("/f", "link", "s", State(), (State(target="a"),)), None)
    second = Change("/f", "link", "s", State(target="a"), (State(target="b"),))
    journal.record(second, "a")
    assert journal.changes["/f"].after == (State(target="a"), State(target="b"))
    journal.finish("1")
    again = Journal(Files(), tmp_path)
    assert again.version == "1"
    assert again.operation is None
    assert again.changes["/f"] == Change("/f", "link", "s", State(), (State(target="b"),))


def test_operation_that_broke_off_goes_on_under_the_new_name(tmp_path: Path) -> None:
    journal = Journal(Files(), tmp_path)
    journal.begin("install", "1")
    journal.record(Change("/f", "link", "s", State(), (State(target="a"),)), None)
    again = Journal(Files(), tmp_path)
    again.begin("uninstall", "")
    assert again.operation is not None
    assert again.operation.stage == "uninstall"
    assert again.operation.changes == {}
    assert list(again.operation.undo) == ["/f"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "version": "", '
             '"changes": [{"path": "/f"}], "operation": null}'],
)  # fmt: skip
def test_journal_of_another_form_is_refused_and_left(tmp_path: Path, text: str) -> None:
    (tmp_path / "journal.json").write_text(text)
    with pytest.raises(HostError, match="none of ours"):
        Journal(Files(), tmp_path)
    assert (tmp_path / "journal.json").read_text() == text


def test_journal_has_the_documented_form(tmp_path: Path) -> None:
    journal = Journal(Files(), tmp_path)
    journal.begin("install", "1")
    document = json.loads((tmp_path / "journal.json").read_text())
    assert set(document) == {"format", "version", "changes", "operation"}
    assert set(document["operation"]) == {"stage", "version", "restart", "undo", "changes"}
