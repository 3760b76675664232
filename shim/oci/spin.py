"""The locked application, by which `spin registry push` describes what the other layers are.

Rules: pure; nothing but an `InvalidArgumentError` or an `UnimplementedError` leaves this module;
unknown members are ignored, unless the document says that they must be understood. Source: Spin's
crates/locked-app and crates/oci.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.oci.descriptors import check_digest, parse_digest
from shim.oci.document import Node, load_foreign_json
from shim.oci.paths import safe_path

MAX_APPLICATION_BYTES = 4 << 20

_VERSIONS = (0, 1)
_MAX_ID = 255
# We know what they mean: each is a list of what the host must be able to do.
_UNDERSTOOD = frozenset({"host_requirements", "component_host_requirements"})
_NAME = "spin application: "


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a component at its safe relative `path`; `inline` is what it holds, if given."""

    path: str
    digest: str
    inline: bytes | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a component: `kind` is `http`, `command`, `redis`, ...; `config` is Spin's."""

    id: str
    kind: str
    component: str
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Component:
    """One program: the digest of its Wasm, its files, and its variables (`NAME=value`)."""

    id: str
    digest: str
    files: tuple[Content, ...]
    env: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Application:
    """A locked application."""

    components: tuple[Component, ...]
    triggers: tuple[Trigger, ...]


def parse_application(document: bytes) -> Application:
    """Read a locked application.

    Raises:
        InvalidArgumentError: it is none, or a member is wrong.
        UnimplementedError: it is of a later version, or needs something that Tandem does not have.
    """
    top = Node(load_foreign_json(document, "spin application", MAX_APPLICATION_BYTES), "", _NAME)
    version = top.get("spin_lock_version", int, -1)
    if version not in _VERSIONS:
        raise UnimplementedError(f"{_NAME}spin_lock_version {version} is neither 0 nor 1")
    unknown = set(top.of("must_understand", str)) - _UNDERSTOOD
    if unknown:
        raise UnimplementedError(f"{_NAME}it needs a reader of {_listed(unknown)}")
    _check_requirements(top, "the application")
    components = tuple(_component(node) for node in top.nodes("components"))
    if len({component.id for component in components}) != len(components):
        raise InvalidArgumentError(f"{_NAME}two components have the same id")
    return Application(components, tuple(_trigger(node) for node in top.nodes("triggers")))


def _check_requirements(node: Node, whose: str) -> None:
    wanted = node.string_map("host_requirements")
    required = {name for name, need in wanted.items() if need != "optional"}
    if required:
        raise UnimplementedError(
            f"{_NAME}{whose} requires {_listed(required)} of the host, which tandem does not have"
        )


def _component(node: Node) -> Component:
    name = _id(node, "id")
    _check_requirements(node, f"component {name!r}")
    if not node.node("dependencies").is_empty:
        raise UnimplementedError(
            f"{_NAME}component {name!r} is to be composed with its dependencies; push it with"
            " `spin registry push --compose`, which is Spin's default since 3.2"
        )
    source = node.node("source")
    digest = source.get("digest", str, "")
    parse_digest(digest)
    files = {content.path: content for content in map(_content, node.nodes("files"))}
    return Component(name, digest, tuple(files.values()), _env(node, name))


def _content(node: Node) -> Content:
    path = safe_path(node.get("path", str, ""), node.name("path"))
    digest = node.get("digest", str, "")
    if "inline" not in node:
        parse_digest(digest)
        return Content(path, digest, None)
    try:
        inline = base64.b64decode(node.get("inline", str, ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(f"{node.name('inline')} is not base64: {error}") from error
    if digest:
        check_digest(digest, inline)
    return Content(path, digest or f"sha256:{hashlib.sha256(inline).hexdigest()}", inline)


def _env(node: Node, component: str) -> tuple[str, ...]:
    variables = node.string_map("env")
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidArgumentError(
                f"{_NAME}component {component!r} has the impossible variable {name[:200]!r}"
            )
    return tuple(f"{name}={value}" for name, value in variables.items())


def _trigger(node: Node) -> Trigger:
    config = node.node("trigger_config")
    return Trigger(
        id=node.get("id", str, "")[:_MAX_ID],
        kind=_id(node, "trigger_type"),
        # a trigger with a response of its own has no component
        component=config.get("component", str, ""),
        config=node.get("trigger_config", dict, {}),
    )


def _id(node: Node, member: str) -> str:
    name = node.get(member, str, "")
    if not 0 < len(name) <= _MAX_ID:
        raise InvalidArgumentError(
            f"{node.name(member)} is missing or has more than {_MAX_ID} characters"
        )
    return name


def _listed(names: set[str]) -> str:
    return ", ".join(repr(name[:200]) for name in sorted(names)[:10])
