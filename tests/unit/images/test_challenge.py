import json
from io import BytesIO
from typing import Any

import pytest
import requests
from urllib3 import HTTPResponse

from shim.errdefs import PermissionDeniedError, UnavailableError
from shim.images.challenge import Challenge, answer, parse_challenge
from shim.images.credentials import Credentials

OX = Credentials("ox", "yoke")
BEARER = (
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull"'
)


class Service:
    """A token service: remembers what it was asked, and gives one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, method: str, url: str, **more: Any) -> requests.Response:
        self.asked.append((method, url, more))
        response = requests.Response()
        response.status_code = self.status
        response.raw = HTTPResponse(BytesIO(self.body), preload_content=False)
        return response


def gives(token: object, name: str = "token") -> Service:
    return Service(200, json.dumps({name: token}).encode())


def ask(
    header: str, credentials: Credentials | None, service: Service, *, secure: bool = True
) -> str:
    return answer(header, credentials, "registry.example", secure=secure, send=service)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            BEARER,
            Challenge(
                "bearer", "https://auth.example/token", "registry.example", "repository:a:pull"
            ),
        ),
        ('Basic realm="tests"', Challenge("basic", "tests")),
        ("", Challenge("")),
        ("Negotiate", Challenge("negotiate")),
    ],
)
def test_challenge_is_read(header: str, expected: Challenge) -> None:
    assert parse_challenge(header) == expected


def test_basic_challenge_is_answered_with_the_password() -> None:
    service = gives("unused")
    assert ask('Basic realm="tests"', OX, service) == "Basic b3g6eW9rZQ=="
    assert service.asked == []


@pytest.mark.parametrize("credentials", [None, Credentials("", "token")])
def test_basic_challenge_without_a_password_says_where_to_get_one(
    credentials: Credentials | None,
) -> None:
    with pytest.raises(PermissionDeniedError, match=r"docker login registry\.example"):
        ask('Basic realm="tests"', credentials, gives("unused"))


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_token_is_bought_with_the_password(name: str) -> None:
    service = gives("t", name)
    assert ask(BEARER, OX, service) == "Bearer t"
    [(method, url, more)] = service.asked
    assert (method, url) == ("GET", "https://auth.example/token")
    assert more["params"] == {"service": "registry.example", "scope": "repository:a:pull"}
    assert more["headers"] == {"Authorization": OX.basic}


def test_token_is_asked_for_without_a_password_where_there_is_none() -> None:
    service = gives("t")
    assert ask(BEARER, None, service) == "Bearer t"
    assert service.asked[0][2]["headers"] == {}


def test_refresh_token_is_posted() -> None:
    service = gives("t", "access_token")
    assert ask(BEARER, Credentials("", "r"), service) == "Bearer t"
    [(method, _, more)] = service.asked
    assert method == "POST"
    assert more["data"]["grant_type"] == "refresh_token"
    assert more["data"]["refresh_token"] == "r"


@pytest.mark.parametrize(
    "header",
    ['Bearer realm="http://auth.example/token"', 'Bearer realm="file:///etc/passwd"', "Bearer"],
)
def test_password_is_not_sent_to_a_less_secure_place(header: str) -> None:
    service = gives("t")
    with pytest.raises(PermissionDeniedError, match="unusable address"):
        ask(header, OX, service)
    assert service.asked == []


def test_plain_registry_may_have_a_plain_token_service() -> None:
    assert ask('Bearer realm="http://auth.example/"', OX, gives("t"), secure=False) == "Bearer t"


def test_other_schemes_are_named() -> None:
    with pytest.raises(PermissionDeniedError, match="'negotiate'"):
        ask("Negotiate", OX, gives("t"))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refusal_names_the_user_and_not_the_password(status: int) -> None:
    with pytest.raises(PermissionDeniedError, match="refuses user ox") as caught:
        ask(BEARER, OX, Service(status, b"{}"))
    assert "yoke" not in str(caught.value)


@pytest.mark.parametrize(
    "service",
    [
        Service(500, b"{}"),
        Service(200, b"nonsense"),
        Service(200, b"[]"),
        Service(200, b'{"token": 1}'),
        Service(200, b'{"token": "a\\r\\nInjected: 1"}'),
        Service(200, b'{"token": "' + b"a" * (2 << 20) + b'"}'),
    ],
)
def test_service_that_gives_no_token_is_an_error(service: Service) -> None:
    with pytest.raises(UnavailableError, match="gives no token"):
        ask(BEARER, OX, service)
