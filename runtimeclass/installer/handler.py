"""The step that offers the handler to containerd, and takes the offer back.

Rules: the file first, then the restart, if the running containerd does not say what the file says;
then the wait until it does. On the way back the same, so that a containerd that did not come up
with the change comes up without it.
"""

import contextlib
from collections.abc import Mapping

from runtimeclass.installer.changes import Changes
from runtimeclass.installer.cri import is_loaded
from runtimeclass.installer.errors import NodeError, RestartError
from runtimeclass.installer.files import Content
from runtimeclass.installer.journal import Change, State
from runtimeclass.installer.node import Node
from runtimeclass.installer.restart import Entry
from runtimeclass.installer.target import Target, choose_target, cut_handler, has_handler
from runtimeclass.installer.toml_edit import HANDLER, Handler

STEP = "handler"
# k0s notices by itself that its directory has changed.
_K0S_S = 15.0


class HandlerStep:
    """For one call of the installer."""

    def __init__(self, node: Node, changes: Changes) -> None:
        """Nothing is asked or done yet."""
        self._node = node
        self._changes = changes

    def offer(self) -> str:
        """Have containerd offer the handler; what was done, in words.

        Raises:
            NodeError: its configuration cannot be changed; nothing was.
            HostError: the file cannot be written.
            RestartError: containerd did not come back, or does not offer it.
        """
        node = self._node
        handler = node.handler()
        if is_loaded(node.cri.runtimes().get(HANDLER), handler) and self._stands():
            return "containerd offers it already"
        target = choose_target(node.host, node.place, node.cri.version(), handler)
        # A configuration that is a link stays one.
        path = node.host.real(target.path)
        self._leave_others(path)
        self._write(path, target.text)

        def loaded(entry: Entry) -> bool:
            return is_loaded(entry, handler)

        if loaded(node.cri.runtimes().get(HANDLER)):
            return f"{target.path}, which changes nothing for the running containerd"
        restarter = node.restarter(node.stop.heed)
        if self._is_k0s(target) and restarter.wait(node.cri, loaded, _K0S_S):
            return f"{target.path} ({target.why})"
        how = restarter.check()
        self._note_restart(needed=True)
        restarter.restart()
        if not restarter.wait(node.cri, loaded, node.options.timeout_s):
            raise RestartError(
                f"containerd does not offer the handler {HANDLER} within"
                f" {node.options.timeout_s:g} s of its restart ({how}) with {target.path}: see its"
                " journal"
            )
        return f"{target.path} ({target.why}), containerd restarted {how}"

    def undo(self) -> list[str]:
        """After a failed operation: what containerd offered before.

        Raises:
            RestartError: containerd does not come back even so.
        """
        operation = self._changes.journal.operation
        if operation is None:
            return []
        had = _has_step(operation.changes)
        if not (had or operation.restart or _has_step(operation.undo)):
            return []
        remarks = self._changes.undo(STEP, cut_handler)
        self._settle(had=had or self._was_there(operation.undo), force=had and operation.restart)
        return remarks

    def withdraw(self) -> str:
        """For good: containerd's configuration as it was before Tandem; what was done, in words.

        A handler of which the journal knows nothing is a person's, or its journal was lost: a
        restart would not end it, and is not made.

        Raises:
            RestartError: containerd does not come back.
        """
        journal = self._changes.journal
        had = self._was_there(journal.changes)
        if journal.operation is not None and _has_step(journal.changes) and self._is_offered():
            self._note_restart(needed=True)
        remarks = self._changes.restore(STEP, cut_handler)
        if journal.operation is not None and journal.operation.restart:
            self._settle(had=had, force=had)
            self._note_restart(needed=False)
            remarks.append("containerd was restarted without it")
        return "; ".join(remarks) or "containerd's configuration is as it was"

    def stranger(self) -> list[str]:
        """After `withdraw`: a remark on a handler that is offered still, if one is."""
        try:
            offered = HANDLER in self._node.cri.runtimes()
        except NodeError:
            return []
        if not offered:
            return []
        config = self._node.place.config
        return [f"the runtime {HANDLER} of {config} is not of this installation: take it out"]

    def _note_restart(self, *, needed: bool) -> None:
        journal = self._changes.journal
        if journal.operation is not None:
            journal.operation.restart = needed
            journal.save()

    def _was_there(self, changes: Mapping[str, Change]) -> bool:
        """Whether somebody's own runtime of this name was there before these changes."""
        return any(
            has_handler(each.path, self._changes.journal.backup(each.before).data)
            for each in changes.values()
            if each.step == STEP and each.before.digest
        )

    def _settle(self, *, had: bool, force: bool) -> None:
        """Have the running containerd be what its files say now, with the handler or without."""
        node = self._node

        def settled(entry: Entry) -> bool:
            return (entry is not None) is had

        with contextlib.suppress(NodeError):
            if not force and settled(node.cri.runtimes().get(HANDLER)):
                return
        restarter = node.restarter(lambda: None)
        restarter.restart()
        if not restarter.wait(node.cri, settled, node.options.timeout_s):
            raise RestartError(
                f"containerd at {node.place.socket} does not come back within"
                f" {node.options.timeout_s:g} s with the configuration that it had before: see its"
                " journal"
            )

    def _is_offered(self) -> bool:
        try:
            return HANDLER in self._node.cri.runtimes()
        except NodeError:
            return True

    def _stands(self) -> bool:
        """Whether what we wrote stands as we wrote it."""
        written = [
            each
            for each in self._changes.journal.changes.values()
            if each.step == STEP and each.kind == "file"
        ]
        return bool(written) and all(
            State.of(self._changes.files.read(self._node.host.path(each.path))) in each.after
            for each in written
        )

    def _leave_others(self, path: str) -> None:
        """Take the handler out of where it was put before, if it belongs elsewhere by now."""
        others = [
            each
            for each in self._changes.journal.changes.values()
            if each.step == STEP and each.kind == "file" and each.path != path
        ]
        if others:
            self._changes.restore(STEP, cut_handler)

    def _write(self, path: str, text: str) -> None:
        found = self._changes.files.read(self._node.host.path(path))
        given = found if isinstance(found, Content) else Content(b"")
        content = Content(text.encode(), given.mode, given.owner)
        self._changes.file(path, content, STEP, cut_handler)

    def _is_k0s(self, target: Target) -> bool:
        source = self._node.place.layout.source
        return self._node.place.layout.method == "k0s" and target.path.startswith(f"{source}/")


def _has_step(changes: Mapping[str, Change]) -> bool:
    return any(each.step == STEP for each in changes.values())


def planned(node: Node) -> tuple[Handler, Target]:
    """What `offer` would write, and where.

    Raises:
        NodeError: as there.
    """
    handler = node.handler()
    return handler, choose_target(node.host, node.place, node.cri.version(), handler)
