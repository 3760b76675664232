"""Changes that know the way back, interrupted between any two acts."""

from pathlib import Path

import pytest

from runtimeclass.installer.changes import Changes, require_ours
from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content, Files
from runtimeclass.installer.host import Host
from runtimeclass.installer.journal import Journal

CONFIG = "/etc/c/config.toml"


class Killed(BaseException):
    """As SIGKILL."""


class Node:
    """A root, and the installer's view of it, which may be opened again after a kill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir()
        (root / "etc/c").mkdir(parents=True)
        self.file(CONFIG).write_text("old")
        self.file(CONFIG).chmod(0o600)

    def file(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def open(self, *, kill_at: int = -1) -> Changes:
        acts = 0

        def before(act: str, path: Path) -> None:
            nonlocal acts
            acts += 1
            if acts == kill_at:
                raise Killed

        files = Files(before)
        return Changes(Host(self.root), files, Journal(files, self.root / "state"))

    def tree(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): (
                str(path.readlink())
                if path.is_symlink()
                else f"{path.stat().st_mode:o}" + (path.read_text() if path.is_file() else "")
            )
            for path in self.root.rglob("*")
            if "state" not in path.parts
        }


def change_everything(changes: Changes, text: str) -> None:
    changes.file(CONFIG, Content(text.encode(), 0o600), "s")
    changes.file("/etc/new/deep/f", Content(b"f"), "s")
    changes.link("/etc/l", text, "s")
    changes.tree("/opt/v", "s")
    if not changes.host.path("/opt/v").exists():
        changes.files.make_directory(changes.host.path("/opt/v"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_everything_goes_back(node: Node) -> None:
    before = node.tree()
    changes = node.open()
    changes.journal.begin("install", "1")
    change_everything(changes, "new")
    changes.journal.finish("1")
    assert node.open().restore("s") == []
    assert node.tree() == before
    assert node.open().journal.changes == {}


def test_second_operation_is_undone_alone(node: Node) -> None:
    changes = node.open()
    changes.journal.begin("install", "1")
    change_everything(changes, "one")
    changes.journal.finish("1")
    one = node.tree()
    changes = node.open()
    changes.journal.begin("install", "2")
    change_everything(changes, "two")
    assert node.tree() != one
    assert changes.undo("s") == []
    changes.journal.abandon()
    assert node.tree() == one
    assert node.open().restore("s") == []
    assert node.file(CONFIG).read_text() == "old"


def test_kill_between_any_two_acts_is_gone_on_from_or_taken_back(tmp_path: Path) -> None:
    kill_at = 0
    finished = False
    while not finished:
        kill_at += 1
        for way in ("on", "back", "uninstall"):
            (tmp_path / f"{kill_at}{way}").mkdir()
            node = Node(tmp_path / f"{kill_at}{way}")
            before = node.tree()
            changes = node.open()
            changes.journal.begin("install", "1")
            change_everything(changes, "one")
            changes.journal.finish("1")
            one = node.tree()
            changes = node.open(kill_at=kill_at)
            try:
                changes.journal.begin("install", "2")
                change_everything(changes, "two")
                changes.journal.finish("2")
                finished = True
            except Killed:
                finished = False
            changes = node.open()
            if way == "on":
                changes.journal.begin("install", "2")
                change_everything(changes, "two")
                changes.journal.finish("2")
                assert node.file(CONFIG).read_text() == "two"
            elif way == "back" and changes.journal.operation is not None:
                changes.undo("s")
                changes.journal.abandon()
                assert node.tree() == one
            assert node.open().restore("s") == []
            assert node.tree() == before
    assert kill_at > 10


def test_what_somebody_else_changed_is_left_or_cut(node: Node) -> None:
    changes = node.open()
    changes.journal.begin("install", "1")
    changes.file(CONFIG, Content(b"old+ours", 0o600), "s")
    changes.journal.finish("1")
    node.file(CONFIG).write_text("old+ours+theirs")
    remarks = node.open().restore("s", lambda path, data: data.replace(b"+ours", b""))
    assert "only our part was taken out" in remarks[0]
    assert node.file(CONFIG).read_text() == "old+theirs"
    assert node.file(CONFIG).stat().st_mode & 0o777 == 0o600


def test_what_somebody_else_changed_and_nobody_can_cut_is_left(node: Node) -> None:
    changes = node.open()
    changes.journal.begin("install", "1")
    changes.link("/etc/l", "a", "s")
    changes.file(CONFIG, Content(b"ours", 0o600), "s")
    changes.journal.finish("1")
    node.file("/etc/l").unlink()
    node.file("/etc/l").write_text("theirs")
    node.file(CONFIG).write_text("theirs")
    remarks = node.open().restore("s", lambda path, data: None)
    assert ["left as it is" in each or "nothing of ours" in each for each in remarks] == [True] * 2
    assert node.file("/etc/l").read_text() == "theirs"
    assert node.file(CONFIG).read_text() == "theirs"


def test_version_of_somebody_else_in_between_is_what_there_is_to_go_back_to(node: Node) -> None:
    changes = node.open()
    changes.journal.begin("install", "1")
    changes.file(CONFIG, Content(b"ours", 0o600), "s")
    changes.journal.finish("1")
    node.file(CONFIG).write_text("theirs")
    changes = node.open()
    changes.journal.begin("install", "2")
    changes.file(CONFIG, Content(b"theirs+ours", 0o600), "s")
    changes.journal.finish("2")
    assert node.open().restore("s") == []
    assert node.file(CONFIG).read_text() == "theirs"


def test_file_that_is_there_already_is_nobodys_change(node: Node) -> None:
    changes = node.open()
    assert changes.file(CONFIG, Content(b"old", 0o600), "s") is False
    assert changes.journal.changes == {}


def test_directory_with_others_files_stays_and_is_named(node: Node) -> None:
    changes = node.open()
    changes.file("/etc/new/f", Content(b"f"), "s")
    node.file("/etc/new/theirs").touch()
    assert changes.restore("s") == ["/etc/new stays: it is not empty, or a mount"]
    assert not node.file("/etc/new/f").exists()


def test_lost_backup_is_an_error_that_names_it(node: Node) -> None:
    changes = node.open()
    changes.file(CONFIG, Content(b"ours", 0o600), "s")
    for backup in node.file("/state/backup").iterdir():
        backup.write_bytes(b"rotten")
    with pytest.raises(HostError, match="gone or changed"):
        changes.restore("s")
    assert node.file(CONFIG).read_text() == "ours"


def test_link_of_others_is_not_replaced(node: Node) -> None:
    require_ours(None, "/x", lambda link: False)
    require_ours("ours", "/x", lambda link: True)
    for found in ("theirs", Content(b"")):
        with pytest.raises(HostError, match="/x is there already, and not ours"):
            require_ours(found, "/x", lambda link: False)
