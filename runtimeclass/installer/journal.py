"""What the installer changed and is changing, on the disk before it is done.

Rules: one JSON document, replaced whole. `changes` leads back to the node as it was before Tandem,
`operation.undo` to the node as it was before the operation that is under way or broke off; both
hold each path once, in the order of the changes. Format: the package's docstring.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content, Files

FORMAT = 1
_PRIVATE = 0o600

Kind = Literal["file", "link", "directory", "tree"]


@dataclass(frozen=True, slots=True)
class State:
    """A path's state: `digest` of a file (its bytes are in the backup of that name), `target` of a
    link, or neither where nothing is there."""

    digest: str = ""
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    target: str = ""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is there."""
        return not self.digest and not self.target

    @classmethod
    def of(cls, found: Content | str | None) -> "State":
        """What `Files.read` found."""
        if isinstance(found, Content):
            return cls(digest=found.digest, mode=found.mode, owner=found.owner)
        return cls(target=found or "")


@dataclass(frozen=True, slots=True)
class Change:
    """One path of the node's: what it was before, and what we have put there since, the latest
    last; directories and trees have only come into being."""

    path: str
    kind: Kind
    step: str
    before: State = State()
    after: tuple[State, ...] = ()


@dataclass(slots=True)
class Operation:
    """What is under way: `install` or `uninstall` of `version`, whether containerd has yet to be
    restarted for it, and what was true before it."""

    stage: str
    version: str
    restart: bool = False
    undo: dict[str, Change] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)


class Journal:
    """The journal in one directory, which is there."""

    def __init__(self, files: Files, directory: Path) -> None:
        """Read it.

        Raises:
            HostError: it cannot be read, or is not of this format.
        """
        self._files = files
        self._directory = directory
        self.version = ""
        self.changes: dict[str, Change] = {}
        self.operation: Operation | None = None
        found = files.read(self._path)
        if isinstance(found, Content):
            self._parse(found.data)

    @property
    def _path(self) -> Path:
        return self._directory / "journal.json"

    def begin(self, stage: str, version: str) -> None:
        """An operation begins, or the one that broke off goes on."""
        if self.operation is not None:
            self.operation.stage, self.operation.version = stage, version
        else:
            self.operation = Operation(stage, version, changes=dict(self.changes))
        self.save()

    def record(
        self, change: Change, found: Content | str | None, pristine: Content | None = None
    ) -> None:
        """Note a change that is about to be made.

        Args:
            change: the change.
            found: what is there now.
            pristine: that without our part, where somebody else changed it since we put that in:
                what there is to go back to for good.
        """
        for content in (found, pristine):
            if isinstance(content, Content):
                self._keep(content)
        self.changes[change.path] = _joined(
            self.changes.get(change.path),
            change if pristine is None else replace(change, before=State.of(pristine)),
        )
        if self.operation is not None:
            undo = self.operation.undo
            undo[change.path] = _joined(undo.get(change.path), change)
        self.save()

    def knows(self, path: str, state: State) -> bool:
        """Whether this path's state is one of ours, or the one before; True where none is known."""
        known = self.changes.get(path)
        return known is None or state in {known.before, *known.after}

    def forget(self, path: str) -> None:
        """A change was taken back for good."""
        self.changes.pop(path, None)
        if self.operation is not None:
            self.operation.undo.pop(path, None)
        self.save()

    def finish(self, version: str) -> None:
        """The operation succeeded: `version` is installed, or nothing where it is empty.

        Raises:
            HostError: this cannot be written; the operation is still under way.
        """
        before = self.version, self.operation, self.changes
        self.version, self.operation = version, None
        self.changes = {
            path: replace(each, after=each.after[-1:]) for path, each in self.changes.items()
        }
        try:
            self.save()
        except HostError:
            self.version, self.operation, self.changes = before
            raise

    def abandon(self) -> None:
        """The operation was rolled back: what held before it holds."""
        if self.operation is not None:
            self.changes, self.operation = self.operation.changes, None
        self.save()

    def save(self) -> None:
        """Write it.

        Raises:
            HostError: it cannot be written; nothing of what it would have said was done.
        """
        operation = self.operation
        document = {
            "format": FORMAT,
            "version": self.version,
            "changes": [asdict(each) for each in self.changes.values()],
            "operation": operation
            and {
                "stage": operation.stage,
                "version": operation.version,
                "restart": operation.restart,
                "undo": [asdict(each) for each in operation.undo.values()],
                "changes": [asdict(each) for each in operation.changes.values()],
            },
        }
        text = json.dumps(document, indent=1, sort_keys=True)
        self._files.write(self._path, Content(text.encode(), _PRIVATE))

    def backup(self, state: State) -> Content:
        """The bytes of a file as it was.

        Raises:
            HostError: they are not there, or not those.
        """
        path = self._directory / "backup" / state.digest
        found = self._files.read(path)
        if not isinstance(found, Content) or found.digest != state.digest:
            raise HostError(f"the backup {path} is gone or changed: restore the file by hand")
        return Content(found.data, state.mode, state.owner)

    def _keep(self, content: Content) -> None:
        directory = self._directory / "backup"
        if not directory.is_dir():
            self._files.make_directory(directory, 0o700)
        path = directory / content.digest
        if not path.exists():
            self._files.write(path, Content(content.data, _PRIVATE))

    def _parse(self, data: bytes) -> None:
        try:
            document: Any = json.loads(data)
            if document["format"] == FORMAT:
                self._read_document(document)
                return
            reason = f"format {document['format']}"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise HostError(
            f"the journal {self._path} is none of ours ({reason}): move it away; what it knew of"
            " changes has then to be undone by hand"
        )

    def _read_document(self, document: dict[str, Any]) -> None:
        self.version = document["version"]
        self.changes = _changes(document["changes"])
        if operation := document["operation"]:
            self.operation = Operation(
                operation["stage"],
                operation["version"],
                operation["restart"],
                _changes(operation["undo"]),
                _changes(operation["changes"]),
            )


def _joined(known: Change | None, change: Change) -> Change:
    """A change that follows a known one of the same path: one change, from before the first."""
    if known is None or change.before not in {known.before, *known.after}:
        # Somebody else's version in between is what there is to go back to.
        return change
    after = (*(each for each in known.after if each not in change.after), *change.after)
    return replace(change, before=known.before, after=after)


def _changes(listed: list[dict[str, Any]]) -> dict[str, Change]:
    changes = {}
    for each in listed:
        after = tuple(_state(state) for state in each["after"])
        changes[each["path"]] = Change(**{**each, "before": _state(each["before"]), "after": after})
    return changes


def _state(given: dict[str, Any]) -> State:
    return State(**{**given, "owner": tuple(given["owner"])})
