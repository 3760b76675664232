"""The stage `uninstall`.

Rules: nothing is taken from below a running pod: the label goes first, so that none comes any more,
then it is looked whether any runs, and once more after the handler is gone. Every step may be done
again; none is taken back, since the same call goes on from where it broke off.
"""

import time

from runtimeclass.installer.bundle import SHIM, TOP, leftovers, versions
from runtimeclass.installer.errors import PodsRunError
from runtimeclass.installer.handler import STEP, HandlerStep
from runtimeclass.installer.label import Labels
from runtimeclass.installer.node import Node, State
from runtimeclass.installer.pods import Pods, find_pods
from runtimeclass.installer.proof import sweep
from runtimeclass.installer.steps import Runner, Step
from runtimeclass.installer.unit import RUN, remove_unit

CACHES = "/var/lib/tandem"
_POLL_S = 1.0


def uninstall(node: Node, state: State, runner: Runner) -> str:
    """Take everything back; what the node is then, in words.

    Raises:
        PodsRunError: pods run.
        LabelError: the label cannot be removed, so that pods would still come; nothing was done.
        RestartError: containerd does not come back.
        HostError: something cannot be removed.
    """
    labels = Labels(node.options.node, node.env)
    sweep(node.cri.channel)
    # Refused before anything is done, the label included.
    if not node.options.wait_s:
        _refuse(find_pods(node.host, node.cri))
    labels.remove()
    try:
        _wait(node)
    except PodsRunError:
        labels.set()
        raise
    state.journal.begin("uninstall", state.journal.version)
    changes = state.changes
    remarks: list[str] = []

    def noted(found: list[str]) -> str:
        remarks.extend(found)
        return "; ".join(found) or "as before"

    def withdraw() -> str:
        handler = HandlerStep(node, changes)
        done = handler.withdraw()
        noted(handler.stranger())
        # A pod that came in between has a shim that has to find its files.
        _refuse(find_pods(node.host, node.cri))
        return done

    steps = [
        Step(STEP, withdraw),
        Step("unit", lambda: noted(remove_unit(changes))),
        Step("link", lambda: noted(changes.restore("link"))),
        Step("settings", lambda: noted(changes.restore("settings"))),
        Step("caches", lambda: noted(_empty(node, (RUN, CACHES)))),
        Step("current", lambda: noted(changes.restore("current"))),
        Step("bundle", lambda: noted(_remove_bundles(node, state))),
        Step("state", lambda: noted(state.remove())),
    ]
    runner.run(steps, lambda: None)
    left = f" ({'; '.join(remarks)})" if remarks else ""
    return f"tandem is uninstalled, and {SHIM} is gone{left}"


def _refuse(pods: Pods) -> None:
    if pods:
        raise PodsRunError(
            f"pods of Tandem's run here: {pods}; delete them, or wait for them (--wait), then call"
            " again"
        )


def _wait(node: Node) -> None:
    deadline = time.monotonic() + node.options.wait_s
    while True:
        pods = find_pods(node.host, node.cri)
        if not pods:
            return
        if time.monotonic() > deadline:
            _refuse(pods)
        node.stop.heed()
        time.sleep(_POLL_S)


def _empty(node: Node, directories: tuple[str, ...]) -> list[str]:
    remarks = []
    for directory in directories:
        path = node.host.path(directory)
        node.files.empty(path)
        if path.exists():
            remarks.append(f"{directory} stays, empty: it is a mount")
    return remarks


def _remove_bundles(node: Node, state: State) -> list[str]:
    remarks = state.changes.restore("bundle")
    for name in (*versions(node.host), *leftovers(node.host)):
        node.files.remove_tree(node.host.path(f"{TOP}/{name}"))
    return remarks
