"""How a container's component is served: the pod's annotations and variables over the node's file.

Rules: pure; decided before any fork, so that whoever creates the container hears of a mistake.
"""

import os
import re
from collections.abc import Callable, Mapping
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
# no query, no fragment, nothing that a request's target could spell otherwise
_GOOD_PATH = re.compile(r"/[\w.~!$&'()*+,;=:@/-]{0,200}", re.ASCII).fullmatch
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
    `io.containerd.tandem.v1/http-max-header-bytes`. An annotation wins over a variable. Keys that
    are off by default are switched off by an annotation without text, or by `false`.
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
    options = replace(options, workers=options.workers or _workers_for(resources))
    _check(options)
    kept = tuple(entry for entry in env if entry.partition("=")[0] not in _VARIABLES)
    return options, kept


def _check(options: Http) -> None:
    for key in ("listen", "metrics", "health"):
        if value := getattr(options, key):
            _PARSERS[key](value, f"[http] {key}")
    for key, most in _MAXIMA.items():
        if getattr(options, key) > most:
            raise InvalidArgumentError(f"[http] {key}, or the pod's, is more than {most}")
    if options.workers * options.concurrency > _MAX_IN_FLIGHT:
        raise InvalidArgumentError(
            f"[http] workers ({options.workers}) times concurrency ({options.concurrency}), or the"
            f" pod's, is more than {_MAX_IN_FLIGHT}"
        )


def is_metered(defaults: Http, annotations: Mapping[str, str]) -> bool:
    """Whether the requests of a container have a limit of fuel, which its code has to know of.

    Raises:
        InvalidArgumentError: the annotation is no number.
    """
    name = f"{PREFIX}fuel"
    if name not in annotations:
        return defaults.fuel > 0
    return _changed(defaults, "fuel", annotations[name], f"annotation {name}").fuel > 0


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
    value: Any
    if key in _OPTIONAL and text in {"", "false"}:
        value = _OPTIONAL[key]
    else:
        value = _PARSERS.get(key, _number)(text, where)
    return replace(options, **{key: value})


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= _MAX_NUMBER):
        raise InvalidArgumentError(f"{where} is {text[:80]!r}, and not a positive number")
    return int(text)


def _address(text: str, where: str) -> str:
    parse_address(text, where)
    return text


def _path(text: str, where: str) -> str:
    if not _GOOD_PATH(text):
        raise InvalidArgumentError(
            f"{where} is {text[:80]!r}, and not a path, such as /.well-known/tandem/health"
        )
    return text


# What the keys hold that are no numbers, and what those hold that may be off.
_PARSERS: Mapping[str, Callable[[str, str], str | int]] = {
    "listen": _address,
    "metrics": _address,
    "health": _path,
}
_OPTIONAL: Mapping[str, str | int] = {"metrics": "", "health": "", "fuel": 0}
