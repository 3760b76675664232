"""Changes to the node that know the way back.

Rules: a change is in the journal before it is made, and out of it only after it was taken back.
What somebody else changed since is never overwritten on the way back: our part is cut out of it, if
the one who asks knows how, or it is left, and the answer says so.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content, Files
from runtimeclass.installer.host import Host
from runtimeclass.installer.journal import Change, Journal, State

# Of a file's path and bytes: the bytes without our part, None where they have none.
Cut = Callable[[str, bytes], bytes | None]


@dataclass(slots=True)
class Changes:
    """Makes changes and takes them back."""

    host: Host
    files: Files
    journal: Journal

    def file(self, path: str, content: Content, step: str, cut: Cut | None = None) -> bool:
        """Put a file there, and its directories; whether anything had to be done.

        `cut` takes our part out of what somebody else changed since we put it in.
        """
        found = self.files.read(self.host.path(path))
        if found == content:
            self._confirm(path, State.of(found))
            return False
        self._parents(path, step)
        pristine = None
        if cut and isinstance(found, Content) and not self.journal.knows(path, State.of(found)):
            rest = cut(path, found.data)
            pristine = None if rest is None else Content(rest, found.mode, found.owner)
        change = Change(path, "file", step, State.of(found), (State.of(content),))
        self.journal.record(change, found, pristine)
        self.files.write(self.host.path(path), content)
        return True

    def link(self, path: str, target: str, step: str) -> bool:
        """Put a link there, and its directories; whether anything had to be done."""
        found = self.files.read(self.host.path(path))
        if found == target:
            self._confirm(path, State.of(found))
            return False
        self._parents(path, step)
        change = Change(path, "link", step, State.of(found), (State(target=target),))
        self.journal.record(change, found)
        self.files.link(self.host.path(path), target)
        return True

    def tree(self, path: str, step: str) -> None:
        """Note a directory that is about to be filled with what is ours alone."""
        self._parents(path, step)
        if not self.host.path(path).exists():
            self.journal.record(Change(path, "tree", step), None)

    def _confirm(self, path: str, state: State) -> None:
        """Of what we put there, this is the latest, whatever a killed call was about to put."""
        known = self.journal.changes.get(path)
        if known is not None and state in known.after[:-1]:
            self.journal.record(Change(path, known.kind, known.step, state, (state,)), None)

    def _parents(self, path: str, step: str) -> None:
        missing: list[str] = []
        parent = os.path.dirname(path)  # noqa: PTH120 (the node's)
        while not self.host.exists(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)  # noqa: PTH120
        for directory in reversed(missing):
            self.journal.record(Change(directory, "directory", step), None)
            self.files.make_directory(self.host.path(directory))

    def undo(self, step: str, cut: Cut | None = None) -> list[str]:
        """Take back what this step did in the operation under way; remarks for the reader."""
        operation = self.journal.operation
        ledger = operation.undo if operation is not None else {}
        return self._revert([each for each in ledger.values() if each.step == step], cut)

    def restore(self, step: str, cut: Cut | None = None) -> list[str]:
        """Take back for good all that this step ever did; remarks for the reader."""
        changes = [each for each in self.journal.changes.values() if each.step == step]
        remarks = []
        for change in reversed(changes):
            remarks += self._revert([change], cut)
            self.journal.forget(change.path)
        return remarks

    def _revert(self, changes: list[Change], cut: Cut | None) -> list[str]:
        remarks = []
        for change in reversed(changes):
            path = self.host.path(change.path)
            match change.kind:
                case "tree":
                    self.files.remove_tree(path)
                case "directory":
                    if not self.files.remove_directory(path):
                        remarks.append(f"{change.path} stays: it is not empty, or a mount")
                case "file" | "link":
                    remarks += self._revert_file(change, cut)
        return remarks

    def _revert_file(self, change: Change, cut: Cut | None) -> list[str]:
        path = self.host.path(change.path)
        self.files.sweep(path)
        found = self.files.read(path)
        state = State.of(found)
        if state == change.before or (state.is_nothing and change.before.is_nothing):
            return []
        if state not in change.after:
            return self._cut_out(change, found, cut)
        if change.before.digest:
            self.files.write(path, self.journal.backup(change.before))
        elif change.before.target:
            self.files.link(path, change.before.target)
        else:
            self.files.remove(path)
        return []

    def _cut_out(self, change: Change, found: Content | str | None, cut: Cut | None) -> list[str]:
        who = f"{change.path} was changed by somebody else"
        if cut is None or not isinstance(found, Content):
            return [f"{who}, and is left as it is"]
        rest = cut(change.path, found.data)
        if rest is None:
            return [f"{who}, and nothing of ours is in it any more"]
        path = self.host.path(change.path)
        self.files.write(path, Content(rest, found.mode, found.owner))
        return [f"{who}: only our part was taken out"]


def require_ours(found: Content | str | None, path: str, ours: Callable[[str], bool]) -> None:
    """Refuse to put a link where something stands that is not ours.

    Raises:
        HostError: something of somebody else's stands there.
    """
    if found is None or (isinstance(found, str) and ours(found)):
        return
    raise HostError(f"{path} is there already, and not ours: move it away, then call again")
