"""Sockets that listen at an address of the options."""

import socket

from shim.serve.options import parse_address


def listen(text: str, backlog: int) -> socket.socket:
    """A socket that listens, and does not block.

    Args:
        text: as for `parse_address`; `[::]` is IPv4, too.
        backlog: how many connections may wait to be accepted.

    Raises:
        OSError: the kernel does not let us.
    """
    address = parse_address(text, "an address to listen on")
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.is_ipv6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address.host, address.port))
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 (the socket API's)
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it listens, with the port that the kernel chose where it was to."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
