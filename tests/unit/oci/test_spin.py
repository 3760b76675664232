"""Locked applications, as Spin writes them and as it does not."""

import base64
import json
from typing import Any

import pytest

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.oci.spin import MAX_APPLICATION_BYTES, Content, Trigger, parse_application
from tests.unit.oci.artifacts import Json, application, component, digest_of, http_trigger


def parse(document: Json) -> Any:
    return parse_application(json.dumps(document).encode())


def one(files: list[Json] | None = None, **more: Any) -> Json:
    return application([component("web", "wasm", files or [], **more)])


@pytest.mark.parametrize("version", [0, 1])
def test_application(version: int) -> None:
    files = [
        {"path": "a/b.txt", "digest": digest_of(b"b")},
        {"path": "c", "inline": base64.b64encode(b"small").decode()},
        {"path": "./a//b.txt", "digest": digest_of(b"later")},
    ]
    document = one(files, env={"X": "1=2"}) | {
        "spin_lock_version": version,
        "triggers": [http_trigger("web")],
        "must_understand": ["host_requirements"],
        "host_requirements": {"local_service_chaining": "optional"},
    }
    found = parse(document)
    (web,) = found.components
    assert (web.id, web.digest, web.env) == ("web", digest_of(b"wasm"), ("X=1=2",))
    assert web.files == (
        Content("a/b.txt", digest_of(b"later"), None),
        Content("c", digest_of(b"small"), b"small"),
    )
    config = {"component": "web", "route": "/..."}
    assert found.triggers == (Trigger("trigger-web", "http", "web", config),)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (one() | {"spin_lock_version": 2}, "spin_lock_version 2"),
        ({}, "spin_lock_version -1"),
        (one() | {"must_understand": ["magic"]}, "a reader of 'magic'"),
        (
            one() | {"host_requirements": {"middleware": "required"}},
            "the application requires 'middleware'",
        ),
        (one(host_requirements={"x": "required"}), "component 'web' requires 'x'"),
        (one(dependencies={"a:b/c": {}}), "composed with its dependencies.*--compose"),
    ],
)
def test_what_tandem_does_not_have_is_named(document: Json, problem: str) -> None:
    with pytest.raises(UnimplementedError, match=problem):
        parse(document)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (application([component("a", "1"), component("a", "2")]), "the same id"),
        (application([component("", "1")]), "id is missing"),
        (application([component("a" * 256, "1")]), "more than 255"),
        (application([{"id": "a"}]), "neither sha256"),
        (one([{"path": "../x", "digest": digest_of(b"")}]), "leads upwards"),
        (one([{"path": "x"}]), "neither sha256"),
        (one([{"path": "x", "inline": "?"}]), "not base64"),
        (one([{"path": "x", "inline": "é"}]), "not base64"),
        (one([{"path": "x", "inline": "aGk=", "digest": digest_of(b"")}]), "has the digest"),
        (one(env={"A=B": ""}), "impossible variable 'A=B'"),
        (one(env={"": ""}), "impossible variable"),
        (one(env={"A": "\0"}), "impossible variable"),
        (one(env={"A": 1}), "not a str"),
        (application([], [{"id": "t"}]), "trigger_type is missing"),
    ],
)
def test_application_that_is_refused(document: Json, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        parse(document)


def test_application_is_bounded() -> None:
    with pytest.raises(InvalidArgumentError, match="are the most"):
        parse_application(b" " * (MAX_APPLICATION_BYTES + 1))
