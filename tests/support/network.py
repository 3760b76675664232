"""Connections into another network namespace, without moving the process there.

A socket belongs to the namespace that its thread was in when it was made. So a thread steps over,
makes the socket, steps back, and what it sends later still goes out over there.
"""

import ctypes
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from typing_extensions import override

CLONE_NEWNET = 0x40000000

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class HttpReply:
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def namespace_of(pid: int) -> Path:
    """The network namespace of a process, by its pid on this host."""
    return Path(f"/proc/{pid}/ns/net")


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Have the calling thread in a network namespace for the length of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set_namespace(there, str(namespace))
        finally:
            os.close(there)
        try:
            yield
        finally:
            _set_namespace(home, "the home namespace")
    finally:
        os.close(home)


def connect(namespace: Path, host: str, port: int, timeout: float = 5.0) -> socket.socket:
    """A TCP connection made from a network namespace; the timeout is in seconds."""
    with inside(namespace):
        return socket.create_connection((host, port), timeout)


def http_get(namespace: Path, url: str, timeout: float = 10.0) -> HttpReply:
    """Fetch a page from a network namespace; the timeout is in seconds and per operation.

    Raises:
        OSError: nobody answers there.
    """
    parts = urlsplit(url)
    connection = _Connection(namespace, parts.hostname or "", parts.port or 80, timeout)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return HttpReply(response.status, headers, response.read())
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, namespace: Path, host: str, port: int, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._namespace = namespace
        self._seconds = timeout

    @override
    def connect(self) -> None:
        self.sock = connect(self._namespace, self.host, self.port, self._seconds)


def _set_namespace(descriptor: int, name: str) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
