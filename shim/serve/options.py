"""How a container's component is served: the pod's annotations and variables over the node's file.

Rules: pure; decided before any fork, so that whoever creates the container hears of a mistake.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from shim.config import Http
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Resources

PREFIX = "io.containerd.tandem.v1/http-"
# What runwasi's users set, and what the wasmtime command takes; the guest does not see them.
_ADDRESS_VARIABLE = "WASMTIME_HTTP_PROXY_SOCKET_ADDR"
_BACKLOG_VARIABLES = ("WASMTIME_HTTP_PROXY_BACKLOG", "WASMTIME_HTTP_BACKLOG")
_VARIABLES = (_ADDRESS_VARIABLE, *_BACKLOG_VARIABLES)
_MAX_PORT = 65535
_MAX_NUMBER = 1 << 40
# What costs something before the container's limits hold, or before there is a request.
_MAXIMA = {
    "backlog": 65535,
    "concurrency": 1024,
    "connections": 65535,
    "max_header_bytes": 1 << 20,
    # what a guest does not give back to wasmtime nobody can count
    "reuse": 1_000_000,
    "workers": 256,
}
_MAX_IN_FLIGHT = 4096
# the kernel's, where a container names only a quota: sched-bwc.rst
_CPU_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens; port 0 is one that the kernel chooses."""

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host


def http_options(
    defaults: Http, annotations: Mapping[str, str], env: tuple[str, ...], resources: Resources
) -> tuple[Http, tuple[str, ...]]:
    """The options of one container, and its variables without those that were meant for us.

    Each key of the file's `[http]` is an annotation as well: `max_header_bytes` is
    `io.containerd.tandem.v1/http-max-header-bytes`. An annotation wins over a variable.
    Where nobody says how many workers, there are as many as `resources` lets run at once, but no
    more than the node has processors, and one without a limit.

    Raises:
        InvalidArgumentError: a value is none that the key can have.
    """
    options = defaults
    for entry in env:
        name, separator, value = entry.partition("=")
        if separator and name in _VARIABLES:
            key = "listen" if name == _ADDRESS_VARIABLE else "backlog"
            options = _changed(options, key, value, f"variable {name}")
    for name, value in annotations.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).replace("-", "_")
            if key not in {field.name for field in fields(Http)}:
                raise InvalidArgumentError(f"annotation {name} is not known")
            options = _changed(options, key, value, f"annotation {name}")
    parse_address(options.listen, "[http] listen")
    for key, most in _MAXIMA.items():
        if getattr(options, key) > most:
            raise InvalidArgumentError(f"[http] {key}, or the pod's, is more than {most}")
    options = replace(options, workers=options.workers or _workers_for(resources))
    if options.workers * options.concurrency > _MAX_IN_FLIGHT:
        raise InvalidArgumentError(
            f"[http] workers ({options.workers}) times concurrency ({options.concurrency}), or the"
            f" pod's, is more than {_MAX_IN_FLIGHT}"
        )
    kept = tuple(entry for entry in env if entry.partition("=")[0] not in _VARIABLES)
    return options, kept


def _workers_for(resources: Resources) -> int:
    quota, period = resources.cpu_quota_us or 0, resources.cpu_period_us or _CPU_PERIOD_US
    return max(1, min(-(-quota // period), os.cpu_count() or 1))


def parse_address(text: str, where: str) -> Address:
    """Read `HOST:PORT` or `[HOST]:PORT` with an address for a host.

    Raises:
        InvalidArgumentError: it is no such text.
    """
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        good = ":" in host and set(host) <= set("0123456789abcdefABCDEF:.")
    else:
        good = bool(host) and set(host) <= set("0123456789.")
    if not separator or not good or not port.isascii() or not port.isdigit():
        raise InvalidArgumentError(f"{where} is {text[:80]!r}, and not an address with a port")
    if len(port) > 5 or int(port) > _MAX_PORT:
        raise InvalidArgumentError(f"{where} has the port {port[:20]}, which does not exist")
    return Address(host, int(port))


def _changed(options: Http, key: str, text: str, where: str) -> Http:
    if key == "listen":
        parse_address(text, where)
        return replace(options, listen=text)
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= _MAX_NUMBER):
        raise InvalidArgumentError(f"{where} is {text[:80]!r}, and not a positive number")
    number: Any = int(text)
    return replace(options, **{key: number})
