"""What answers the requests of one route: data only."""

from dataclasses import dataclass

from shim.engine.cgi.routes import Route
from shim.engine.guest import Program


@dataclass(frozen=True, slots=True)
class Handler:
    """A program, the requests that it answers, and the words of its arguments.

    `argv` None: the script's name, the container's own arguments, and the parts of the query; see
    `shim.oci.modules` for what the words may hold.
    """

    route: Route
    program: Program
    argv: tuple[str, ...] | None = None
