"""Which requests a CGI program answers: an annotation of the pod, or routes of a `modules.toml`.

Rules: pure; decided before any fork, so that whoever creates the container hears of a mistake.
Routes are wagi's: a path, or with `/...` at its end everything below that path, too. Of several
that match, a path wins over what is below one, and the longer one over the shorter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError
from shim.oci.modules import is_route

ANNOTATION = "io.containerd.tandem.v1/cgi"
_EVERYTHING = "/..."


@dataclass(frozen=True, slots=True)
class Route:
    """A route, as it is written."""

    text: str

    @property
    def script(self) -> bytes:
        """The path before the `/...`, if there is one."""
        return self.text.removesuffix(_EVERYTHING).encode()

    @property
    def is_exact(self) -> bool:
        """Whether it is one path alone."""
        return not self.text.endswith(_EVERYTHING)

    def match(self, path: bytes) -> tuple[bytes, bytes] | None:
        """Split a path, as it was sent, into SCRIPT_NAME and the rest; None if it is another's.

        RFC 3875 4.1.13: both together are the path, so the script of `/...` has no name.
        """
        script = self.script
        if self.is_exact:
            return (path, b"") if path == script else None
        rest = path[len(script) :]
        if not path.startswith(b"/") or not path.startswith(script) or rest[:1] not in {b"", b"/"}:
            return None
        return script, rest


class RouteTable:
    """Several routes, no two of them the same."""

    def __init__(self, routes: Sequence[Route]) -> None:
        numbered = list(enumerate(routes))
        self._exact = {route.script: number for number, route in numbered if route.is_exact}
        below = [(number, route) for number, route in numbered if not route.is_exact]
        self._below = sorted(below, key=lambda each: len(each[1].script), reverse=True)

    def find(self, path: bytes) -> tuple[int, bytes, bytes] | None:
        """The number of the route that a path, as it was sent, belongs to, and as `Route.match`."""
        number = self._exact.get(path)
        if number is not None:
            return number, path, b""
        for number, route in self._below:
            found = route.match(path)
            if found is not None:
                return number, *found
        return None


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
    if not is_route(text):
        raise InvalidArgumentError(
            f"annotation {ANNOTATION} is {text[:80]!r}, and neither a route, such as /path or"
            " /path/..., nor true or false"
        )
    return Route(text)
