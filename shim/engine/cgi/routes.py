"""Which requests a CGI program answers: an annotation of the pod, and the route that it names.

Rules: pure; decided before any fork, so that whoever creates the container hears of a mistake.
Routes are wagi's: a path, or with `/...` at its end everything below that path, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError

ANNOTATION = "io.containerd.tandem.v1/cgi"
_EVERYTHING = "/..."
_GOOD = re.compile(r"/[\x21\x24-\x3e\x40-\x7e]*").fullmatch


@dataclass(frozen=True, slots=True)
class Route:
    """A route, as it is written."""

    text: str

    def match(self, path: bytes) -> tuple[bytes, bytes] | None:
        """Split a path, as it was sent, into SCRIPT_NAME and the rest; None if it is another's.

        RFC 3875 4.1.13: both together are the path, so the script of `/...` has no name.
        """
        route = self.text.encode()
        if not route.endswith(_EVERYTHING.encode()):
            return (path, b"") if path == route else None
        script = route.removesuffix(_EVERYTHING.encode())
        rest = path[len(script) :]
        if not path.startswith(b"/") or not path.startswith(script) or rest[:1] not in {b"", b"/"}:
            return None
        return script, rest


def cgi_route(annotations: Mapping[str, str]) -> Route | None:
    """The route of a container's program, where the program is to be run per request.

    Raises:
        InvalidArgumentError: the annotation says what it cannot mean.
    """
    text = annotations.get(ANNOTATION, "")
    if text in {"", "false"}:
        return None
    if text == "true":
        return Route(_EVERYTHING)
    if not _GOOD(text) or "..." in text.removesuffix(_EVERYTHING):
        raise InvalidArgumentError(
            f"annotation {ANNOTATION} is {text[:80]!r}, and neither a route, such as /path or"
            " /path/..., nor true or false"
        )
    return Route(text)
