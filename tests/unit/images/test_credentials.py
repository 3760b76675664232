import base64
import json
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, PermissionDeniedError, UnavailableError
from shim.images.credentials import Credentials, config_path, find_credentials

HOST = "registry.example"


def encoded(user: str, secret: str) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


def write(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, None),
        ([], None),
        ({"auths": {HOST: {"auth": encoded("ox", "a:b")}}}, Credentials("ox", "a:b")),
        ({"auths": {f"https://{HOST}/v1/": {"auth": encoded("ox", "y")}}}, Credentials("ox", "y")),
        ({"auths": {HOST: {"username": "ox", "password": "y"}}}, Credentials("ox", "y")),
        ({"auths": {HOST: {"identitytoken": "t"}}}, Credentials("", "t")),
        ({"auths": {HOST: {}}}, None),
        ({"auths": {"other.example": {"auth": encoded("ox", "y")}}}, None),
        ({"auths": {f"{HOST}:5000": {"auth": encoded("ox", "y")}}}, None),
        ({"auths": {f"{HOST}.evil.example": {"auth": encoded("ox", "y")}}}, None),
    ],
)
def test_entry_of_the_registry_and_no_other_is_found(
    tmp_path: Path, document: object, expected: Credentials | None
) -> None:
    assert find_credentials(HOST, write(tmp_path, document)) == expected


def test_missing_configuration_has_nothing(tmp_path: Path) -> None:
    assert find_credentials(HOST, tmp_path / "nowhere") is None


def test_unreadable_entry_is_an_error_that_keeps_the_secret(tmp_path: Path) -> None:
    path = write(tmp_path, {"auths": {HOST: {"auth": "c2VjcmV0"}}})
    with pytest.raises(InvalidArgumentError, match="log in again") as caught:
        find_credentials(HOST, path)
    assert "c2VjcmV0" not in str(caught.value)
    assert "hidden" not in repr(Credentials("ox", "hidden"))


def test_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidArgumentError, match="is not JSON"):
        find_credentials(HOST, tmp_path / "config.json")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HOME": "/home/ox"}, "/home/ox/.docker/config.json"),
        ({"HOME": "/home/ox", "DOCKER_CONFIG": "/x"}, "/x/config.json"),
        ({}, "/.docker/config.json"),
    ],
)
def test_configuration_is_where_docker_has_it(env: dict[str, str], expected: str) -> None:
    assert config_path(env) == Path(expected)


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "docker-credential-stable"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize("document", [{"credsStore": "stable"}, {"credHelpers": {HOST: "stable"}}])
def test_helper_is_asked_for_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, object]
) -> None:
    helper(
        tmp_path,
        monkeypatch,
        'read name; echo "{\\"Username\\":\\"ox\\",\\"Secret\\":\\"$name$1\\"}"',
    )
    assert find_credentials(HOST, write(tmp_path, document)) == Credentials("ox", f"{HOST}get")


def test_helper_of_another_registry_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "exit 1")
    path = write(tmp_path, {"credHelpers": {"other.example": "stable"}})
    assert find_credentials(HOST, path) is None


def test_helper_may_have_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, """echo '{"Username":"<token>","Secret":"t"}'""")
    assert find_credentials(HOST, write(tmp_path, {"credsStore": "stable"})) == Credentials("", "t")


def test_helper_without_an_entry_leaves_it_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    document = {"credsStore": "stable", "auths": {HOST: {"auth": encoded("ox", "y")}}}
    assert find_credentials(HOST, write(tmp_path, document)) == Credentials("ox", "y")


@pytest.mark.parametrize(
    ("script", "error", "expected"),
    [
        ("echo locked >&2; exit 1", PermissionDeniedError, "refuses: locked"),
        ("echo nonsense", UnavailableError, "nonsense"),
        ("echo '[]'", UnavailableError, "nonsense"),
    ],
)
def test_helper_that_fails_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    error: type[Exception],
    expected: str,
) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(error, match=f"docker-credential-stable .*{expected}"):
        find_credentials(HOST, write(tmp_path, {"credsStore": "stable"}))


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere", UnavailableError), ("../../bin/sh", InvalidArgumentError)]
)
def test_helper_must_be_an_installed_name(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="credential helper"):
        find_credentials(HOST, write(tmp_path, {"credsStore": name}))
