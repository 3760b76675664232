"""Answers a registry that asks who we are: with the password itself, or with a token bought for it.

Rules: whatever oras does here it does without a time limit, with any amount of memory, and it takes
a basic challenge's realm for an address; so this is ours. A token's address is the registry's word,
but never a less secure one than the registry's own. Sources: RFC 9110 (WWW-Authenticate), and
distribution's token authentication (GET with basic credentials, POST with a refresh token).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import requests

from shim.errdefs import PermissionDeniedError, UnavailableError
from shim.images.credentials import Credentials

_PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')
_MAX_TOKEN_BYTES = 1 << 20
_CLIENT = "tandem"

Send = Callable[..., requests.Response]
"""`requests.Session.request`, with time limits, TLS settings and no redirects."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a WWW-Authenticate header asks for."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenge(header: str) -> Challenge:
    """Read the header; of several challenges in it, the first is taken."""
    scheme, _, rest = header[:4096].partition(" ")
    found = dict(_PARAMETER.findall(rest))
    return Challenge(
        scheme.lower(), found.get("realm", ""), found.get("service", ""), found.get("scope", "")
    )


def answer(
    header: str, credentials: Credentials | None, registry: str, *, secure: bool, send: Send
) -> str:
    """The Authorization header to try again with.

    Args:
        header: the registry's WWW-Authenticate.
        credentials: ours, if there are any.
        registry: its name, for errors.
        secure: whether it speaks TLS.
        send: makes a request.

    Raises:
        PermissionDeniedError: it wants what we do not have, or does not believe us.
        UnavailableError: its token service fails.
    """
    challenge = parse_challenge(header)
    if challenge.scheme == "basic":
        if credentials is None or not credentials.user:
            raise PermissionDeniedError(
                f"registry {registry} wants a user and a password: log in with"
                f" `docker login {registry}`, or write them into docker's config.json"
            )
        return credentials.basic
    if challenge.scheme != "bearer":
        raise PermissionDeniedError(
            f"registry {registry} wants authentication that Tandem does not know:"
            f" {challenge.scheme[:40]!r}"
        )
    schemes = ("https://",) if secure else ("https://", "http://")
    if not challenge.realm.startswith(schemes):
        raise PermissionDeniedError(
            f"registry {registry} has an unusable address of its token service:"
            f" {challenge.realm[:200]!r}"
        )
    return f"Bearer {_token(challenge, credentials, registry, send)}"


def _token(challenge: Challenge, credentials: Credentials | None, registry: str, send: Send) -> str:
    wanted = {"service": challenge.service, "scope": challenge.scope}
    wanted = {name: value for name, value in wanted.items() if value}
    if credentials is not None and not credentials.user:
        form = {"grant_type": "refresh_token", "client_id": _CLIENT, **wanted}
        form["refresh_token"] = credentials.secret
        response = send("POST", challenge.realm, data=form)
    else:
        headers = {"Authorization": credentials.basic} if credentials else {}
        response = send("GET", challenge.realm, params=wanted, headers=headers)
    with response:
        if response.status_code in {400, 401, 403}:
            who = f"user {credentials.user}" if credentials and credentials.user else "us"
            raise PermissionDeniedError(f"the token service of {registry} refuses {who}")
        body = response.raw.read(_MAX_TOKEN_BYTES, decode_content=False)
    try:
        reply = json.loads(body)
        token = reply.get("token") or reply["access_token"]
    except (ValueError, KeyError, TypeError, AttributeError):
        token = None
    if response.status_code != 200 or not isinstance(token, str) or not token.isprintable():
        raise UnavailableError(
            f"the token service of {registry} gives no token (status {response.status_code})"
        )
    return token
