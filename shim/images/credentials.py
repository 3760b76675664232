"""Who we are to a registry: docker's configuration file, and the helpers that it names.

Rules: passwords go to the registry that they are for and nowhere else; no text of an error holds
one. Sources: docker's documentation of `config.json` (auths, credsStore, credHelpers), and of
docker-credential-helpers' protocol: `docker-credential-NAME get`, the registry on stdin, JSON on
stdout.
"""

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.errdefs import InvalidArgumentError, PermissionDeniedError, UnavailableError

_HELPER_TIMEOUT_S = 60.0
_MAX_CONFIG_BYTES = 1 << 20
# What a helper says of itself when it has nothing for a registry.
_NOT_FOUND = "credentials not found"
# A helper's user name for what is no password but an OAuth refresh token.
_TOKEN_USER = "<token>"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password, or (user empty) a refresh token."""

    user: str
    secret: str

    @property
    def basic(self) -> str:
        """The value of an Authorization header for basic authentication (RFC 7617)."""
        pair = f"{self.user}:{self.secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def config_path(env: Mapping[str, str]) -> Path:
    """Where docker keeps its configuration for this environment."""
    directory = env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker"
    return Path(directory) / "config.json"


def find_credentials(registry: str, path: Path) -> Credentials | None:
    """Look a registry up; None means that it has to do without.

    Args:
        registry: its host name, with its port if it has one.
        path: docker's configuration; it need not exist.

    Raises:
        InvalidArgumentError: the configuration is unusable.
        PermissionDeniedError: a helper refuses.
        UnavailableError: the helper that it names is not installed, or does not answer.
    """
    document = _read(path)
    helpers = document.get("credHelpers")
    helper = helpers.get(registry) if isinstance(helpers, dict) else None
    helper = helper or document.get("credsStore")
    if helper:
        found = _ask_helper(str(helper), registry)
        if found:
            return found
    auths = document.get("auths")
    for name, entry in auths.items() if isinstance(auths, dict) else ():
        if _host(name) == registry and isinstance(entry, dict):
            return _decode(entry, path, registry)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_CONFIG_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is not JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _host(name: str) -> str:
    """The host in a key of `auths`, which may be a URL as older dockers wrote it."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _decode(entry: dict[str, Any], path: Path, registry: str) -> Credentials | None:
    token = entry.get("identitytoken")
    if token:
        return Credentials("", str(token))
    try:
        user, colon, secret = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        user = colon = secret = ""
    if not colon:
        user, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
        if not user:
            if entry.get("auth"):
                raise InvalidArgumentError(
                    f"{path}: the credentials for {registry} are unreadable: log in again"
                )
            return None
    return Credentials(user, secret.rstrip("\0"))


def _ask_helper(name: str, registry: str) -> Credentials | None:
    program = f"docker-credential-{name}"
    if "/" in name:
        raise InvalidArgumentError(f"credential helper {name[:80]!r} must be a name, not a path")
    try:
        done = subprocess.run(
            [program, "get"],
            input=registry.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
            env=os.environ,
        )
    except OSError as error:
        raise UnavailableError(
            f"docker's configuration names the credential helper {program}, which cannot be run:"
            f" {error.strerror}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"credential helper {program} did not answer in {_HELPER_TIMEOUT_S:g} s"
        ) from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if _NOT_FOUND in said:
            return None
        raise PermissionDeniedError(f"credential helper {program} refuses: {said[:200]}")
    try:
        reply = json.loads(done.stdout)
        user, secret = str(reply["Username"]), str(reply["Secret"])
    except (ValueError, KeyError, TypeError):
        raise UnavailableError(f"credential helper {program} answers with nonsense") from None
    return Credentials("" if user == _TOKEN_USER else user, secret)
