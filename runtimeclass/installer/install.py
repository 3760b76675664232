"""The stages `check` and `install`.

Rules: the order of the steps is that in which a node can be left at any moment: what is named is
there before its name, and the label comes after the proof. What fails is taken back; what was
proved and cannot be labelled, or whose predecessors cannot be removed, is not.
"""

import contextlib
import functools
import tomllib
from collections.abc import Callable

import tomlkit

from runtimeclass.installer.bundle import (
    CURRENT,
    SHIM,
    STATE,
    TOP,
    Bundle,
    check_room,
    copy_bundle,
    faults,
    in_use,
    leftovers,
    own_bundle,
    read_bundle,
    versions,
)
from runtimeclass.installer.changes import require_ours
from runtimeclass.installer.errors import BundleError, HostError, InstallerError, NodeError
from runtimeclass.installer.files import Content
from runtimeclass.installer.handler import STEP, HandlerStep, planned
from runtimeclass.installer.label import Labels
from runtimeclass.installer.layouts import link_directory
from runtimeclass.installer.node import HANDLER_CONFIG, Node, State
from runtimeclass.installer.pods import find_pods
from runtimeclass.installer.proof import prove, sweep
from runtimeclass.installer.steps import Runner, Step
from runtimeclass.installer.toml_edit import HANDLER
from runtimeclass.installer.unit import daemon_runs, install_unit, undo_unit

_CONFIG = "/etc/tandem/config.toml"
_SPARE_BYTES = 64 << 10
_UNDONE = ("bundle", "current", "link", "settings")


def check(node: Node) -> str:
    """Everything that `install` needs, looked at; what it would do, in words.

    Raises:
        NodeError: this node is not one that can be changed.
        BundleError: the bundle is not whole.
    """
    bundle = read_bundle(node.options.bundle or own_bundle())
    _check_host(node, bundle)
    handler, target = planned(node)
    reason = node.host.writable(target.path.rpartition("/")[0])
    if reason:
        raise NodeError(f"{target.path} has to be written ({target.why}), and {reason}")
    version = ".".join(map(str, node.cri.version()))
    how = node.restarter(node.stop.heed).check()
    wrong = faults(bundle, bundle.directory)
    if wrong:
        raise BundleError(f"{bundle.directory}: {wrong} than its manifest says: fetch it anew")
    found = "the shim's path" if handler.path else f"a link in {_link(node)}"
    return (
        f"tandem {bundle.version} can be installed: containerd {version} ({node.place.layout.name},"
        f" {node.place.config}) gets {target.path} ({target.why}) and {found}, and is restarted"
        f" {how}"
    )


def install(node: Node, state: State, runner: Runner) -> str:
    """Install or upgrade; what the node is then, in words.

    Raises:
        InstallerError: of the kind that the package's docstring gives for each exit status.
    """
    journal = state.journal
    try:
        bundle = read_bundle(node.options.bundle or own_bundle())
        if journal.operation is not None:
            _mend(node, state)
            sweep(node.cri.channel)
        _check_host(node, bundle)
        name = bundle.name_on(node.host)
    except InstallerError:
        if journal.operation is None:
            _leave(state)
        raise
    before = journal.version
    journal.begin("install", name)
    done = False

    def commit() -> str:
        nonlocal done
        node.files.remove(node.host.path(f"{STATE}/spare"))
        journal.finish(name)
        done = True
        return f"{name} is installed"

    def give_up() -> None:
        if not done:
            # Where there is no room even for this, what failed is told, and the next call goes on.
            with contextlib.suppress(HostError):
                journal.abandon()
            _leave(state)

    labels = Labels(node.options.node, node.env)
    steps = [*_steps(node, state, bundle, name), Step("commit", commit)]
    runner.run(steps, give_up)
    labels.set()
    removed: list[str] = []
    # What cannot be removed now can be the next time.
    with contextlib.suppress(HostError):
        _prune(node, state, name, removed)
    return (
        f"tandem {bundle.version} is installed"
        + (f" in place of {before}" if before not in {"", name} else "")
        + ": containerd offers the handler tandem, and a guest ran; "
        + (f"no label: {labels.why_not}" if labels.why_not else "the node is labelled")
        + (f"; removed {', '.join(removed)}" if removed else "")
    )


def verify(node: Node) -> str:
    """Prove that an installation works, and change nothing; what was seen, in words.

    Raises:
        NodeError: nothing is installed, or containerd does not offer it.
        ProofError: no guest runs.
    """
    name = node.host.path(CURRENT)
    if not name.is_symlink():
        raise NodeError(f"{CURRENT} is not there: tandem is not installed here")
    version = name.readlink().name
    bundle = read_bundle(node.host.path(f"{TOP}/{version}"))
    wrong = faults(bundle, bundle.directory)
    if wrong:
        raise BundleError(f"{TOP}/{version}: {wrong} than when it was installed: install again")
    handler = node.handler()
    if HANDLER not in node.cri.runtimes():
        raise NodeError("containerd does not offer the handler tandem: install again")
    prove(node.host, node.files, node.cri.channel, handler.path, node.options.timeout_s)
    return f"tandem {version} works: containerd offers the handler tandem, and a guest ran"


