"""Names of images: `registry/repository:tag`, with or without `@sha256:...`.

Rules: pure; a name always says its registry, since no registry is the natural one. Source: the
grammar of distribution/reference, and the OCI distribution spec for what a tag may be.
"""

import re
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError

_MAX_CHARS = 512
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<registry>{_HOST})/(?P<repository>{_WORD}(?:/{_WORD})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A full name. `tag` is empty only where a digest says which manifest is meant."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def is_loopback(self) -> bool:
        """Whether the registry is on this machine."""
        return _LOOPBACK.fullmatch(self.registry) is not None


def parse_reference(text: str) -> Reference:
    """Read a name; without tag and digest the tag is `latest`.

    Raises:
        InvalidArgumentError: it is none, or says no registry.
    """
    match = _REFERENCE.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None or not _is_host(match["registry"]):
        raise InvalidArgumentError(
            f"{text[:200]!r} is no name of an image: write it with its registry, such as"
            " registry.example/hello:1"
        )
    tag, digest = match["tag"] or "", match["digest"] or ""
    if not tag and not digest:
        tag = "latest"
    return Reference(match["registry"], match["repository"], tag, digest)


def _is_host(name: str) -> bool:
    return name == "localhost" or any(mark in name for mark in ".:[")
