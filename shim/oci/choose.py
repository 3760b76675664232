"""Says which module of an artifact a container runs, and what its guest is told.

Rules: pure. One module is taken whatever the entry point says, since Kubernetes makes people write
some command for an image that has none, as runwasi does. Of several, the container's annotation
chooses, then the name in the entry point; nothing is guessed.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.oci.artifact import Artifact, Module
from shim.oci.entrypoint import Entrypoint, parse_entrypoint
from shim.wasm.binary import sniff

MODULE_ANNOTATION = "io.containerd.tandem.v1/module"
"""Names the module of an artifact to run: its title, its Spin component's id, or its digest."""

_TRIGGERS = frozenset({"http", "command"})
_MAX_LISTED = 20
_NATIVE_HEAD = b"\x7fELF"
_NEVER_NATIVE = (
    "is compiled already, and native code is never taken from an image: pack the Wasm module that"
    " it was made of, which is compiled on the node once"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The module to run, the function in it (None: its own entry), and the guest's arguments.

    `env` are the artifact's variables (`NAME=value`) that the container does not set itself.
    """

    module: Module
    function: str | None
    args: tuple[str, ...]
    env: tuple[str, ...] = ()


def choose_module(
    artifact: Artifact,
    args: Sequence[str],
    env: Sequence[str],
    annotations: Mapping[str, str],
) -> Choice:
    """Choose by the container's process (its `args` and `env`) and annotations.

    The guest sees the arguments as they are, but for a Spin component, whose id is the first one;
    where there are none, the module's name is.

    Raises:
        InvalidArgumentError: nothing is chosen, or native code is; the text names the choices.
        UnimplementedError: the chosen component is started by a trigger that Tandem does not have.
    """
    entrypoint = parse_entrypoint(args) if args and args[0] else Entrypoint("", None)
    module = _module(artifact, entrypoint.path, annotations.get(MODULE_ANNOTATION, ""))
    _check_triggers(module)
    name = module.name or "module.wasm"
    if not args or not args[0] or module.is_component_of_spin:
        args = (name, *args[1:])
    own = {entry.partition("=")[0] for entry in env}
    added = tuple(entry for entry in module.env if entry.partition("=")[0] not in own)
    return Choice(module, entrypoint.function, tuple(args), added)


def check_head(module: Module, head: bytes) -> None:
    """See that a module's first bytes are Wasm.

    Args:
        module: for the error's text.
        head: at least 8 bytes of it, 4 KiB where it may be text.

    Raises:
        InvalidArgumentError: it is native code, which never comes from an image, or nothing at all.
    """
    if head.startswith(_NATIVE_HEAD):
        raise InvalidArgumentError(f"{_label(module)} {_NEVER_NATIVE}")
    if sniff(head) is None:
        raise InvalidArgumentError(
            f"{_label(module)} is not Wasm: it begins with {head[:8].hex(' ') or 'nothing'}"
        )


def _module(artifact: Artifact, path: str, wanted: str) -> Module:
    modules, native = artifact.modules, artifact.native
    if not wanted and len(modules) == 1:
        return modules[0]
    found = _called(wanted or path, (*modules, *native))
    if not found and not modules:
        found = native[:1]
    if len(found) == 1 and found[0] in native:
        raise InvalidArgumentError(f"{_label(found[0])} {_NEVER_NATIVE}")
    if len(found) == 1:
        return found[0]
    if wanted:
        raise InvalidArgumentError(
            f"annotation {MODULE_ANNOTATION}: {wanted[:200]!r} names none or more than one of the"
            f" modules of {artifact.digest}; {_listed(modules)}"
        )
    raise InvalidArgumentError(
        f"entry point {path[:200]!r} names none or more than one of the modules of"
        f" {artifact.digest}; {_listed(modules)}: name one in the command or in the annotation"
        f" {MODULE_ANNOTATION}"
    )


def _called(name: str, modules: Sequence[Module]) -> tuple[Module, ...]:
    """Those with this digest or title; where there are none, those with this file name."""
    plain = _plain(name)
    if not plain:
        return ()
    exact = [each for each in modules if plain in {_plain(each.name), each.descriptor.digest}]
    base = posixpath.basename(plain)
    return tuple(
        exact or [each for each in modules if posixpath.basename(_plain(each.name)) == base]
    )


def _plain(name: str) -> str:
    """A name as a relative path, without the ending that is often left out."""
    return posixpath.normpath(f"/{name}").lstrip("/").removesuffix(".wasm")


def _check_triggers(module: Module) -> None:
    kinds = {trigger.kind for trigger in module.triggers}
    if kinds and not kinds & _TRIGGERS:
        named = ", ".join(sorted(repr(kind) for kind in kinds))
        raise UnimplementedError(
            f"{_label(module)} is started by the trigger {named}, which tandem does not have: it"
            f" has {', '.join(sorted(_TRIGGERS))}"
        )


def _label(module: Module) -> str:
    name = f"module {module.name[:200]!r}" if module.name else "the module"
    return f"{name} ({module.descriptor.digest})"


def _listed(modules: Sequence[Module]) -> str:
    if not modules:
        return "it has no Wasm module"
    names = [
        f"{each.name[:200]!r} ({each.descriptor.digest})" if each.name else each.descriptor.digest
        for each in modules[:_MAX_LISTED]
    ]
    more = f" and {len(modules) - _MAX_LISTED} more" if len(modules) > _MAX_LISTED else ""
    return f"it has {', '.join(names)}{more}"