def _steps(node: Node, state: State, bundle: Bundle, name: str) -> list[Step]:
    changes = state.changes
    handler = HandlerStep(node, changes)
    path = f"{TOP}/{name}"
    spare = node.host.path(f"{STATE}/spare")

    def taking_back(undo: Callable[[], list[str]]) -> Callable[[], list[str]]:
        def free_and_undo() -> list[str]:
            node.files.remove(spare)
            return undo()

        return free_and_undo

    def copy() -> str:
        if not faults(bundle, node.host.path(path)):
            return f"{path} is there"
        # One that was damaged; what still runs from it keeps its files.
        node.files.remove_tree(node.host.path(path))
        changes.tree(path, "bundle")
        copy_bundle(bundle, node.host.path(path), node.files)
        return path

    def current() -> str:
        # A disk that gets full now has room for the way back.
        node.files.write(spare, Content(bytes(_SPARE_BYTES), 0o600))
        changes.link(CURRENT, name, "current")
        return f"{CURRENT} is {name}"

    def prove_it() -> str:
        table = node.handler()
        prove(node.host, node.files, node.cri.channel, table.path, node.options.timeout_s)
        return "a guest ran"

    undoing = {each: taking_back(functools.partial(changes.undo, each)) for each in _UNDONE}
    return [
        Step("bundle", copy, undoing["bundle"]),
        Step("current", current, undoing["current"]),
        Step("link", lambda: _put_link(node, state), undoing["link"]),
        Step("settings", lambda: _settings(node, state), undoing["settings"]),
        Step("unit", lambda: install_unit(changes, name), taking_back(lambda: undo_unit(changes))),
        Step(STEP, handler.offer, taking_back(handler.undo)),
        Step("proof", prove_it),
    ]


def _check_host(node: Node, bundle: Bundle) -> None:
    for directory in (TOP, "/etc/systemd/system"):
        reason = node.host.writable(directory)
        if reason and (directory == TOP or node.host.is_directory("/run/systemd/system")):
            raise NodeError(f"{directory} has to be written, and {reason}")
    node.cri.version()
    if not (node.host.path(f"{TOP}/{bundle.name_on(node.host)}")).exists():
        check_room(bundle, node.host)


def _leave(state: State) -> None:
    """Remove the state, unless something is installed that it has to lead back from."""
    journal = state.journal
    if not journal.version and not any(c.step != "state" for c in journal.changes.values()):
        state.remove()


def _mend(node: Node, state: State) -> None:
    """Give a containerd that does not answer what it had before the call that broke off."""
    try:
        node.cri.version()
    except NodeError:
        HandlerStep(node, state.changes).undo()


def _link(node: Node) -> str:
    directory = link_directory(node.host, node.place)
    return f"{directory}/{SHIM}" if directory else ""


def _put_link(node: Node, state: State) -> str:
    path = _link(node)
    if not path:
        return "nothing in containerd's PATH can be written: the handler names the shim by its path"
    # Relative, so that it means the same wherever the node's root is seen.
    ups = "../" * (path.count("/") - 1)
    target = f"{ups}{TOP.lstrip('/')}/current/bin/{SHIM}"
    found = node.files.read(node.host.path(path))
    require_ours(found, path, lambda link: link.endswith(f"/current/bin/{SHIM}"))
    state.changes.link(path, target, "link")
    return path


def _settings(node: Node, state: State) -> str:
    done = []
    given = node.options.config
    if given is not None:
        try:
            data = given.read_bytes()
            tomllib.loads(data.decode())
        except (OSError, ValueError) as error:
            raise NodeError(f"{given} cannot be the node's configuration: {error}") from error
        ours = _CONFIG in state.journal.changes
        if ours or not node.host.exists(_CONFIG):
            state.changes.file(_CONFIG, Content(data), "settings")
            done.append(_CONFIG)
        else:
            done.append(f"{_CONFIG} is the node's own and stays")
    if node.handler().options.get("ConfigPath") == HANDLER_CONFIG:
        state.changes.file(HANDLER_CONFIG, Content(_handler_config(node)), "settings")
        done.append(HANDLER_CONFIG)
    return ", ".join(done) or "none are needed"


def _handler_config(node: Node) -> bytes:
    """For containerd 1.6, which hands on the name of a file at most: the node's [linux], and that
    systemd keeps the cgroups."""
    try:
        linux = tomllib.loads(node.host.read(_CONFIG) or "").get("linux", {})
    except tomllib.TOMLDecodeError as error:
        raise NodeError(f"{_CONFIG} is not valid TOML ({error}): mend it first") from error
    return tomlkit.dumps({"linux": {**linux, "systemd_cgroup": True}}).encode()


def _prune(node: Node, state: State, current: str, removed: list[str]) -> None:
    """Remove the bundles that nothing runs from, and say which were.

    Raises:
        HostError: one cannot be removed.
    """
    for name in leftovers(node.host):
        node.files.remove_tree(node.host.path(f"{TOP}/{name}"))
    used = in_use(node.host)
    if used is None and (daemon_runs(node.host) or find_pods(node.host, node.cri)):
        return
    for name in versions(node.host):
        if name != current and name not in (used or set()):
            node.files.remove_tree(node.host.path(f"{TOP}/{name}"))
            state.journal.forget(f"{TOP}/{name}")
            removed.append(name)
