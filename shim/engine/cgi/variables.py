"""What a CGI program is told of its request: variables and arguments.

Rules: pure. Nothing that a client sends becomes a variable that the container has itself, the proxy
of the guest's own requests (CVE-2016-5385), or an option of an interpreter (CVE-2012-1823).
Sources: RFC 3875 4.1 and 7.2; wagi's environment for the names with X_ and the arguments.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shim.engine.cgi.routes import Route, RouteTable
from shim.engine.http.exchange import Address, Request
from shim.oci.modules import ARGS, SCRIPT_NAME

Variable = tuple[bytes, bytes]

# `a_b` and `a-b` would be one variable, of which a proxy before us may have checked the other.
_PLAIN_NAME = re.compile(rb"[a-z0-9-]+").fullmatch
_WITHHELD = frozenset((b"authorization", b"proxy", b"connection"))
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Target:
    """A request's target: the number of its route, the path's two halves as they were sent, the
    second one decoded, and the query."""

    number: int
    script: bytes
    raw_path: bytes
    path: bytes
    query: bytes


def find_target(request: Request, routes: RouteTable) -> Target | int:
    """Take a request's target apart; a status where it is none of the routes'.

    404 is another path, 400 one that no variable can hold.
    """
    path, _, query = request.target.partition(b"?")
    found = routes.find(path)
    if found is None:
        return 404
    number, script, rest = found
    decoded = unquote_to_bytes(rest)
    return 400 if b"\0" in decoded else Target(number, script, rest, _text(decoded), query)


def arguments(
    target: Target, own: Sequence[str], words: Sequence[str] | None = None
) -> list[bytes]:
    """The arguments: the script's name, those of the container, and the parts of the query.

    Args:
        target: what was asked for.
        own: the container's own arguments, without the program.
        words: what the program wants in their place: see `shim.oci.modules`.
    """
    parts = [part for part in target.query.split(b"&") if part and not part.startswith(b"-")]
    script = target.script or b"/"
    if words is None:
        return [script, *(argument.encode() for argument in own), *parts]
    found: list[bytes] = []
    for word in words:
        if word == ARGS:
            found += parts
        else:
            found.append(word.encode().replace(SCRIPT_NAME.encode(), script))
    return found


def variables(
    request: Request,
    target: Target,
    route: Route,
    ends: tuple[Address, Address],
    own: Iterable[tuple[str, str]],
) -> list[Variable]:
    """The variables: CGI's win over the container's, and the container's over a client's.

    Args:
        request: the request.
        target: its target.
        route: which matched.
        ends: the client's address, and ours.
        own: the container's variables.
    """
    found = _of_header(request)
    found.update((name.encode(), value.encode()) for name, value in own)
    found.update(_of_request(request, target, route, ends))
    return list(found.items())


def _of_header(request: Request) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    if request.authority is not None:
        found[b"HTTP_HOST"] = _text(request.authority)
    for name, value in request.fields:
        if name in _WITHHELD or not _PLAIN_NAME(name):
            continue
        variable = b"HTTP_" + name.upper().replace(b"-", b"_")
        earlier = found.get(variable)
        separator = b"; " if name == b"cookie" else b", "
        found[variable] = _text(value if earlier is None else earlier + separator + value)
    return found


def _of_request(
    request: Request, target: Target, route: Route, ends: tuple[Address, Address]
) -> dict[bytes, bytes]:
    (client, client_port), (server, server_port) = ends
    client, server = client.removeprefix(_MAPPED), server.removeprefix(_MAPPED)
    authority = request.authority or f"{server}:{server_port}".encode()
    found = {
        b"AUTH_TYPE": b"",
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"PATH_INFO": target.path,
        b"PATH_TRANSLATED": target.path,
        b"QUERY_STRING": target.query,
        b"REMOTE_ADDR": client.encode(),
        b"REMOTE_HOST": client.encode(),
        b"REMOTE_PORT": b"%d" % client_port,
        b"REMOTE_USER": b"",
        b"REQUEST_METHOD": request.method,
        b"SCRIPT_NAME": target.script,
        b"SERVER_NAME": _host_of(authority),
        b"SERVER_PORT": b"%d" % server_port,
        b"SERVER_PROTOCOL": request.protocol,
        b"SERVER_SOFTWARE": b"Tandem",
        b"X_FULL_URL": b"http://" + _text(authority) + request.target,
        b"X_MATCHED_ROUTE": route.text.encode(),
        b"X_RAW_PATH_INFO": target.raw_path,
        b"CONTENT_LENGTH": _length_of(request),
        b"CONTENT_TYPE": _text(_first(request, b"content-type")),
    }
    # Without a length that is known, the program reads to the end: 0 would say that there is none.
    if not found[b"CONTENT_LENGTH"]:
        del found[b"CONTENT_LENGTH"]
    return found


def _length_of(request: Request) -> bytes:
    if request.body is not None:
        return b"%d" % len(request.body)
    return _first(request, b"content-length")


def _first(request: Request, wanted: bytes) -> bytes:
    return next((value for name, value in request.fields if name == wanted), b"")


def _host_of(authority: bytes) -> bytes:
    host, separator, port = authority.rpartition(b":")
    return _text(host if separator and (port.isdigit() or not port) else authority)


def _text(value: bytes) -> bytes:
    # WASI's variables are Unicode.
    return value.decode(errors="replace").encode()
